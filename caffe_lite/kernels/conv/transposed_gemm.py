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
    Patches,
    Plan,
    list_runs,
    pack_patches,
    patches_workspace,
    task_of,
)
from caffe_lite.kernels.epilogue import complete, incomplete
from caffe_lite.kernels.gemm import by_columns, pack_across, packed_panel, tile, tile_sizes
from caffe_lite.kernels.jit import inlined
from caffe_lite.kernels.parallel import parallel
from caffe_lite.kernels.plan import unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix, copy_lines

MOST_PATCHES = 1 << 19
"""Bytes of the patches of all channels, up to which they are packed at once."""


@inlined
def _multiply(p, patches, weight, vectors, depth, added, products):
    """products (pixels, outputs of a panel) = or += patches times a panel of the weight.

    patches: packed, or the image itself.  Each tile fetches one half of the next panel.
    """
    height, width = tile_sizes(products)
    pixels, half = p.out_height * p.out_width, depth * width // 2
    for i in range(0, pixels, height):
        if p.pointwise:
            rows = by_columns(patches[i:], pixels)
        else:
            rows = packed_panel(patches[i // height * p.patches_panel :])
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
def _store(p, first, count, products, offsets, lines, factors, y):
    """Transpose the products to `count` rows of y, from row `first` on, with the epilogue."""
    pixels, outputs = offsets.size, p.outputs
    pack_across(products, offsets, pixels, count, Matrix(lines, pixels))
    to, elements = first * pixels, count * pixels
    vectors = elements * y.itemsize // VECTOR_BYTES
    copy_lines(Matrix(lines, pixels), Matrix(y[to:], pixels), 1, vectors)
    for t in range(vectors * VECTOR_BYTES // y.itemsize, elements):
        y[to + t] = lines[t]
    complete(y, to, pixels, count, pixels, first % outputs, outputs, factors)


@parallel
def convolve(first, last, x, w, factors, y, numbers):
    """A task: some outputs of a group for one image.

    The image of a 1x1 kernel is read in place.  Otherwise patches are packed: of all channels
    before the first product, if they are small enough.  If not, the products of all outputs are
    kept from slice to slice of the channels.
    w: of `packed_weight`.  numbers: a plan that is `transposed`.
    """
    p = unpack(Plan, numbers)
    space, (height, width) = patches_workspace(p, x), tile_sizes(x)
    inputs, outputs, pixels = p.inputs // p.group, p.outputs // p.group, p.out_height * p.out_width
    panels, tall = (outputs + width - 1) // width, (pixels + height - 1) // height
    slices = (inputs + p.channels - 1) // p.channels
    size = 0 if p.pointwise else tall * p.patches_panel
    at_once = slices if slices * size * x.itemsize <= MOST_PATCHES else 1
    patches = np.empty(at_once * size + SLACK, x.dtype)
    kept = 1 if at_once == slices else (panels + p.parts - 1) // p.parts
    block = tall * height * width
    products = np.empty(kept * block, x.dtype)
    lines, offsets = np.empty(width * pixels + SLACK, x.dtype), np.arange(pixels) * width
    for number in range(first, last):
        task = task_of(p, number)
        runs = space.runs[:0] if p.pointwise else list_runs(p, task, width // 2, space.runs)
        for start in range(0, slices, at_once):
            for part in range(0 if p.pointwise else at_once):
                c = (start + part) * p.channels
                target = patches[part * size :]
                buffers = Patches(space.layout, space.stripe, space.taps, space.runs, target)
                pack_patches(p, task, c, min(p.channels, inputs - c), x, runs, buffers)
            for panel in range(task.first_panel, task.last_panel):
                count = min(width, outputs - panel * width)
                vectors = (2 * count + width - 1) // width
                found = products[(panel - task.first_panel) % kept * block :]
                for part in range(at_once):
                    c = (start + part) * p.channels
                    channels = min(p.channels, inputs - c)
                    weight = w[packed_offset(p, task.group, c, channels, panel) :]
                    depth = channels * p.kernel_h * p.kernel_w
                    rows = patches[part * size :]
                    if p.pointwise:
                        rows = x[(task.image * p.inputs + task.group * inputs + c) * pixels :]
                    _multiply(p, rows, weight, vectors, depth, c > 0, found)
                if start + at_once == slices:
                    row = task.image * p.outputs + task.group * outputs + panel * width
                    _store(p, row, count, found, offsets, lines, factors, y)
