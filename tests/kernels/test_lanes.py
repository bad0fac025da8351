from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import convolution, pooling
from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._lanes import add_some
from caffe_lite.kernels.convolution import Window


@jit
def add(source, at, count, target, to):
    add_some(source, at, count, target, to)


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
    assert not convolution.turns(window, x[2:], dy.shape[2:])
    dx, single = np.full(x, np.nan, np.float32), np.full((1, *x[1:]), np.nan, np.float32)
    convolution.convolution_backward(dy, w, none, group, window, none, dx)
    for item in range(12):
        part = dy[item : item + 1]
        convolution.convolution_backward(part, w, none, group, window, none, single)
        np.testing.assert_array_equal(dx[item], single[0])


PLANES = [
    # planes, height, width, kernel, pad, stride
    ((3, 50), 8, 8, 2, 0, 2),
    ((2, 70), 5, 6, 3, 1, 1),
    ((2, 35), 7, 50, 3, 1, 3),
    ((1, 3), 70, 71, 3, 1, 2),
    ((5, 9), 3, 2, 2, 0, 1),
]


@pytest.mark.parametrize("case", PLANES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maxima_of_many_planes(case, dtype) -> None:
    planes, height, width, kernel, pad, stride = case
    x = np.random.default_rng(0).integers(-5, 5, (*planes, height, width)).astype(dtype)
    x[0, 0, :3] = -np.inf
    x[-1, -1, -2:, -2:] = np.nan
    out = [-(-(n + 2 * pad - kernel) // stride) + 1 for n in (height, width)]
    out = [m - (pad > 0 and (m - 1) * stride >= n + pad) for m, n in zip(out, (height, width))]
    y, unplaced = np.full((2, *planes, *out), 7, dtype)
    argmax = np.full(y.shape, -1, np.int32)
    window = kernel, kernel, pad, pad, stride, stride
    pooling.max_pool_forward(x, window, y, argmax)
    pooling.max_pool_forward(x, window, unplaced, argmax[:0])
    np.testing.assert_array_equal(unplaced, y)
    flat = x.reshape(*planes, -1)
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = i * stride - pad, j * stride - pad
            rows = slice(max(top, 0), top + kernel)
            columns = slice(max(left, 0), left + kernel)
            part = x[..., rows, columns].reshape(*planes, -1)
            first = part.argmax(axis=-1)  # NumPy's, too, is the first NaN or else the first of all
            wide = min(left + kernel, width) - columns.start
            places = (rows.start + first // wide) * width + columns.start + first % wide
            np.testing.assert_array_equal(argmax[..., i, j], places)
            wanted = np.take_along_axis(flat, places[..., None], axis=-1)[..., 0]
            np.testing.assert_array_equal(y[..., i, j], wanted)
