from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.kernels.conv.winograd import convolution as kernel
from caffe_lite.kernels.epilogue import Epilogue
from caffe_lite.kernels.parallel import get_num_threads, set_num_threads
from tests.oracles import convolution as oracle

ROOT = Path(__file__).resolve().parents[2]
COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
THREADS = get_num_threads()

# side of the kernel, items, channels, height, width, outputs, groups, pad_h, pad_w
CASES = [
    (3, 1, 1, 4, 4, 1, 1, 1, 1),
    (3, 2, 3, 5, 9, 5, 1, 0, 1),
    (3, 3, 6, 7, 6, 34, 2, 1, 2),  # several panels of outputs, several images in a vector
    (3, 1, 2, 3, 40, 3, 1, 2, 0),
    (3, 2, 20, 2, 3, 17, 1, 1, 1),  # a plane smaller than a tile
    (5, 1, 1, 6, 6, 1, 1, 0, 0),
    (5, 2, 3, 5, 9, 7, 1, 1, 2),
    (5, 3, 6, 7, 6, 34, 2, 3, 4),
    (5, 1, 2, 5, 40, 3, 1, 2, 0),
    (5, 2, 20, 1, 2, 17, 1, 2, 3),
]


def setting(case, dtype):
    side, items, channels, height, width, outputs, group, *pad = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((items, channels, height, width)).astype(dtype)
    w = rng.standard_normal((outputs, channels // group, side, side)).astype(dtype)
    b = rng.standard_normal(outputs).astype(dtype)
    spatial = (n + 2 * p + 1 - side for n, p in zip((height, width), pad))
    y = np.full((items, outputs, *spatial), np.nan, dtype)
    size = kernel.winograd_work_size(x.shape, w.shape, y.shape, group, y.itemsize)
    return x, w, b, group, (side, side, 1, 1, *pad, 1, 1), np.full(size, np.nan, dtype), y


def wide(*arrays):
    return (array.astype(np.float64) for array in arrays)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways_are_the_definition(case, dtype) -> None:
    x, w, b, group, window, work, y = setting(case, dtype)
    plain = (window[:2], (1, 1), window[4:6], (1, 1))
    close = {"atol": 5e-5 if dtype == np.float32 else 1e-12, "rtol": 0}
    kernel.winograd_forward(x, w, b, group, window, work, y)
    wanted = oracle.convolution(*wide(x, w, b), group, plain)
    np.testing.assert_allclose(y, wanted, **close)
    dy, dx = y.copy(), np.full_like(x, np.nan)
    kernel.winograd_backward(dy, w, b[:0], group, window, work, dx)
    back = oracle.deconvolution(*wide(dy, w), None, group, plain)
    np.testing.assert_allclose(dx, back, atol=close["atol"] * np.abs(dy).max(), rtol=0)


@pytest.mark.parametrize("case", [CASES[1], CASES[6]], ids=str)
def test_the_oracle_rejects_flipped_filters(case) -> None:
    x, w, b, group, window, work, y = setting(case, np.float64)
    kernel.winograd_forward(x, w, b, group, window, work, y)
    plain = (window[:2], (1, 1), window[4:6], (1, 1))
    assert not np.allclose(y, oracle.convolution(x, w[:, :, ::-1, ::-1], b, group, plain))


@pytest.mark.parametrize("case", [CASES[1], CASES[6]], ids=str)
def test_epilogue(case) -> None:
    x, w, b, group, window, work, y = setting(case, np.float64)
    kernel.winograd_forward(x, w, b[:0], group, window, work, y)
    scale, shift, found = b + 3, b - 1, np.empty_like(y)
    kernel.winograd_forward(x, w, b, group, window, work, found, Epilogue(scale, shift, 0.1, 2.0))
    wanted = (y + b[:, None, None]) * scale[:, None, None] + shift[:, None, None]
    wanted = np.minimum(np.where(wanted > 0, wanted, 0.1 * wanted), 2)
    assert (wanted == 2).any()
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("side", "rows", "columns"),
    [
        (3, slice(4, 8), slice(4, 8)),  # the tile of 4 x 4 around it
        (5, slice(3, 8), slice(4, 9)),  # of the tiles of 2 x 2, only outputs over it
    ],
)
def test_nan_spreads_over_its_tiles_only(side, rows, columns) -> None:
    pad = side // 2
    x, w, b, group, window, work, y = setting((side, 1, 2, 11, 12, 3, 1, pad, pad), np.float32)
    x[0, 1, 5, 6] = np.nan
    kernel.winograd_forward(x, w, b, group, window, work, y)
    reached = np.zeros(y.shape, bool)
    reached[:, :, rows, columns] = True
    np.testing.assert_array_equal(np.isnan(y), reached)


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("channels", [64, 512])
@pytest.mark.parametrize("side", [3, 5])
def test_error_against_float64(side, channels) -> None:
    """Seen were 1.1e-6 to 4.1e-6 of the largest output, 2.5e-6 under 5 x 5.

    The bound of the project is 1e-4.
    """
    case = (side, 1, channels, 14, 13, 64, 1, side // 2, side // 2)
    x, w, b, group, window, work, y = setting(case, np.float32)
    w *= np.float32((2 / w[0].size) ** 0.5)
    kernel.winograd_forward(x, w, b[:0], group, window, work, y)
    around = (side // 2, side // 2)
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), around, around))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (2, 3))
    wanted = np.einsum("nchwij,ocij->nohw", patches, w.astype(np.float64), optimize=True)
    assert np.abs(y - wanted).max() < 5e-6 * np.abs(wanted).max()


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize(
    "case",
    [
        (3, 2, 64, 28, 27, 40, 1, 1, 1),
        (3, 1, 256, 9, 8, 256, 1, 1, 0),
        (3, 1, 64, 72, 68, 40, 1, 1, 1),
        (3, 3, 80, 30, 28, 40, 1, 1, 1),  # an odd number of blocks, each for both threads
        (5, 2, 64, 28, 27, 40, 2, 2, 1),
    ],
)
def test_bit_equal_for_any_number_of_threads(case) -> None:
    *inputs, y = setting(case, np.float32)
    found = []
    for threads in (1, 2):
        set_num_threads(min(threads, THREADS))
        kernel.winograd_forward(*inputs, y)
        found.append(y.copy())
    set_num_threads(THREADS)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    "cut",
    [
        {"FEW": 1, "SHARED_BYTES": 0},  # three tasks, each with its own filters
        {"FEW": 1, "BLOCK_BYTES": 0},  # three that share them
        {"FEW": 1, "BLOCK_BYTES": 1 << 30},  # one block, for as many tasks as threads
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [3, 5])
def test_the_bits_are_the_same_however_the_work_is_cut(side, cut, monkeypatch, request) -> None:
    case = (side, 2, 3, 22, 25, 17, 1, 1, 1)
    x, w, b, group, window, work, y = setting(case, np.float32)
    kernel.winograd_forward(x, w, b, group, window, work, y)
    for name, value in cut.items():
        monkeypatch.setattr(kernel, name, value)
    kernel._plan.cache_clear()  # plans are kept for each shape
    request.addfinalizer(kernel._plan.cache_clear)
    *_, work, found = setting(case, np.float32)
    kernel.winograd_forward(x, w, b, group, window, work, found)
    np.testing.assert_array_equal(found, y)


# Forward and back, filters shared (12 pairs of vectors) and not.
SCRIPT = """
import hashlib
import numpy as np
from caffe_lite.kernels.conv.winograd import convolution as kernel

draws = np.random.default_rng(0)
for channels, size, side in ((9, 12, 3), (16, 76, 3), (9, 12, 5)):
    x = draws.standard_normal((1, channels, size, size)).astype(np.float32)
    w = draws.standard_normal((channels, channels, side, side)).astype(np.float32)
    y, dx, none = np.empty_like(x), np.empty_like(x), np.empty(0, np.float32)
    work = np.empty(kernel.winograd_work_size(x.shape, w.shape, y.shape, 1), np.float32)
    window = side, side, 1, 1, side // 2, side // 2, 1, 1
    kernel.winograd_forward(x, w, none, 1, window, work, y)
    kernel.winograd_backward(y, w, none, 1, window, work, dx)
    print(hashlib.sha256(y.tobytes() + dx.tobytes()).hexdigest())
"""


@pytest.mark.skipif(not COMPILED, reason="compiles nothing")
def test_compiled_now_or_before_the_bits_are_the_same(tmp_path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT]
    runs = [
        subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
