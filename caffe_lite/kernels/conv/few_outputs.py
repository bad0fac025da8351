"""1x1 convolution to few outputs: the image is read in place.

Packing patches costs as much as some panels of outputs.  Where there are only a few, vectors of
pixels are loaded from the image itself, and a thread goes through all outputs, while these vectors
are in the first-level cache.  The weight, which is small, has been packed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from caffe_lite.kernels.conv.packed_weight import packed_offset
from caffe_lite.kernels.conv.patches import Plan, task_of
from caffe_lite.kernels.epilogue import Ending, completed
from caffe_lite.kernels.gemm import MR, tile_sizes
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import parallel
from caffe_lite.kernels.plan import unpack
from caffe_lite.kernels.simd import Bool, Emitter, Int, Library, Matrix, Pointer, add_products

LIBRARY = Library("few_outputs")


@LIBRARY.function
def tile_of_image(
    e: Emitter,
    rows: Int,
    vectors: Int,
    a: Pointer,
    b: Matrix,
    depth: Int,
    c: Matrix,
    accumulate: Bool,
    ending: Ending,
) -> None:
    """C (rows, 1 or 2 vectors) = or += a packed panel of A times rows of B, `depth` of them.

    Then its ending.  If the rows are odd, one more is written.
    """

    def compute(height: int, wide: int) -> None:
        def line(p: Int) -> Pointer:
            start = b.row(p)
            for v in range(wide):
                e.prefetch(start + (2 + v) * e.lanes)
            return start

        ends = [c.row(i) + v * e.lanes for i in range(height) for v in range(wide)]
        for end in ends:
            e.prefetch(end + 2 * e.lanes)
        sums = [e.select(accumulate, e.load(end), e.zeros()) for end in ends]
        add_products(e, depth, lambda p: [a + p * MR + i for i in range(height)], line, sums)
        for value, end in zip(completed(e, ending, sums, wide), ends):
            e.store(value, end)

    def heights(wide: int) -> Iterator[Any]:
        for height in range(2, MR + 1, 2):
            yield (True if height == MR else rows <= height), partial(compute, height, wide)

    e.if_else(vectors == 1, lambda: e.switch(heights(1)), lambda: e.switch(heights(2)))


@jit
def _copy_edge(image, count, depth, edge):
    """The last columns of an image, fewer than whole vectors, to rows of a buffer."""
    for k in range(depth):
        for t in range(count):
            edge.data[k * edge.stride + t] = image.data[k * image.stride + t]


@inlined
def _multiply(p, task, panel, j, c, image, w, factors, spare, y):
    """y = or += a panel of the weight times up to two vectors of pixels, from pixel j on."""
    height, width = tile_sizes(spare)
    pixels, outputs = p.out_height * p.out_width, p.outputs // p.group
    lanes, here = width // 2, min(width, task.pixels - j)
    channels = min(p.channels, p.inputs // p.group - c)
    rows, vectors = min(height, outputs - panel * height), (here + lanes - 1) // lanes
    o = task.group * outputs + panel * height
    target = y[(task.image * p.outputs + o) * pixels + task.pixel + j :]
    a = w[packed_offset(p, task.group, c, channels, panel) :]
    added, ending = c > 0, Ending(factors, o, p.outputs, c + channels == p.inputs // p.group)
    if here == vectors * lanes and rows % 2 == 0:
        tile_of_image(rows, vectors, a, image, channels, Matrix(target, pixels), added, ending)
        return
    if added:
        for i in range(rows):
            for t in range(here):
                spare[i * width + t] = target[i * pixels + t]
    tile_of_image(rows, vectors, a, image, channels, Matrix(spare, width), added, ending)
    for i in range(rows):
        for t in range(here):
            target[i * pixels + t] = spare[i * width + t]


@parallel
def convolve(first, last, x, w, factors, y, numbers):
    """A task: all outputs of a group, for a block of pixels of one image.

    w: of `packed_weight`.  numbers: a plan that is `in_place`.
    """
    p, (height, width) = unpack(Plan, numbers), tile_sizes(x)
    inputs, pixels = p.inputs // p.group, p.out_height * p.out_width
    spare = np.empty(height * width, x.dtype)
    edge = Matrix(np.zeros(p.channels * width, x.dtype), width)
    for number in range(first, last):
        task = task_of(p, number)
        plane = task.image * p.inputs + task.group * inputs
        for j in range(0, task.pixels, width):
            here = min(width, task.pixels - j)
            for c in range(0, inputs, p.channels):
                image = Matrix(x[(plane + c) * pixels + task.pixel + j :], pixels)
                if here % (width // 2):
                    _copy_edge(image, here, min(p.channels, inputs - c), edge)
                    image = edge
                for panel in range(task.first_panel, task.last_panel):
                    _multiply(p, task, panel, j, c, image, w, factors, spare, y)
