"""Depthwise convolution against its definition, in memory that is guarded on both sides."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from caffe_lite.kernels.conv import depthwise
from caffe_lite.kernels.epilogue import NO_EPILOGUE, Epilogue, completion

GUARD = 100

CASES = [
    # items, channels, height, width, outputs, kernel, stride, pad, dilation
    (2, 3, 14, 14, 3, (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, 5, 7, 7, 5, (3, 3), (1, 1), (1, 1), (1, 1)),  # rows shorter than a vector
    (3, 4, 9, 13, 4, (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, 4, 1, 6, 4, (3, 3), (1, 1), (1, 1), (1, 1)),  # one row, or one column
    (2, 3, 6, 1, 3, (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 3, 70, 45, 3, (3, 3), (1, 1), (1, 1), (1, 1)),  # three strips and more
    (2, 3, 5, 16, 3, (3, 3), (1, 1), (1, 1), (1, 1)),  # one whole strip, or two
    (1, 4, 6, 17, 4, (3, 3), (1, 1), (1, 1), (1, 1)),  # strips that overlap by all but one
    (2, 2, 7, 33, 2, (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 3, 90, 45, 3, (3, 3), (1, 1), (1, 0), (1, 1)),  # several bands
    (3, 2, 3, 37, 2, (3, 3), (1, 1), (0, 1), (1, 1)),  # one row
    (1, 2, 90, 64, 2, (3, 3), (2, 2), (1, 1), (1, 1)),  # pairs of columns, several bands
    (2, 3, 13, 37, 3, (3, 3), (2, 2), (1, 1), (1, 1)),  # pairs, the last one half
    (2, 7, 14, 14, 7, (3, 3), (2, 2), (1, 1), (1, 1)),
    (2, 3, 1, 6, 3, (3, 3), (2, 2), (1, 1), (1, 1)),  # one row, or one column
    (1, 4, 5, 1, 4, (3, 3), (2, 2), (1, 1), (1, 1)),
    (1, 2, 6, 33, 2, (3, 3), (2, 2), (1, 1), (1, 1)),  # strips that overlap by all but one
    (2, 2, 7, 32, 2, (3, 3), (2, 2), (1, 1), (1, 1)),
    (1, 2, 12, 50, 2, (3, 3), (2, 1), (2, 0), (1, 1)),
    (1, 2, 50, 12, 2, (3, 3), (1, 2), (3, 4), (1, 1)),  # more padding than kernel
    (2, 2, 20, 21, 6, (3, 3), (1, 1), (1, 1), (1, 1)),  # three outputs for a channel
    (1, 2, 21, 34, 4, (3, 3), (2, 2), (1, 0), (1, 1)),
    (1, 3, 30, 31, 3, (5, 4), (1, 1), (2, 1), (1, 1)),
    (1, 2, 25, 40, 2, (3, 3), (1, 1), (2, 3), (1, 3)),  # dilated along the width
    (1, 2, 25, 20, 2, (3, 3), (2, 2), (2, 2), (2, 1)),
    (1, 2, 22, 41, 2, (4, 5), (3, 3), (1, 2), (1, 1)),
    (1, 2, 23, 19, 4, (2, 7), (4, 5), (0, 3), (1, 2)),
    (1, 2, 17, 40, 2, (1, 2), (2, 3), (0, 0), (1, 1)),  # strides larger than the kernel
]


def sides(case, dtype):
    """x, w, dy of a case, its window, and y's shape."""
    items, channels, height, width, outputs, kernel, stride, pad, dilation = case
    spatial = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip((height, width), kernel, stride, pad, dilation)
    ]
    rng = np.random.default_rng(0)
    shapes = (items, channels, height, width), (outputs, 1, *kernel), (items, outputs, *spatial)
    x, w, dy = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return x, w, dy, (*kernel, *stride, *pad, *dilation)


def views(padded, window, shape):
    """Of each tap: its row and column, and all numbers of the padded planes that it meets."""
    kh, kw, sh, sw, _, _, dh, dw = window
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dh, i * dh + sh * (shape[2] - 1) + 1, sh)
            columns = slice(j * dw, j * dw + sw * (shape[3] - 1) + 1, sw)
            yield i, j, padded[:, :, rows, columns]


