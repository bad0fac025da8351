from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from caffe_lite.kernels import conv as convolution
from caffe_lite.kernels.conv import weight_gradient as kernel
from caffe_lite.kernels.conv import weight_gradient_tiles
from caffe_lite.kernels.gemm import KC, MR
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import get_num_threads, set_num_threads
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix
from tests.oracles import convolution as oracle

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
THREADS = get_num_threads()
ONE, NONE = (1, 1), (0, 0)

# items, channels, spatial, outputs, groups, kernel, stride, pad, dilation
WIDTHS = [(2, 3, (2, w), 4, 1, ONE, ONE, NONE, ONE) for w in range(1, 18)]
PADDED = [(1, 1, (2, w), 3, 1, (2, 3), ONE, (1, 2), ONE) for w in range(1, 18)]
STRIDED = [(1, 2, (3, w), 3, 1, ONE, (2, 2), NONE, ONE) for w in range(1, 35, 3)]
OTHERS = [
    (1, 45, (2, 3), 37, 1, ONE, ONE, NONE, ONE),  # several tiles and panels
    (1, 35, (3, 2), 41, 1, ONE, ONE, NONE, ONE),
    (3, 2, (4, 5), 3, 1, (2, 3), ONE, NONE, ONE),  # taps in the image
    (3, 2, (5, 6), 4, 1, (2, 2), ONE, NONE, (3, 2)),
    (2, 1, (4, 5), 7, 1, (3, 2), ONE, NONE, ONE),  # fewer taps than outputs
    (2, 4, (4, 5), 6, 2, (2, 1), ONE, NONE, ONE),
    (2, 6, (3, 5), 3, 3, (1, 2), (1, 2), (0, 1), ONE),
    (2, 2, (9, 11), 3, 1, (3, 2), (4, 3), (1, 0), ONE),  # strides larger than the kernel
    (2, 2, (5, 7), 3, 1, (2, 3), (3, 2), (1, 2), (2, 3)),  # a phase that no tap meets
    (1, 2, (3, 4), 3, 1, (2, 2), (1, 2), (4, 5), ONE),  # taps that never meet the image
    (2, 2, (3, 4), 3, 1, (3, 4), ONE, NONE, ONE),  # the kernel is the image
    (2, 4, (3, 4), 6, 2, (3, 4), ONE, NONE, ONE),
    (2, 2, (3, 4), 3, 1, (3, 4), (2, 3), NONE, ONE),
    (2, 2, (3, 4), 3, 1, (3, 4), (2, 3), (1, 1), ONE),
    (2, 3, (5, 6), 4, 1, ONE, ONE, NONE, ONE, (1, 2)),  # padding after the end alone
    (2, 2, (3, 4), 3, 1, (3, 4), ONE, NONE, ONE, (1, 0)),
    (2, 1, (4, 5), 7, 1, (3, 2), ONE, NONE, ONE, (0, 1)),
]
LARGE = [
    (3, 70, (20, 18), 20, 1, ONE, ONE, NONE, ONE),
    (3, 20, (20, 18), 75, 1, ONE, ONE, NONE, ONE),  # X is turned
    (9, 20, (8, 9), 50, 2, ONE, ONE, NONE, ONE),  # several images in a chunk, slices
    (9, 24, (12, 11), 40, 1, (5, 4), ONE, NONE, ONE),
    (5, 150, (7, 6), 131, 1, (3, 3), ONE, (1, 1), ONE),  # parts of A
    (2, 4, (3, 5), 1030, 1, (9, 7), ONE, (4, 3), ONE),  # parts of B
    (3, 33, (29, 31), 50, 1, ONE, (2, 2), NONE, ONE),
    (2, 3, (60, 50), 24, 1, (7, 5), (2, 3), (3, 2), ONE),
    (1, 3, (4, 3 * KC + 5), 5, 1, (2, 3), ONE, (1, 1), ONE),  # parts of a line
    (2, 2, (2, 5 * KC), 3, 1, (1, 3), (1, 3), (0, 2), ONE),
    (2, 5, (9, 700), 7, 1, ONE, ONE, NONE, ONE),
    (6, 300, (3, 3), 140, 1, (3, 3), ONE, NONE, ONE),
]


