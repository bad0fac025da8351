"""The gradient of WarpCTCLoss, which is not that of its top."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.testing import Rig
from tests.cases.ctc import LABELS, X, loss
from tests.oracles import ctc as oracle


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_it_is_that_of_the_sum_whatever_the_loss_weight(weight: float, tmp_path: Path) -> None:
    rig = Rig(loss("", LABELS, 0), np.float64, tmp_path)
    rig.forward()
    rig.top[0].diff[...] = weight
    rig.layer.backward(rig.top, [True, False], rig.bottom)
    x, labels = rig.bottom[0].data.copy(), rig.bottom[1].data
    along = np.random.default_rng(1).standard_normal(X)
    step = 1e-5
    above, below = (oracle.loss(x + sign * step * along, labels) for sign in (1, -1))
    slope = X[1] * (above - below) / (2 * step)
    assert np.vdot(rig.bottom[0].diff, along) == pytest.approx(slope, rel=1e-6)
    assert abs(slope) > 0.1
