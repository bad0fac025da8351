from __future__ import annotations

import os

import numba
import numpy as np
import pytest

from caffe_lite.kernels import _winograd as kernel
from caffe_lite.kernels.gemm import Epilogue
from tests.oracles import convolution as oracle

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"

# items, channels, height, width, outputs, groups, pad_h, pad_w
CASES = [
    (1, 1, 4, 4, 1, 1, 1, 1),
    (2, 3, 5, 9, 5, 1, 0, 1),
    (3, 6, 7, 6, 34, 2, 1, 2),  # several panels of outputs, several images in a vector
    (1, 2, 3, 40, 3, 1, 2, 0),
    (2, 20, 2, 3, 17, 1, 1, 1),  # a plane smaller than a tile
]


def setting(case, dtype):
    items, channels, height, width, outputs, group, *pad = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((items, channels, height, width)).astype(dtype)
    w = rng.standard_normal((outputs, channels // group, 3, 3)).astype(dtype)
    b = rng.standard_normal(outputs).astype(dtype)
    y = np.full((items, outputs, height + 2 * pad[0] - 2, width + 2 * pad[1] - 2), np.nan, dtype)
    size = kernel.winograd_work_size(x.shape, w.shape, y.shape, group, y.itemsize)
    return x, w, b, group, (3, 3, 1, 1, *pad, 1, 1), np.full(size, np.nan, dtype), y


def wide(*arrays):
    return (array.astype(np.float64) for array in arrays)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways_are_the_definition(case, dtype) -> None:
    x, w, b, group, window, work, y = setting(case, dtype)
    plain = ((3, 3), (1, 1), window[4:6], (1, 1))
    close = {"atol": 5e-5 if dtype == np.float32 else 1e-12, "rtol": 0}
    kernel.winograd_forward(x, w, b, group, window, work, y)
    wanted = oracle.convolution(*wide(x, w, b), group, plain)
    np.testing.assert_allclose(y, wanted, **close)
    dy, dx = y.copy(), np.full_like(x, np.nan)
    kernel.winograd_backward(dy, w, b[:0], group, window, work, dx)
    back = oracle.deconvolution(*wide(dy, w), None, group, plain)
    np.testing.assert_allclose(dx, back, atol=close["atol"] * np.abs(dy).max(), rtol=0)


def test_the_oracle_rejects_flipped_filters() -> None:
    x, w, b, group, window, work, y = setting(CASES[1], np.float64)
    kernel.winograd_forward(x, w, b, group, window, work, y)
    plain = ((3, 3), (1, 1), window[4:6], (1, 1))
    assert not np.allclose(y, oracle.convolution(x, w[:, :, ::-1, ::-1], b, group, plain))


def test_epilogue() -> None:
    x, w, b, group, window, work, y = setting(CASES[1], np.float64)
    kernel.winograd_forward(x, w, b[:0], group, window, work, y)
    scale, shift, found = b + 3, b - 1, np.empty_like(y)
    kernel.winograd_forward(x, w, b, group, window, work, found, Epilogue(scale, shift, 0.1))
    wanted = (y + b[:, None, None]) * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(found, np.where(wanted > 0, wanted, 0.1 * wanted), atol=1e-12)


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("channels", [64, 512])
def test_error_against_float64(channels) -> None:
    """A tenth of the bound of the project, which is 1e-4 of the largest output."""
    x, w, b, group, window, work, y = setting((1, channels, 14, 13, 64, 1, 1, 1), np.float32)
    w *= np.float32((2 / (9 * channels)) ** 0.5)
    kernel.winograd_forward(x, w, b[:0], group, window, work, y)
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    wanted = np.einsum("nchwij,ocij->nohw", patches, w.astype(np.float64), optimize=True)
    assert np.abs(y - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("case", [(2, 64, 28, 27, 40, 1, 1, 1), (1, 256, 9, 8, 256, 1, 1, 0)])
def test_bit_equal_for_any_number_of_threads(case) -> None:
    *inputs, y = setting(case, np.float32)
    found = []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        kernel.winograd_forward(*inputs, y)
        found.append(y.copy())
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(*found)


def test_the_rule() -> None:
    w = (512, 512, 3, 3)
    assert kernel.winograd_wins((1, 512, 14, 14), w, (1, 512, 14, 14), 1)
    assert kernel.winograd_wins((8, 512, 7, 7), w, (8, 512, 7, 7), 1)
    assert not kernel.winograd_wins((1, 512, 7, 7), w, (1, 512, 7, 7), 1)
    assert not kernel.winograd_wins((8, 3, 224, 224), (64, 3, 3, 3), (8, 64, 224, 224), 1)
