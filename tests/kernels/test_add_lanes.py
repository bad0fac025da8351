from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import conv as convolution
from caffe_lite.kernels.conv.add_lanes import add_lanes
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.jit import jit


@jit
def add(source, at, count, target, to):
    add_lanes(source, at, count, target, to)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 90])
def test_only_the_first_numbers_of_a_vector_are_added(dtype, count: int) -> None:
    source, target = np.arange(40, dtype=dtype), np.full(40, 100, dtype)
    source[20:] = np.nan
    add(source, 4, min(count, 16), target, 9)
    changed = int((target != 100).sum())
    assert 1 <= changed <= count
    np.testing.assert_array_equal(target[9 : 9 + changed], 104 + np.arange(changed))


@pytest.mark.parametrize("group", [1, 2])
def test_images_scattered_together_are_those_scattered_one_by_one(group: int) -> None:
    window = Window((5, 4), (1, 1), (0, 1), (1, 1))
    rng, none = np.random.default_rng(0), np.empty(0, np.float32)
    x, w = (12, 4, 8, 7), rng.standard_normal((6, 4 // group, 5, 4)).astype(np.float32)
    dy = rng.standard_normal((12, 6, *window.output(x[2:]))).astype(np.float32)
    assert not convolution.gradient_is_convolution(window, x[2:], dy.shape[2:])
    dx, single = np.full(x, np.nan, np.float32), np.full((1, *x[1:]), np.nan, np.float32)
    convolution.convolution_backward(dy, w, none, group, window, none, dx)
    for item in range(12):
        part = dy[item : item + 1]
        convolution.convolution_backward(part, w, none, group, window, none, single)
        np.testing.assert_array_equal(dx[item], single[0])
