"""Self-normalizing layers: far from zero, and the moments that alpha dropout keeps."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import selu as kernels
from caffe_lite.testing import Case, Rig
from tests.oracles import selu as oracle


def test_selu_near_zero_and_far_from_it():
    x = np.array([-1000.0, -1e-5, 0.0, 1e-5, 1000.0, np.nan], np.float32)
    y = np.empty_like(x)
    kernels.selu_forward(x, 2.0, 1.5, y)
    np.testing.assert_allclose(y[:-1], [-3.0, -3e-5, 0.0, 2e-5, 2000.0], rtol=1e-5)
    assert np.isnan(y[-1])


def test_the_oracle_of_selu_knows_scale_from_alpha():
    x = np.random.default_rng(1).standard_normal((3, 7))
    y = np.empty_like(x)
    kernels.selu_forward(x, 1.25, 0.5, y)
    np.testing.assert_allclose(y, oracle.selu(x, 1.25, 0.5))
    assert not np.allclose(y, oracle.selu(x, 0.5, 1.25))


def dropout(dtype=np.float64):
    case = Case("SeLuDropout", [(40, 50)], "selu_dropout_param { dropout_ratio: 0.25 }")
    return Rig(case, dtype)


def test_alpha_dropout_drops_the_ratio_and_keeps_the_moments():
    rig = dropout()
    (y,) = rig.forward()
    x = rig.bottom[0].data
    rig.backward()
    kept = rig.bottom[0].diff != 0
    assert abs(kept.mean() - 0.75) < 0.04
    np.testing.assert_allclose(y, oracle.alpha_dropout(x, kept, 0.25), atol=1e-7)
    assert not np.allclose(y, oracle.alpha_dropout(x, kept, 0.3))
    assert abs(y.mean()) < 0.1
    assert abs(y.std() - 1) < 0.1
    unit = oracle.alpha_dropout(np.ones((1, 1)), np.ones((1, 1)), 0.25)
    factor = unit - oracle.alpha_dropout(np.zeros((1, 1)), np.ones((1, 1)), 0.25)
    np.testing.assert_allclose(rig.bottom[0].diff, rig.top[0].diff * kept * factor, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_numbers_are_dropped_of_any_type(dtype):
    one, two = dropout(), dropout(dtype)
    np.testing.assert_allclose(one.forward()[0], two.forward()[0], atol=1e-5)
