"""Convolutions that pack no patches, against the definition in float64."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from numba import config

from caffe_lite.kernels import conv
from caffe_lite.kernels.conv.patches import plan_of
from caffe_lite.kernels.epilogue import Epilogue
from caffe_lite.kernels.gemm import KC, MR
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.parallel import get_num_threads, set_num_threads
from caffe_lite.kernels.simd import VECTOR_BYTES
from tests.oracles import convolution as oracle

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="too slow without a compiler")
LANES = VECTOR_BYTES // 4

# items, channels, spatial, outputs, groups, kernel, stride, pad, dilation
POINTS = [
    (2, 7, (12, 11), MR + 3, 1, (1, 1), (1, 1), (0, 0), (1, 1)),  # an edge, odd outputs
    (1, KC + 5, (9, 15), MR, 1, (1, 1), (1, 1), (0, 0), (1, 1)),  # two slices of the channels
    (2, 6, (40, 17), 2 * MR + 4, 2, (1, 1), (1, 1), (0, 0), (1, 1)),  # blocks of pixels
    (1, 3, (1, 128 + LANES + 1), 5, 1, (1, 1), (1, 1), (0, 0), (1, 1)),
]
WINDOWS = [
    (2, 3, (31, 4 * LANES - 5), MR + 3, 1, (3, 3), (2, 2), (1, 1), (1, 1)),
    (1, 4, (90, 3 * LANES + 4), 10, 2, (5, 2), (3, 1), (2, 0), (1, 1)),
    (1, 2, (13, 8 * LANES - 11), 2 * MR, 1, (4, 7), (1, 4), (0, 3), (1, 1)),
    (2, 3, (19, 2 * LANES + 1), 5, 1, (2, 3), (1, 2), (3, 5), (3, 2)),  # padding and dilation
    (1, 6, (16, LANES + 8), 3 * MR + 3, 3, (3, 2), (1, 1), (2, 1), (2, 3)),
    (1, 2, (9, 129 + LANES), 1, 1, (8, 2), (1, 1), (0, 0), (1, 1)),  # few rows, one output
]


def arrays(case, dtype):
    items, channels, spatial, outputs, group, *sizes = case
    rng, window = np.random.default_rng(0), Window(*sizes)
    x = rng.standard_normal((items, channels, *spatial)).astype(dtype)
    w = rng.standard_normal((outputs, channels // group, *window.kernel)).astype(dtype)
    b, scale, shift = rng.uniform(0.5, 2, (3, outputs)).astype(dtype)
    return x, w, b, scale, shift, group, window


@functools.cache
def defined(case, dtype):
    """The convolution, without its epilogue."""
    x, w, b, _, _, group, window = arrays(case, dtype)
    return oracle.convolution(*(array.astype(np.float64) for array in (x, w, b)), group, window)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("case", POINTS + WINDOWS, ids=str)
def test_they_are_the_definition(case, dtype, tolerance, threads):
    x, w, b, scale, shift, group, window = arrays(case, dtype)
    shape = (x.shape[0], w.shape[0], *window.output(x.shape[2:]))
    how = False, False, group, tuple(window.planar()), x.itemsize, get_num_threads()
    assert plan_of(x.shape, shape, *how)[0].in_place
    memory = np.full(math.prod(shape) + 4 * LANES, 77, dtype)  # behind y nothing is written
    y = memory[: math.prod(shape)].reshape(shape)
    work = np.empty(conv.work_size(window, group, x.shape, w.shape, shape), dtype)
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    try:
        conv.convolution_forward(x, w, b, group, window, work, y, Epilogue(scale, shift, 0.25))
    finally:
        set_num_threads(config.NUMBA_NUM_THREADS)
    wanted = defined(case, dtype) * scale[:, None, None].astype(np.float64) + shift[:, None, None]
    wanted = np.where(wanted > 0, wanted, 0.25 * wanted)
    np.testing.assert_allclose(y, wanted, atol=tolerance * np.abs(wanted).max(), rtol=0)
    assert (memory[math.prod(shape) :] == 77).all()


@pytest.mark.parametrize("case", [POINTS[0], WINDOWS[0]], ids=str)
def test_the_definition_tells_variants_apart(case):
    x, w, b, _, _, group, window = arrays(case, np.float64)
    right = defined(case, np.float64)
    for wrong in (w[::-1], w * (1 + 1e-5), np.roll(w, 1, axis=1)):
        found = oracle.convolution(x, wrong, b, group, window)
        assert np.abs(found - right).max() > 4e-6 * np.abs(right).max()
