"""Planar convolution that packs no patches: a tile reads the image, or a stripe of it, in place.

Packing patches costs as much as some panels of outputs.  Here a thread goes through all outputs of
one or two vectors of pixels, while what these read is in the first-level cache.  For 1x1 that is
in the image itself; for larger windows in its stripe (`stripe`), where each tap of some pixels of
one row is contiguous.  The weight, which is small, has been packed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from caffe_lite.kernels.conv.packed_weight import packed_offset
from caffe_lite.kernels.conv.patches import SLACK, Plan, task_of
from caffe_lite.kernels.conv.stripe import fill_stripe, frame_layout, tap_offsets
from caffe_lite.kernels.epilogue import Ending, completed
from caffe_lite.kernels.gemm import MR, tile_sizes
from caffe_lite.kernels.jit import inlined
from caffe_lite.kernels.parallel import parallel
from caffe_lite.kernels.plan import unpack
from caffe_lite.kernels.simd import (
    Bool,
    Emitter,
    Int,
    Ints,
    Library,
    Matrix,
    Pointer,
    add_products,
)

STRETCH_BYTES = 1 << 14
"""Bytes of B that some tiles read, one beside the other, before those of the next outputs.

Of few channels these are several tiles: rows of a large image are fetched and written at length.
"""
LIBRARY = Library("in_place")


@LIBRARY.function
def tiles_in_place(
    e: Emitter,
    rows: Int,
    vectors: Int,
    a: Pointer,
    b: Pointer,
    offsets: Ints,
    depth: Int,
    c: Matrix,
    accumulate: Bool,
    ending: Ending,
) -> None:
    """C (rows, vectors) = or += packed panels of A times what is in B, then its ending.

    vectors: 1 or an even number.  offsets: where each of `depth` lines of B begins.
    """
    whole, columns = rows // MR * MR, vectors * e.lanes

    def compute(height: int, wide: int, first: Int, j: Int, count: Int | None = None) -> None:
        """A tile of `height` rows; of the last ones there may be only `count`, one less."""
        panel = a + first * depth
        lines = [c.row(first + i) + j for i in range(height)]
        if count is not None:
            lines[-1] = c.row(first + count - 1) + j
        ends = [line + v * e.lanes for line in lines for v in range(wide)]
        for end in ends:
            e.prefetch(end + 2 * e.lanes)

        def line(p: Int) -> Pointer:
            start = b + offsets[p] + j
            for v in range(wide):
                e.prefetch(start + (2 + v) * e.lanes)
            return start

        def store(values: list[Any], ends: list[Pointer]) -> None:
            for value, end in zip(values, ends):
                e.store(value, end)

        sums = e.if_else(
            accumulate,
            lambda: [e.load(end) for end in ends],
            lambda: [e.zeros()] * len(ends),
        )
        add_products(e, depth, lambda p: [panel + p * MR + i for i in range(height)], line, sums)
        own = ending._replace(output=ending.output + first)
        values = completed(e, own, sums, wide)
        if count is None:
            store(values, ends)
        else:
            store(values[:-wide], ends[:-wide])
            e.if_then(count == height, lambda: store(values[-wide:], ends[-wide:]))

    def all_heights(wide: int) -> None:
        for first in e.range(whole, MR):
            for j in e.range(columns, wide * e.lanes):
                compute(MR, wide, first, j)
        rest = rows - whole

        def some(height: int) -> None:
            for j in e.range(columns, wide * e.lanes):
                compute(height, wide, whole, j, rest)

        cases = ((rest <= height, partial(some, height)) for height in range(2, MR + 1, 2))
        e.if_then(rest > 0, lambda: e.switch(cases))

    e.if_else(vectors == 1, lambda: all_heights(1), lambda: all_heights(2))


@inlined
def _multiply(p, task, j, vectors, x, stripe, offsets, w, factors, y):
    """y = all outputs of a group for some vectors of pixels, from pixel j of the task on."""
    pixels, size = p.out_height * p.out_width, p.height * p.width
    inputs, outputs, taps = p.inputs // p.group, p.outputs // p.group, p.kernel_h * p.kernel_w
    o = task.group * outputs
    target = Matrix(y[(task.image * p.outputs + o) * pixels + task.pixel + j :], pixels)
    for c in range(0, inputs, p.channels):
        channels = min(p.channels, inputs - c)
        if p.pointwise:
            plane = task.image * p.inputs + task.group * inputs + c
            source = x[plane * size + task.pixel + j :]
        else:
            source = stripe[j // p.row * p.row_step + j % p.row :]
        a = w[packed_offset(p, task.group, c, channels, 0) :]
        depth, added = channels * taps, c > 0
        ending = Ending(factors, o, p.outputs, c + channels == inputs)
        tiles_in_place(outputs, vectors, a, source, offsets, depth, target, added, ending)


@parallel
def convolve(first, last, x, w, factors, y, numbers):
    """A task: all outputs of a group, for a block of pixels of one image.

    w: of `packed_weight`.  numbers: a plan that is `in_place`.
    """
    p, (_, width) = unpack(Plan, numbers), tile_sizes(x)
    lanes = width // 2
    stripe = np.zeros(0 if p.pointwise else p.channels * p.channel_step + SLACK, x.dtype)
    layout, offsets = frame_layout(p), tap_offsets(p)
    tiles = max(1, STRETCH_BYTES // (offsets.size * width * x.itemsize))
    for number in range(first, last):
        task = task_of(p, number)
        if not p.pointwise:
            fill_stripe(p, task, np.int64(0), p.channels, x, layout, stripe)
        for row in range(0, task.pixels, p.row):
            count, j = min(p.row, task.pixels - row), 0
            while j < count:  # the last vector of a row overlaps the one before
                vectors = 2 * min(tiles, (count - j) // width)
                if vectors == 0:
                    vectors = 2 if count - j > lanes and count >= width else 1
                j = min(j, count - vectors * lanes)
                _multiply(p, task, row + j, vectors, x, stripe, offsets, w, factors, y)
                j += vectors * lanes