def definition(x, w, dy, window):
    """y, dx and dw in float64, tap by tap."""
    x, w, dy = (array.astype(np.float64) for array in (x, w, dy))
    each, (ph, pw) = w.shape[0] // x.shape[1], window[4:6]
    y, dw = np.zeros(dy.shape), np.zeros(w.shape)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dpadded = np.zeros(padded.shape)
    for i, j, values in views(padded, window, dy.shape):
        many, weight = np.repeat(values, each, axis=1), w[:, 0, i, j, None, None]
        y += weight * many
        dw[:, 0, i, j] = (dy * many).sum(axis=(0, 2, 3))
    for i, j, places in views(dpadded, window, dy.shape):
        share = (w[:, 0, i, j, None, None] * dy).reshape(len(x), -1, each, *dy.shape[2:])
        places += share.sum(axis=2)
    return y, dpadded[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]], dw


def guarded(shape, dtype):
    """An array full of NaN, and the memory that it lies in, full of sevens."""
    memory = np.full(2 * GUARD + int(np.prod(shape)), 7, dtype)
    array = memory[GUARD:-GUARD].reshape(shape)
    array[...] = np.nan
    return array, memory


def run(case, dtype, epilogue=NO_EPILOGUE):
    """y, dx and dw by the kernels; nothing else may have been written."""
    x, w, dy, window = sides(case, dtype)
    none = np.empty(0, dtype)
    (y, y_memory), (dx, dx_memory) = guarded(dy.shape, dtype), guarded(x.shape, dtype)
    dw = np.ones(w.shape, dtype)
    depthwise.forward(x, w, completion(none, epilogue, w.shape[0], dtype), window, y)
    nothing = completion(none, NO_EPILOGUE, x.shape[1], dtype)
    depthwise.backward(dy, w, nothing, window, dx)
    depthwise.backward_params(x, dy, window, dw)
    for memory in (y_memory, dx_memory):
        np.testing.assert_array_equal(memory[:GUARD], 7)
        np.testing.assert_array_equal(memory[-GUARD:], 7)
    return y, dx, dw - 1


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_definition(case, dtype) -> None:
    bound = 1e-5 if dtype == np.float32 else 1e-13
    wanted = definition(*sides(case, dtype))
    for found, want in zip(run(case, dtype), wanted):
        np.testing.assert_allclose(found, want, rtol=0, atol=bound * max(1, np.abs(want).max()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cutting_the_planes_into_pieces_changes_no_bit(case, monkeypatch) -> None:
    """Every plane a piece of its own, against one piece for all."""
    launcher = sys.modules["caffe_lite.kernels.parallel.launcher"]
    results = []
    for pieces_of in (lambda tasks, elements: 1, lambda tasks, elements: tasks):
        monkeypatch.setattr(launcher, "pieces_of", pieces_of)
        results.append(run(case, np.float32))
    for whole, cut in zip(*results, strict=True):
        np.testing.assert_array_equal(whole, cut)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[6], CASES[11]], ids=str)
@pytest.mark.parametrize("slope", [None, 0.0, 0.25, 3.0])
@pytest.mark.parametrize("limit", [None, 0.5])
def test_the_epilogue_is_applied(case, slope, limit) -> None:
    rng, dtype = np.random.default_rng(1), np.float64
    scale, shift = rng.standard_normal((2, case[4]))
    y, _, _ = run(case, dtype, Epilogue(scale, shift, slope, limit))
    wanted, _, _ = definition(*sides(case, dtype))
    wanted = wanted * scale[:, None, None] + shift[:, None, None]
    if slope is not None:
        wanted = np.where(wanted > 0, wanted, slope * wanted)
    wanted = wanted if limit is None else np.minimum(wanted, limit)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-12)


def test_the_definition_tells_a_wrong_stride_and_a_turned_kernel() -> None:
    x, w, dy, window = sides(CASES[5], np.float64)
    right = definition(x, w, dy, window)
    turned = definition(x, w[:, :, ::-1, ::-1], dy, window)
    assert all(np.abs(a - b).max() > 0.1 for a, b in zip(right[:2], turned[:2]))
    shifted = definition(np.roll(x, 1, axis=3), w, dy, window)
    assert np.abs(right[2] - shifted[2]).max() > 0.1
