"""Convolutions whose weights stay as they are: the same numbers, from weights that were packed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numba import config

from caffe_lite.kernels import conv
from caffe_lite.kernels.conv.patches import plan_of
from caffe_lite.kernels.epilogue import Epilogue
from caffe_lite.kernels.gemm import KC, MR
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.parallel import get_num_threads, record, set_num_threads
from caffe_lite.kernels.simd import VECTOR_BYTES

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")
LANES = VECTOR_BYTES // 4

# items, channels, spatial, outputs, groups, kernel, stride, pad
PLAIN = [
    (2, 12, (5, 9), 2 * MR + 3, 1, (1, 1), (1, 1), (0, 0)),
    (1, KC + 40, (LANES, 2 * LANES), 231, 1, (1, 1), (1, 1), (0, 0)),  # two slices
    (2, 6, (9, 8), 34, 2, (3, 2), (2, 1), (1, 0)),
    (3, 8, (6, 7), 10, 1, (1, 1), (2, 2), (0, 0)),  # its pixels are gathered
    (1, 70, (11, 6), 5, 1, (2, 3), (1, 2), (1, 1)),
]
SMALL = [
    (1, 300, (1, LANES + 1), 2 * LANES, 1, (1, 1), (1, 1), (0, 0)),  # two slices
    (1, 90, (1, LANES + 1), 5 * LANES - 3, 1, (1, 1), (1, 1), (0, 0)),
    (1, 60, (3, LANES + 3), 6 * LANES + 2, 2, (3, 3), (2, 2), (1, 1)),
    (1, 200, (4, LANES + 1), 3 * LANES, 1, (2, 3), (3, 1), (0, 1)),  # several slices
    (3, 300, (3, LANES + 3), 8 * LANES, 2, (3, 2), (2, 2), (1, 0)),  # several images, and slices
    (1, 2500, (4, 5), 2 * LANES, 1, (3, 3), (1, 1), (0, 0)),  # more patches than are kept
]
"""Images of few pixels, for which a vector of pixels is mostly empty."""
IN_PLACE = [
    (2, 70, (12, 11), 11, 1, (1, 1), (1, 1), (0, 0)),  # an edge, odd rows
    (1, KC + 20, (9, 2 * LANES), 2 * MR + 3, 1, (1, 1), (1, 1), (0, 0)),  # two slices
    (2, 10, (40, 17), 2 * MR, 2, (1, 1), (1, 1), (0, 0)),  # two blocks of pixels
    (2, 3, (31, 4 * LANES - 6), MR + 3, 1, (3, 2), (2, 2), (1, 1)),
]
"""Small weights, for which the image is read in place."""
WINOGRAD = [
    (2, 20, (9, 14), MR + 9, 1, (3, 3), (1, 1), (1, 1)),
    (1, 16, (8, 12), 18, 2, (5, 5), (1, 1), (2, 1)),
]


class Setting:
    """Arrays of one convolution."""

    def __init__(self, items, channels, spatial, outputs, group, kernel, stride, pad, dtype):
        rng = np.random.default_rng(0)
        self.window, self.group = Window(kernel, stride, pad, (1, 1)), group
        self.x = rng.standard_normal((items, channels, *spatial)).astype(dtype)
        self.w = rng.standard_normal((outputs, channels // group, *kernel)).astype(dtype)
        self.b, scale, shift = rng.uniform(0.5, 2, (3, outputs)).astype(dtype)
        self.epilogue = Epilogue(scale, shift, 0.25)
        self.y = np.full((items, outputs, *self.window.output(spatial)), np.nan, dtype)
        shapes = self.x.shape, self.w.shape, self.y.shape
        self.work = np.empty(conv.work_size(self.window, group, *shapes), dtype)

    def forward(self):
        y = np.full_like(self.y, np.nan)
        self._forward_to(y)
        return y

    def record(self):
        with record(weights_stay=True) as recording:
            self._forward_to(self.y)
        return recording

    def _forward_to(self, y):
        args = self.x, self.w, self.b, self.group, self.window, self.work, y, self.epilogue
        conv.convolution_forward(*args)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", PLAIN + SMALL + IN_PLACE + WINOGRAD, ids=str)
def test_they_compute_the_same_numbers(case, dtype, threads):
    setting = Setting(*case, dtype)
    wanted = setting.forward()
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    try:
        recording = setting.record()
        np.testing.assert_array_equal(setting.y, wanted)
        setting.x *= -1.5
        setting.work[...] = np.nan  # in which nothing may stay
        recording.repeat(np.zeros((0, 2), np.int64))
        np.testing.assert_array_equal(setting.y, setting.forward())
        assert (setting.y != wanted).any()
    finally:
        set_num_threads(config.NUMBA_NUM_THREADS)


@pytest.mark.parametrize("case", [PLAIN[0], SMALL[0], IN_PLACE[0], WINOGRAD[0]], ids=str)
def test_what_depends_on_weights_alone_is_not_computed_again(case):
    setting = Setting(*case, np.float32)
    recording, before = setting.record(), setting.y.copy()
    for array in (setting.w, setting.b, setting.epilogue.scale, setting.epilogue.shift):
        array[...] = np.nan
    setting.y[...] = np.nan
    recording.repeat(np.zeros((0, 2), np.int64))
    np.testing.assert_array_equal(setting.y, before)


@pytest.mark.parametrize(
    ("cases", "transposed", "in_place"),
    [(PLAIN[:2], False, False), (SMALL, True, False), (IN_PLACE, False, True)],
)
def test_how_products_are_computed(cases, transposed, in_place):
    for case in cases:
        setting = Setting(*case, np.float32)
        how = setting.group, tuple(setting.window.planar()), 4, get_num_threads()
        plan, *_ = plan_of(setting.x.shape, setting.y.shape, False, True, *how)
        assert (plan.transposed, plan.in_place) == (transposed, in_place), case
        plan, *_ = plan_of(setting.x.shape, setting.y.shape, False, False, *how)
        assert (plan.transposed, plan.in_place, plan.packed) == (False, in_place, in_place)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("side", [3, 14])
def test_the_memory_that_is_asked_for_is_enough(side, kernel):
    case = (1, 150, (side, side + kernel), 230, 1, (kernel,) * 2, (1, 1), (kernel // 2,) * 2)
    setting = Setting(*case, np.float32)
    setting.record()  # compiles, and plans
    tracemalloc.start()
    try:
        recording = setting.record()
        kept = tracemalloc.get_traced_memory()[0] / 4
    finally:
        tracemalloc.stop()
    assert len(recording)
    asked = conv.prepared_size(setting.w.shape, setting.group)
    assert setting.w.size < kept < asked + 10_000  # arguments, and the factors of the epilogue
