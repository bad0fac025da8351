from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.norm import mvn_backward, mvn_forward
from caffe_lite.testing import normal
from tests.oracles import normalization as oracle

X = normal(np.random.default_rng(1), (2, 7, 3, 5))


@pytest.mark.parametrize("variance", [False, True])
def test_backward_is_the_gradient_in_a_random_direction(variance: bool) -> None:
    x, dy, u = np.random.default_rng(2).standard_normal((3, 4, 31))
    deviation, y, dx, ends = np.empty(4), np.empty_like(x), np.empty_like(x), []
    for step in (1e-6, -1e-6):
        mvn_forward(x + step * u, variance, 0.0, deviation, y)
        ends.append(np.vdot(y, dy))
    mvn_forward(x, variance, 0.0, deviation, y)
    mvn_backward(y, dy, variance, deviation, dx)
    assert np.vdot(dx, u) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.mvn()(X), oracle.mvn(across_channels=True)(X)),
        (oracle.mvn(eps=0.5)(X), oracle.mvn(eps=0.0)(X) / np.sqrt(1.5)),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    assert np.abs(right - wrong).max() > 0.01
