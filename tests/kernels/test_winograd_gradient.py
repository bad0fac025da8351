from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from caffe_lite.kernels.conv import (
    Algorithm,
    algorithm,
    convolution_backward_params,
    winograd,
    work_size,
)
from caffe_lite.kernels.conv.winograd import weight_gradient as kernel
from caffe_lite.kernels.geometry import Window
from tests.oracles import convolution as oracle

ROOT = Path(__file__).resolve().parents[2]
COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"

# items, channels, height, width, outputs, groups, pad_h, pad_w
CASES = [
    (1, 1, 4, 5, 1, 1, 1, 1),
    (2, 3, 5, 9, 5, 1, 0, 1),
    (3, 6, 7, 6, 34, 2, 1, 2),  # several panels of outputs in each group
    (2, 20, 5, 6, 9, 1, 1, 1),  # a panel of channels and a part of one
    (1, 2, 46, 45, 3, 1, 1, 0),  # two or more portions of the tiles
    (1, 1, 3, 525, 2, 1, 1, 2),  # a row of tiles in several strips
    (2, 2, 4, 3, 17, 1, 2, 2),  # rows shorter than a vector
]
SENTINEL = 7
"""Stands around arrays that nothing else may be written to."""


def guarded(array):
    """A copy between numbers that the kernel may not touch, and the whole."""
    whole = np.full(array.size + 128, SENTINEL, array.dtype)
    inside = whole[64:-64].reshape(array.shape)
    inside[...] = array
    return inside, whole


