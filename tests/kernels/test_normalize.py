from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.norm import normalize_backward_params, normalize_forward
from caffe_lite.testing import normal
from tests.oracles import normalization as oracle

X = normal(np.random.default_rng(1), (2, 7, 3, 5))


@pytest.mark.parametrize("columns", [1, 15])
@pytest.mark.parametrize("scales", [1, 7])
def test_the_gradient_of_the_scale_is_the_sum_of_dy_times_the_unscaled_output(
    columns: int, scales: int
) -> None:
    x, dy = X.reshape(2, 7, 15), np.random.default_rng(2).standard_normal((2, 7, 15))
    norm, y, dscale = np.empty((2, columns)), np.empty_like(x), np.ones(scales)
    normalize_forward(x, np.ones(scales), 1e-10, norm, y)
    normalize_backward_params(x, dy, norm, dscale)
    wanted = (dy * y).sum(axis=(0, 2))
    np.testing.assert_allclose(dscale - 1, wanted if scales == 7 else [wanted.sum()])


def test_the_oracle_tells_a_norm_over_channels_from_one_over_all() -> None:
    right, wrong = oracle.normalize(False)(X, np.ones(7)), oracle.normalize()(X, np.ones(7))
    assert np.abs(right - wrong).max() > 0.01
