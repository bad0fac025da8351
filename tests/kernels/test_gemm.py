from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from caffe_lite.kernels import parallel
from caffe_lite.kernels.epilogue import Ending, Epilogue, complete, completion, incomplete
from caffe_lite.kernels.gemm import CROSS, CROSS_ROWS, KC, PANELS, gemm, micro_kernels, tile_sizes
from caffe_lite.kernels.gemm.micro_kernels import by_columns
from caffe_lite.kernels.gemm.product import parts_of
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix
from tests.oracles import gemm as oracle

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
MR, NR = (int(size) for size in tile_sizes(np.empty(0, np.float32)))

SIZES = [
    (1, 1, 1),
    (MR, NR, 16),  # one whole tile
    (MR + 1, NR + 1, 17),
    (MR - 1, NR // 2, KC + 3),
    (2 * MR + 3, 2 * NR + 5, 9),
    (5, PANELS * NR + 3, 2),  # two blocks of B
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
        results, most = [], parallel.get_num_threads()
        for threads in (1, 2):
            parallel.set_num_threads(min(threads, most))
            results.append(c.copy())
            gemm(a, b, results[-1], transpose_a, transpose_b, accumulate)
        parallel.set_num_threads(most)
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
    m, n = MR + 3, NR + 5
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
    a, b, _ = operands(MR + 1, 5, 7, False, False, np.float32)
    around = np.full((MR + 3, 5), 99.0, np.float32)
    gemm(a, b, around[1:-1])
    np.testing.assert_array_equal(around[[0, -1]], 99)


def test_parts_are_no_more_than_threads_or_tiles_and_no_strips() -> None:
    for m, n, threads in itertools.product((1, 13, 300), (1, 70, 5000), (1, 2, 7, 64)):
        tall, wide = parts_of(m, n, MR, NR, threads)
        assert 1 <= tall <= -(-m // MR)
        assert 1 <= wide <= -(-n // NR)
        assert tall * wide <= threads
    tall, wide = parts_of(7000, 7000, MR, NR, 100)
    assert tall * wide >= 50
    assert 0.5 <= tall / wide <= 2
    assert parts_of(100 * MR, NR, MR, NR, 4) == (4, 1)
    assert parts_of(MR, 100 * NR, MR, NR, 4) == (1, 4)


# -- micro-kernels -------------------------------------------------------------------------------


@jit
def tiles(rows, vectors, a, b, depth, c, accumulate, ahead, ending):
    micro_kernels.tile(rows, vectors, a, b, depth, c, accumulate, ahead, ending)


@jit
def crosses(rows, x, w, count, sums):
    micro_kernels.cross(rows, x, w, count, sums)


def plainly(*args):
    """The text of the tile on plain values, for which there is a matrix product otherwise."""
    micro_kernels._LIBRARY.functions["caffe_lite_gemm_tile"].run(*args)


@pytest.mark.parametrize("tile", [tiles, plainly], ids=["tile", "text"])
@pytest.mark.parametrize("pitch", [None, MR, MR + 9], ids=["rows", "panel", "columns"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_of_every_size(dtype, pitch, tile) -> None:
    rng, depth, lanes = np.random.default_rng(0), 5, VECTOR_BYTES // np.dtype(dtype).itemsize
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((MR, 20), (depth, 2 * lanes)))
    for vectors, rows, accumulate in itertools.product((1, 2), range(1, MR + 1), (False, True)):
        left = Matrix(a[:, 3:].reshape(-1), np.int64(17))
        if pitch is not None:
            columns = np.full((depth, pitch), np.nan, dtype)
            columns[:, :rows] = a[:rows, 3 : 3 + depth].T
            left = by_columns(columns.reshape(-1)[: pitch * (depth - 1) + rows], pitch)
        c = np.full((MR + 2, 40), 1.0 if accumulate else np.nan, dtype)
        before = c.copy()
        target = Matrix(c.reshape(-1)[2:], 40)
        ending = incomplete(b.reshape(-1))
        tile(rows, vectors, left, b.reshape(-1), depth, target, accumulate, 10**6, ending)
        width = vectors * lanes
        wanted = a[:rows, 3 : 3 + depth] @ b[:, :width] + accumulate
        np.testing.assert_allclose(c[:rows, 2 : 2 + width], wanted, rtol=0, atol=1e-5)
        around = np.ones(c.shape, bool)
        around[: rows + rows % 2, 2 : 2 + width] = False
        np.testing.assert_array_equal(c[around], before[around])


EPILOGUES = {
    "bias": (1.5, Epilogue(np.empty(0), np.empty(0), None)),
    "ReLU": (0.0, Epilogue(np.empty(0), np.empty(0), -0.25)),
    "scale, shift": (0.0, Epilogue(np.array([2.0, -0.5]), np.array([0.5]), None)),
    "all": (-0.75, Epilogue(np.array([2.0, -0.5]), np.array([0.25, 1.0]), 0.125, 0.75)),
}
"""A bias of the last output but one, and an epilogue; each array is repeated for all outputs."""


@pytest.mark.parametrize("tile", [tiles, plainly], ids=["tile", "text"])
@pytest.mark.parametrize("name", EPILOGUES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_end_as_their_outputs_do(dtype, name, tile) -> None:
    """To the bit as the tile without an ending and `complete`; and as the oracle."""
    rng, depth, lanes = np.random.default_rng(1), 5, VECTOR_BYTES // np.dtype(dtype).itemsize
    a, b = (
        rng.standard_normal(shape).astype(dtype) for shape in ((MR, depth), (depth, 2 * lanes))
    )
    outputs, first = MR + 3, 2
    bias, (scale, shift, slope, limit) = EPILOGUES[name]
    biases = np.zeros(outputs, dtype)
    biases[-2] = bias
    scale, shift = (np.resize(each, outputs).astype(dtype) if each.size else each
                    for each in (scale, shift))  # fmt: skip
    epilogue = Epilogue(scale, shift, slope, limit)
    numbers = completion(biases, epilogue, outputs, dtype)
    for vectors, rows in itertools.product((1, 2), range(1, MR + 1)):
        c, plain = np.full((2, MR + 1, 2 * lanes), np.nan, dtype)
        args = rows, vectors, Matrix(a.reshape(-1), depth), b.reshape(-1), depth
        ending = Ending(numbers, first, outputs, True)
        tile(*args, Matrix(c.reshape(-1), 2 * lanes), False, 0, ending)
        unended = Matrix(plain.reshape(-1), 2 * lanes)
        tile(*args, unended, False, 0, incomplete(numbers))
        width = vectors * lanes
        complete(plain.reshape(-1), 0, 2 * lanes, rows, width, first, outputs, numbers)
        np.testing.assert_array_equal(c[:rows, :width], plain[:rows, :width])
        chosen = slice(first, first + rows)
        products = a[:rows].astype(float) @ b[:, :width] + biases[chosen, None]
        wanted = oracle_epilogue(products, scale[chosen], shift[chosen], slope, limit)
        np.testing.assert_allclose(c[:rows, :width], wanted, atol=1e-5)


def oracle_epilogue(y, scale, shift, slope, limit):
    """min(act(scale y + shift), limit), output by output and element by element."""
    found = y.copy()
    for o, row in enumerate(found):
        for t, value in enumerate(row):
            value = value * scale[o] if scale.size else value
            value = value + shift[o] if shift.size else value
            value = value * slope if slope is not None and value < 0 else value
            row[t] = value if limit is None else min(value, limit)
    return found


@pytest.mark.parametrize("tile", [tiles, plainly], ids=["tile", "text"])
def test_nothing_is_read_of_an_ending_that_is_not_due(tile) -> None:
    b = np.full(2 * VECTOR_BYTES // 4, 2.0, np.float32)
    c = np.empty((2, b.size // 2), np.float32)
    args = Matrix(np.ones(1, np.float32), 1), b, 1, Matrix(c.reshape(-1), b.size // 2), False, 0
    tile(1, 1, *args, incomplete(np.empty(0, np.float32)))
    np.testing.assert_array_equal(c[0], 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_endings_keep_what_is_not_a_number(dtype) -> None:
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    b = np.resize(np.array([np.nan, np.inf, -np.inf, -2.0], dtype), 2 * lanes)
    c = np.empty((2, lanes), dtype)
    numbers = completion(np.zeros(1, dtype), Epilogue(b[:0], b[:0], 0.5, 3.0), 1, dtype)
    args = Matrix(np.ones(1, dtype), 1), b, 1, Matrix(c.reshape(-1), lanes), False, 0
    tiles(1, 1, *args, Ending(numbers, 0, 1, True))
    np.testing.assert_array_equal(c[0, :4], [np.nan, 3.0, -np.inf, -1.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", range(1, CROSS_ROWS + 1))
def test_cross_leaves_the_parts_of_inner_products(rows, dtype) -> None:
    rng, lanes = np.random.default_rng(0), VECTOR_BYTES // np.dtype(dtype).itemsize
    x, w = rng.standard_normal((2, 8, 3 * lanes + 1)).astype(dtype)
    sums, stride = np.full((CROSS_ROWS + 1, CROSS, lanes), np.nan, dtype), x.shape[1]
    args = Matrix(x.reshape(-1), stride), Matrix(w.reshape(-1), stride), 3 * lanes
    crosses(rows, *args, sums.reshape(-1))
    products = x[:rows, None, : 3 * lanes] * w[:CROSS, : 3 * lanes]
    wanted = products.reshape(rows, CROSS, 3, lanes).sum(axis=2)
    np.testing.assert_allclose(sums[:rows], wanted, rtol=0, atol=1e-5)
    assert np.isnan(sums[rows:]).all()


def test_the_oracle_rejects_a_forgotten_transpose() -> None:
    a, b, c = operands(4, 4, 4, False, False, np.float64)
    wrong = oracle.product(a, b, c, transpose_a=True)
    gemm(a, b, c)
    assert not np.allclose(c, wrong)