def setting(case, reach, dtype):
    items, channels, height, width, outputs, group, *pad = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((items, channels, height, width)).astype(dtype)
    output = (height + 2 * pad[0] + 1 - reach, width + 2 * pad[1] + 1 - reach)
    dy = rng.standard_normal((items, outputs, *output)).astype(dtype)
    dw = rng.standard_normal((outputs, channels // group, reach, reach)).astype(dtype)
    size = kernel.winograd_gradient_work_size(x.shape, dw.shape, dy.shape, group, x.itemsize)
    window = reach, reach, 1, 1, *pad, 1, 1
    return x, dy, group, window, np.full(size, np.nan, dtype), dw


def plain_window(window):
    return window[:2], (1, 1), window[4:6], (1, 1)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("reach", [3, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_adds_the_definition(case, reach, dtype) -> None:
    if reach == 5:
        case = (*case[:2], case[2] + 2, case[3] + 2, *case[4:])
    x, dy, group, window, work, dw = setting(case, reach, dtype)
    work, around_work = guarded(work)
    found, around_dw = guarded(dw)
    kernel.winograd_backward_params(x, dy, group, window, work, found)
    wide = x.astype(np.float64), dy.astype(np.float64), dw.shape
    wanted = dw + oracle.weight_gradient(*wide, group, plain_window(window))
    bound = (3e-6 if dtype == np.float32 else 1e-14) * np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, atol=bound, rtol=0)
    for array in (around_work, around_dw):
        assert (array[:64] == SENTINEL).all()
        assert (array[-64:] == SENTINEL).all()


@pytest.mark.parametrize("reach", [3, 5])
def test_the_oracle_rejects_turned_filters_and_other_items(reach) -> None:
    x, dy, group, window, work, dw = setting((2, 3, 6, 7, 5, 1, 1, 1), reach, np.float64)
    dw[...] = 0
    kernel.winograd_backward_params(x, dy, group, window, work, dw)
    wanted = oracle.weight_gradient(x, dy, dw.shape, group, plain_window(window))
    np.testing.assert_allclose(dw, wanted)
    other = oracle.weight_gradient(x[::-1], dy, dw.shape, group, plain_window(window))
    for wrong in (wanted[:, :, ::-1, ::-1], wanted.swapaxes(2, 3), other):
        assert not np.allclose(dw, wrong)


@pytest.mark.parametrize("reach", [3, 5])
def test_nan_stays_with_its_channel_and_output(reach) -> None:
    x, dy, group, window, work, dw = setting((1, 3, 9, 10, 4, 1, 1, 1), reach, np.float32)
    x[0, 1, 5, 6] = dy[0, 2, 3, 4] = np.nan
    kernel.winograd_backward_params(x, dy, group, window, work, dw)
    reached = np.zeros(dw.shape, bool)
    reached[:, 1] = reached[2] = True
    np.testing.assert_array_equal(np.isnan(dw), reached)


@pytest.mark.parametrize(
    ("reach", "case"),
    [
        (3, (2, 35, 13, 14, 70, 1, 1, 1)),  # one portion, cut along outputs and channels
        (3, (3, 6, 34, 30, 10, 2, 1, 1)),  # three portions of two groups
        (5, (2, 18, 23, 21, 9, 1, 2, 2)),
    ],
    ids=str,
)
def test_bit_equal_for_any_number_of_threads(reach, case, monkeypatch) -> None:
    monkeypatch.setattr(kernel, "config", SimpleNamespace(NUMBA_NUM_THREADS=16))
    monkeypatch.setattr(kernel, "pieces_of", lambda tasks, elements: tasks)
    found = []
    for threads in (1, 2, 3, 7, 16):
        monkeypatch.setattr(kernel, "get_num_threads", lambda threads=threads: threads)
        *inputs, dw = setting(case, reach, np.float32)
        kernel.winograd_backward_params(*inputs, dw)
        found.append(dw)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize(
    ("reach", "case"),
    [
        (3, (8, 64, 56, 56, 64, 1, 1, 1)),
        (3, (8, 128, 7, 7, 128, 1, 1, 1)),
        (3, (16, 96, 13, 13, 128, 2, 1, 1)),
        (5, (16, 96, 27, 27, 64, 2, 2, 2)),
    ],
    ids=str,
)
def test_error_against_float64(reach, case) -> None:
    """Seen were 8.8e-7 to 1.8e-6 of the largest gradient; the bound of the project is 1e-5."""
    x, dy, group, window, work, dw = setting(case, reach, np.float32)
    dw[...] = 0
    kernel.winograd_backward_params(x, dy, group, window, work, dw)
    pads = [(0, 0), (0, 0), *((pad, pad) for pad in window[4:6])]
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(x, pads), (reach, reach), (2, 3))
    patches = patches.astype(np.float64).reshape(len(x), group, -1, *patches.shape[2:])
    gradient = dy.astype(np.float64).reshape(len(x), group, -1, *dy.shape[2:])
    wanted = np.einsum("ngohw,ngchwij->gocij", gradient, patches, optimize=True)
    assert np.abs(dw - wanted.reshape(dw.shape)).max() < 3e-6 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("reach", "stride", "expected"), [(3, 1, True), (5, 1, True), (3, 2, False), (7, 1, False)]
)
def test_a_convolution_that_is_winograd_takes_it(reach, stride, expected, monkeypatch) -> None:
    called = []
    monkeypatch.setattr(winograd, "winograd_backward_params", lambda *_: called.append(True))
    window = Window((reach,) * 2, (stride,) * 2, (1, 1), (1, 1))
    x = np.ones((3, 8, 17, 18), np.float32)
    dy = np.ones((3, 9, *window.output(x.shape[2:])), np.float32)
    dw = np.zeros((9, 8, reach, reach), np.float32)
    work = np.empty(work_size(window, 1, x.shape, dw.shape, dy.shape), np.float32)
    convolution_backward_params(x, dy, 1, window, work, dw)
    assert bool(called) == expected
    assert (algorithm(window, 1, x.shape, dy.shape) == Algorithm.WINOGRAD) == expected


# In one portion and in several.
SCRIPT = """
import hashlib
import numpy as np
from caffe_lite.kernels.conv.winograd import weight_gradient as kernel

draws = np.random.default_rng(0)
for reach, size in ((3, 12), (3, 76), (5, 13)):
    x = draws.standard_normal((1, 9, size, size)).astype(np.float32)
    dy = draws.standard_normal((1, 17, size, size)).astype(np.float32)
    dw = np.zeros((17, 9, reach, reach), np.float32)
    work = np.empty(
        kernel.winograd_gradient_work_size(x.shape, dw.shape, dy.shape, 1), np.float32
    )
    window = reach, reach, 1, 1, reach // 2, reach // 2, 1, 1
    kernel.winograd_backward_params(x, dy, 1, window, work, dw)
    print(hashlib.sha256(dw.tobytes()).hexdigest())
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
