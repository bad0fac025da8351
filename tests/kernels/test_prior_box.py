"""Prior boxes against loops."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.prior_box import prior_boxes
from tests.oracles.prior_box import prior_box

SIZES = [(20, 12), (9, 40), (31, 7)]
OFFSETS = [(0.25, 0.5), (0.75, 1)]


def loops(**changes):
    settings = {"step": (15, 12), "offsets": OFFSETS, "clip": True, **changes}
    return prior_box(np.empty((1, 2, 3, 4)), (50, 80), SIZES, **settings)[0, 0]


def test_boxes_are_those_of_the_loops():
    y = np.empty((3, 4, 3, 2, 4))
    prior_boxes((50, 80), (15, 12), OFFSETS, SIZES, True, y)
    np.testing.assert_allclose(y.reshape(-1), loops(), rtol=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"step": (12, 15)}, {"clip": False}, {"offsets": [(0.5, 0.25), (1, 0.75)]}]
)
def test_the_loops_reject(wrong):
    assert not np.allclose(loops(), loops(**wrong), rtol=0.01)
