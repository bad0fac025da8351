"""Planar convolution of a small image: the transposed product, Y' = X' W'.

In `implicit_gemm` the pixels are the columns of a tile, that is lanes of vectors: 49 pixels, an
image of 7x7, take four vectors of 16 lanes, and a quarter of the work is for nothing.  Here they
are the rows, and the outputs are the columns, of which there are many.

It takes weights that stay as they are, which have been packed for it.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.conv.packed_weight import packed_offset
from caffe_lite.kernels.conv.patches import (
    SLACK,
    Plan,
    list_runs,
    pack_patches,
    patches_workspace,
    task_of,
)
from caffe_lite.kernels.epilogue import complete, incomplete
from caffe_lite.kernels.gemm import pack_across, tile, tile_sizes
from caffe_lite.kernels.jit import inlined
from caffe_lite.kernels.parallel import parallel
from caffe_lite.kernels.plan import unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix, copy_lines


@inlined
def _multiply(p, patches, weight, vectors, depth, added, products):
    """products (pixels, outputs of a panel) = or += patches times a panel of the weight.

    Each tile fetches one half of the next panel.
    """
    height, width = tile_sizes(products)
    pixels, half = p.out_height * p.out_width, depth * width // 2
    for i in range(0, pixels, height):
        rows = Matrix(patches[i // height * p.patches_panel :], np.int64(0))
        ahead = (weight.ctypes.data - rows.data.ctypes.data) // weight.itemsize
        ahead += (2 + i // height % 2) * half
        target = Matrix(products[i * width :], width)
        tile(
            min(height, pixels - i),
            vectors,
            rows,
            weight,
            depth,
            target,
            added,
            ahead,
            incomplete(products),
        )


@inlined
def _store(p, o, count, products, offsets, lines, factors, y):
    """Transpose the products to outputs o, ..., o + count - 1 of y, with the epilogue."""
    pixels = offsets.size
    pack_across(products, offsets, pixels, count, Matrix(lines, pixels))
    to, elements = o * pixels, count * pixels
    vectors = elements * y.itemsize // VECTOR_BYTES
    copy_lines(Matrix(lines, pixels), Matrix(y[to:], pixels), 1, vectors)
    for t in range(vectors * VECTOR_BYTES // y.itemsize, elements):
        y[to + t] = lines[t]
    complete(y, to, pixels, count, pixels, o, p.outputs, factors)


@parallel
def convolve(first, last, x, w, factors, y, numbers):
    """A task: some outputs of a group, slice by slice of the channels.

    w: of `packed_weight`.  numbers: a plan that is `transposed`, of one image.
    """
    p = unpack(Plan, numbers)
    space, (height, width) = patches_workspace(p, x), tile_sizes(x)
    inputs, outputs, pixels = p.inputs // p.group, p.outputs // p.group, p.out_height * p.out_width
    panels, block = (
        (outputs + width - 1) // width,
        (pixels + height - 1) // height * height * width,
    )
    kept = (panels + p.parts - 1) // p.parts if inputs > p.channels else 1
    products = np.empty(kept * block, x.dtype)
    lines, offsets = np.empty(width * pixels + SLACK, x.dtype), np.arange(pixels) * width
    for number in range(first, last):
        task = task_of(p, number)
        runs = list_runs(p, task, width // 2, space.runs)
        for c in range(0, inputs, p.channels):
            channels = min(p.channels, inputs - c)
            depth = channels * p.kernel_h * p.kernel_w
            pack_patches(p, task, c, channels, x, runs, space)
            for panel in range(task.first_panel, task.last_panel):
                weight = w[packed_offset(p, task.group, c, channels, panel) :]
                count = min(width, outputs - panel * width)
                vectors, at = (
                    (2 * count + width - 1) // width,
                    (panel - task.first_panel) % kept * block,
                )
                _multiply(p, space.patches, weight, vectors, depth, c > 0, products[at:])
                if c + channels == inputs:
                    o = task.group * outputs + panel * width
                    _store(p, o, count, products[at:], offsets, lines, factors, y)
