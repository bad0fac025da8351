from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import simd
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix

TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@jit
def copies(source, at, target, to):
    simd.copy_vector(source, at, target, to)


@jit
def line_copies(source, target, lines, vectors):
    simd.copy_lines(source, target, lines, vectors)


@jit
def squares(source, offsets, count, target):
    simd.transpose_square(source, offsets, count, target)


@jit
def stripes(source, offsets, count, target, depth):
    simd.transpose_stripe(source, offsets, count, target, depth)


@jit
def sums(source, offsets, terms, weights, target, count, accumulate):
    simd.weighted_sum(source, offsets, terms, weights, target, count, accumulate)


@jit
def dots(a, b, count, result):
    simd.dot(a, b, count, result)


@TYPES
def test_copy_vector(dtype) -> None:
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    source, target = np.arange(40, dtype=dtype), np.zeros(40, dtype)
    copies(source, 5, target, 9)
    np.testing.assert_array_equal(target[9 : 9 + lanes], source[5 : 5 + lanes])
    assert np.count_nonzero(target) == lanes


@TYPES
@pytest.mark.parametrize("vectors", [0, 1, 2, 3])
@pytest.mark.parametrize("lines", [0, 1, 4, 7])
def test_copy_lines(lines, vectors, dtype) -> None:
    width = vectors * VECTOR_BYTES // np.dtype(dtype).itemsize
    source, target = np.random.default_rng(0).standard_normal((2, 8, 60)).astype(dtype)
    wanted = target.copy()
    wanted[:lines, 3 : 3 + width] = source[:lines, 1 : 1 + width]
    line_copies(
        Matrix(source.reshape(-1)[1:], 60), Matrix(target.reshape(-1)[3:], 60), lines, vectors
    )
    np.testing.assert_array_equal(target, wanted)


@TYPES
@pytest.mark.parametrize("count", [1, 3, 40])
def test_transpose_square(count, dtype) -> None:
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    source = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    offsets, target = np.arange(40)[::-1] * 23 + 2, np.zeros((20, 20), dtype)
    squares(source[1:], offsets, count, Matrix(target.reshape(-1), 20))
    lines = offsets[np.minimum(np.arange(lanes), count - 1)]
    wanted = np.zeros_like(target)
    wanted[:lanes, :lanes] = source[1 + lines + np.arange(lanes).reshape(-1, 1)]
    np.testing.assert_array_equal(target, wanted)


@TYPES
@pytest.mark.parametrize("further", [0, 1, 9])
def test_transpose_stripe(further, dtype) -> None:
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    depth, offsets = lanes + further, np.array([0, 30, 90]) * 2
    source = np.random.default_rng(0).standard_normal(300).astype(dtype)
    target = np.zeros((30, 20), dtype)
    stripes(source, offsets, 3, Matrix(target.reshape(-1), 20), depth)
    wanted = np.zeros_like(target)
    lines = offsets[np.minimum(np.arange(lanes), 2)]
    wanted[:depth, :lanes] = source[lines + np.arange(depth).reshape(-1, 1)]
    np.testing.assert_array_equal(target, wanted)


@TYPES
@pytest.mark.parametrize("accumulate", [False, True])
def test_weighted_sum(accumulate, dtype) -> None:
    source = np.random.default_rng(0).standard_normal(600).astype(dtype)
    offsets, weights = np.array([0, 5, 31, 99]), np.array([9, 2, -1, 0.5], dtype)
    target = np.full(500, 1 if accumulate else np.nan, dtype)
    sums(source[3:], offsets, 3, weights[1:], target[2:], 130, accumulate)
    wanted = accumulate + 2 * source[3:133] - source[8:138] + 0.5 * source[34:164]
    np.testing.assert_allclose(target[2:132], wanted, atol=1e-5)
    kept = np.ones(2) if accumulate else np.full(2, np.nan)
    np.testing.assert_array_equal(target[:2], kept)
    np.testing.assert_array_equal(target[300:302], kept)


@TYPES
@pytest.mark.parametrize("count", [0, 1, 7, 128, 137])
def test_dot(count, dtype) -> None:
    a, b, result = np.arange(3 * count + 5.0), np.arange(count + 3.0) % 7, np.zeros(3)
    a, b, result = (array.astype(dtype) / 8 for array in (a, b, result))
    dots(a[2:], b[3:], count, result[1:])
    np.testing.assert_allclose(result, [0, a[2 : 2 + count] @ b[3:], 0], rtol=1e-5)


def test_dot_adds_single_elements_to_the_sum_of_the_bundles() -> None:
    """The order of the sum, which decides the last bits: a wrong one is seen to differ."""
    rng = np.random.default_rng(0)
    lanes = VECTOR_BYTES // 4
    count = 2 * simd.BUNDLE * lanes + 3
    a, result = rng.standard_normal(count).astype(np.float32), np.zeros(1, np.float32)
    ones = np.ones(count, np.float32)  # products are exact, fused or not
    dots(a, ones, count, result)
    parts = a[:-3].reshape(2, simd.BUNDLE, lanes)
    parts = parts[0] + parts[1]
    for _ in range(simd.BUNDLE.bit_length() - 1):
        parts = parts[: len(parts) // 2] + parts[len(parts) // 2 :]
    total = parts[0]
    while len(total) > 1:
        total = total[: len(total) // 2] + total[len(total) // 2 :]
    wanted = total[0]
    for value in a[-3:]:
        wanted = wanted + value
    assert result[0] == wanted
    assert result[0] != np.cumsum(a)[-1]
