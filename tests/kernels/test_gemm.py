from __future__ import annotations

import itertools
import os

import numba
import numpy as np
import pytest

from caffe_lite.kernels import gemm as kernel
from caffe_lite.kernels._jit import jit
from caffe_lite.kernels.gemm import gemm
from tests.oracles import gemm as oracle

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
ROWS, COLUMNS = (int(size) for size in kernel.tile_sizes(np.empty(0, np.float32)))

SIZES = [
    (1, 1, 1),
    (ROWS, COLUMNS, 16),  # one whole tile
    (ROWS + 1, COLUMNS + 1, 17),
    (ROWS - 1, COLUMNS // 2, kernel.DEPTH + 3),
    (2 * ROWS + 3, 2 * COLUMNS + 5, 9),
    (5, kernel.PANELS * COLUMNS + 3, 2),  # two blocks of B
]
TURNS = list(itertools.product((False, True), repeat=3))


def operands(m, n, k, transpose_a, transpose_b, dtype, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((k, m) if transpose_a else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if transpose_b else (k, n)).astype(dtype)
    return a, b, rng.standard_normal((m, n)).astype(dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_size_and_orientation(size, dtype) -> None:
    for transpose_a, transpose_b, accumulate in TURNS:
        a, b, c = operands(*size, transpose_a, transpose_b, dtype)
        wanted = oracle.product(a, b, c, transpose_a, transpose_b, accumulate)
        gemm(a, b, c, transpose_a, transpose_b, accumulate)
        np.testing.assert_allclose(c, wanted, atol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("size", [(150, 700, 300), (400, 40, 600), (31, 1500, 100)], ids=str)
def test_large_ones_run_on_all_threads_with_the_same_bits(size) -> None:
    for transpose_a, transpose_b, accumulate in TURNS:
        a, b, c = operands(*size, transpose_a, transpose_b, np.float32)
        wanted = oracle.product(a, b, c, transpose_a, transpose_b, accumulate)
        results = []
        for threads in (1, 2):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            results.append(c.copy())
            gemm(a, b, results[-1], transpose_a, transpose_b, accumulate)
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
        np.testing.assert_allclose(results[0], wanted, atol=1e-3)
        np.testing.assert_array_equal(results[1], results[0])


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("shape", [(1100, 90, 70), (70, 90, 1100), (300, 50, 600)], ids=str)
def test_a_part_of_the_product_has_the_same_bits_as_the_whole(shape) -> None:
    a, b, whole = operands(*shape, False, False, np.float32)
    gemm(a, b, whole)
    rows, columns = slice(11, shape[0] - 20), slice(9, shape[1] - 30)
    part = np.empty_like(whole[rows, columns])
    gemm(a[rows].copy(), b[:, columns].copy(), part)
    np.testing.assert_array_equal(part, whole[rows, columns])


@pytest.mark.parametrize("size", [(0, 4, 3), (4, 0, 3), (0, 0, 0)], ids=str)
def test_nothing_to_do(size) -> None:
    a, b, c = operands(*size, False, False, np.float32)
    gemm(a, b, c)
    assert c.shape == size[:2]


def test_no_depth_gives_zero_or_leaves_what_is_there() -> None:
    a, b, c = operands(3, 4, 0, False, False, np.float32)
    before = c.copy()
    gemm(a, b, c, accumulate=True)
    np.testing.assert_array_equal(c, before)
    gemm(a, b, c)
    np.testing.assert_array_equal(c, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stay_in_their_row_and_column(bad) -> None:
    m, n = ROWS + 3, COLUMNS + 5
    a, b, c = operands(m, n, 7, False, False, np.float32)
    a[2, 3] = bad
    with np.errstate(all="ignore"):
        gemm(a, b, c)
    assert not np.isfinite(c[2]).any()
    assert np.isfinite(np.delete(c, 2, axis=0)).all()


def test_an_uninitialised_result_is_not_read() -> None:
    a, b, c = operands(5, 6, 7, False, False, np.float32)
    c[...] = np.nan
    gemm(a, b, c)
    np.testing.assert_allclose(c, oracle.product(a, b, c), atol=1e-5)


def test_the_memory_around_the_result_is_not_touched() -> None:
    a, b, _ = operands(ROWS + 1, 5, 7, False, False, np.float32)
    around = np.full((ROWS + 3, 5), 99.0, np.float32)
    gemm(a, b, around[1:-1])
    np.testing.assert_array_equal(around[[0, -1]], 99)


def test_parts_are_no_more_than_threads_or_tiles_and_no_strips() -> None:
    for m, n, threads in itertools.product((1, 13, 300), (1, 70, 5000), (1, 2, 7, 64)):
        tall, wide = kernel.parts(m, n, ROWS, COLUMNS, threads)
        assert 1 <= tall <= -(-m // ROWS)
        assert 1 <= wide <= -(-n // COLUMNS)
        assert tall * wide <= threads
    tall, wide = kernel.parts(7000, 7000, ROWS, COLUMNS, 100)
    assert tall * wide >= 50
    assert 0.5 <= tall / wide <= 2
    assert kernel.parts(100 * ROWS, COLUMNS, ROWS, COLUMNS, 4) == (4, 1)
    assert kernel.parts(ROWS, 100 * COLUMNS, ROWS, COLUMNS, 4) == (1, 4)


@pytest.mark.parametrize("count", [0, 1, 7, 8 * COLUMNS, 8 * COLUMNS + 9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dot_of_two_stretches(count, dtype) -> None:
    a, b, result = np.arange(3 * count + 5.0), np.arange(count + 3.0) % 7, np.zeros(3)
    a, b, result = (array.astype(dtype) / 8 for array in (a, b, result))

    sums(a, 2, b, 3, count, result, 1)
    np.testing.assert_allclose(result, [0, a[2 : 2 + count] @ b[3:], 0], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("accumulate", [False, True])
def test_slide_adds_up_shifted_stretches(dtype, accumulate) -> None:
    source = np.random.default_rng(0).standard_normal(600).astype(dtype)
    shifts, weights = np.array([0, 5, 31]), np.array([9, 2, -1, 0.5], dtype)
    target = np.ones(500, dtype)
    slides(source, 3, shifts, 3, weights, 1, target, 2, 130, accumulate)
    wanted = accumulate + 2 * source[3:133] - source[8:138] + 0.5 * source[34:164]
    np.testing.assert_allclose(target[2:132], wanted, atol=1e-5)
    np.testing.assert_array_equal(target[:2], 1)


@jit
def sums(a, a_at, b, b_at, count, result, to):
    kernel.dot(a, a_at, b, b_at, count, result, to)


@jit
def slides(source, at, shifts, taps, weights, weights_at, target, to, count, accumulate):
    kernel.slide(source, at, shifts, taps, weights, weights_at, target, to, count, accumulate)


@jit
def count_workers(worker, workers, a, b, extra, c, numbers):
    c[worker] += a[worker] * b[worker] + extra[0] + numbers[0] + workers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_worker_is_called_once_for_each_number(workers, dtype) -> None:
    a, extra, c = np.arange(6, dtype=dtype), np.full(1, 0.5, dtype), np.zeros(6, dtype)
    kernel.spread(count_workers, workers, a, a, extra, c, np.array([3]))
    wanted = np.where(np.arange(6) < workers, a * a + 3.5 + workers, 0)
    np.testing.assert_array_equal(c, wanted)


def test_the_oracle_rejects_a_forgotten_transpose() -> None:
    a, b, c = operands(4, 4, 4, False, False, np.float64)
    wrong = oracle.product(a, b, c, transpose_a=True)
    gemm(a, b, c)
    assert not np.allclose(c, wrong)