def setting(items, channels, spatial, outputs, group, *sizes, dtype=np.float32):
    rng, window = np.random.default_rng(0), Window(*sizes)
    x = rng.standard_normal((items, channels, *spatial)).astype(dtype)
    dy = rng.standard_normal((items, outputs, *window.output(spatial))).astype(dtype)
    w = rng.standard_normal((outputs, channels // group, *window.kernel)).astype(dtype)
    return x, dy, w, group, window


def gradient(x, dy, w, group, window):
    """What the kernel adds to w."""
    found = w.copy()
    kernel.backward_params(x, dy, group, tuple(window.planar()), found)
    return found


def columns_gradient(x, dy, group, window):
    """By whole columns in float64, one matrix product for each group."""
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    columns = np.empty((len(x), x[0, :, 0, 0].size * np.prod(window.kernel), *dy.shape[2:]))
    convolution.im2col(x, window, columns)
    columns = columns.reshape(len(x), group, -1, dy[0, 0].size)
    gradients = dy.reshape(len(x), group, -1, dy[0, 0].size)
    return np.einsum("ngop,ngkp->gok", gradients, columns)


def relative_error(found, wanted):
    return np.abs(found.reshape(wanted.shape) - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("case", WIDTHS + PADDED + STRIDED + OTHERS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_ones_are_the_definition(case, dtype) -> None:
    x, dy, w, group, window = setting(*case, dtype=dtype)
    x64, dy64, w64 = (array.astype(np.float64) for array in (x, dy, w))
    wanted = w64 + oracle.weight_gradient(x64, dy64, w.shape, group, window)
    found = gradient(x, dy, w, group, window)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


def test_the_oracle_rejects_other_strides_and_dilations() -> None:
    x, dy, w, group, window = setting(2, 2, (9, 9), 3, 1, (2, 2), (2, 1), (1, 0), (1, 2))
    found = gradient(x, dy, np.zeros_like(w), group, window)
    np.testing.assert_allclose(
        found, oracle.weight_gradient(x, dy, w.shape, group, window), rtol=0, atol=1e-4
    )
    for wrong in (window._replace(dilation=(2, 2)), window._replace(pad=NONE)):
        assert not np.allclose(found, oracle.weight_gradient(x, dy, w.shape, group, wrong))


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("case", LARGE, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_ones_agree_with_columns_for_any_number_of_threads(case, dtype) -> None:
    x, dy, w, group, window = setting(*case, dtype=dtype)
    found = []
    for threads in (1, 2, 2):
        set_num_threads(min(threads, THREADS))
        found.append(gradient(x, dy, np.zeros_like(w), group, window))
    set_num_threads(THREADS)
    error = relative_error(found[0], columns_gradient(x, dy, group, window))
    assert error < (8e-7 if dtype == np.float32 else 1e-14)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
def test_many_pixels_lose_no_digits() -> None:
    """A sum of 200 thousand products, one after the other, would be off by a thousandth of it."""
    x, dy, w, group, window = setting(16, 2, (113, 112), 3, 1, (2, 1), ONE, NONE, ONE)
    x, dy = x + 1, dy + 1
    found = gradient(x, dy, np.zeros_like(w), group, window)
    assert relative_error(found, columns_gradient(x, dy, group, window)) < 2e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "case", [WIDTHS[10], PADDED[12], STRIDED[3], OTHERS[4], OTHERS[6]], ids=str
)
def test_nan_and_infinity_reach_only_the_weights_that_meet_them(case, bad) -> None:
    x, dy, w, group, window = setting(*case)
    ins, outs = w.shape[1], len(w) // group
    spoilt = dy.copy()
    spoilt[-1, 1, 0, -1] = bad
    with np.errstate(all="ignore"):
        found = gradient(x, spoilt, w, group, window)
    assert np.isfinite(np.delete(found, 1, axis=0)).all()
    assert not np.isfinite(found[1]).all()
    channel = x.shape[1] - 1
    spoilt = x.copy()
    spoilt[0, channel, 0, 0] = bad
    with np.errstate(all="ignore"):
        found = gradient(spoilt, dy, w, group, window)
    met = np.zeros(w.shape, bool)
    met[channel // ins * outs : (channel // ins + 1) * outs, channel % ins] = True
    assert np.isfinite(found[~met]).all()
    assert not np.isfinite(found[met]).all()


def test_the_plan_cuts_pixels_alike_for_any_number_of_threads() -> None:
    for items, channels, size, outputs, kernel_size in itertools.product(
        (1, 5, 64), (1, 20, 700), (1, 7, 30, 900), (1, 24, 500), (1, 3)
    ):
        x, dy = (items, channels, size, size + 1), (items, outputs, size, size + 1)
        pad = kernel_size // 2
        window = (kernel_size, kernel_size, 1, 1, pad, pad, 1, 1)
        plans = [kernel._plan(x, dy, 1, window, 4, threads)[1] for threads in (1, 2, 7)]
        k = channels * kernel_size**2
        assert len({plan._replace(tall=0, wide=0) for plan in plans}) == 1
        for p in plans:
            a_rows, b_rows = (outputs, k) if p.transposed else (k, outputs)
            assert p.transposed == (kernel_size == 1 and k < outputs)
            assert 1 <= p.lines <= size
            assert 1 <= p.span <= size + 1
            assert p.lines == 1 or p.span == size + 1
            assert p.images == 1 or (p.lines, p.span) == (size, size + 1)
            assert p.images * p.lines * p.span < 2 * KC
            assert 1 <= p.slices <= items
            assert 1 <= p.images <= items
            assert 1 <= p.tall <= a_rows
            assert 1 <= p.wide <= b_rows


# -- the vector code -----------------------------------------------------------------------------


@jit
def tiles(rows, vectors, a, b, c, accumulate):
    weight_gradient_tiles.row_tile(rows, vectors, a, b, c, accumulate)


@jit
def copies(rows, source, stride, count, target):
    weight_gradient_tiles.copy_rows(rows, source, stride, count, target)


@jit
def sums(rows, source, count, target):
    weight_gradient_tiles.add_rows(rows, source, count, target)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_of_every_size(dtype, accumulate) -> None:
    rng, lanes = np.random.default_rng(0), VECTOR_BYTES // np.dtype(dtype).itemsize
    offsets, starts, count = np.arange(2, 20) * 60, np.array([7, 0, 29]), 5
    a = rng.standard_normal(1300).astype(dtype)
    b = rng.standard_normal(15 * 2 * lanes + 3).astype(dtype)
    for vectors, most in ((1, weight_gradient_tiles.TALL), (2, MR)):
        for rows in range(1, most + 1):
            pixels = 4 + starts.reshape(-1, 1) + np.arange(count)
            left = a[offsets[3 : 3 + rows].reshape(-1, 1, 1) + pixels].reshape(rows, -1)
            product = (left @ b[3:].reshape(-1, 2 * lanes))[:, : vectors * lanes]
            wanted = np.ones((rows + 2, 2 * lanes), dtype)
            c = wanted.copy()
            c[1:-1, : vectors * lanes] = 1 if accumulate else np.nan
            wanted[1:-1, : vectors * lanes] = product + accumulate
            lines = weight_gradient_tiles.Lines(a[4:], offsets[3:], starts, 3, count)
            tiles(rows, vectors, lines, b[3:], c[1:].reshape(-1), accumulate)
            np.testing.assert_allclose(c, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_rows_are_copied_and_added(dtype, stride) -> None:
    for count in range(1, 41):
        # Nothing is read after the last number of the last row.
        source = np.arange(2.0, 2 * 200 + (count - 1) * stride + 6).astype(dtype)
        target = np.zeros(150, dtype)
        wanted = target.copy()
        for r in range(3):
            wanted[4 + 45 * r :][:count] = source[3 + 200 * r :: stride][:count]
        copies(3, Matrix(source[3:], 200), stride, count, Matrix(target[4:], 45))
        np.testing.assert_array_equal(target, wanted)
        sums(3, Matrix(wanted[4:], 45), count, Matrix(target[4:], 45))
        np.testing.assert_array_equal(target, 2 * wanted)
