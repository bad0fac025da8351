"""Planar convolution as products of packed blocks: implicit GEMM.

Caffe copies the patch under every output pixel to a column (im2col) and multiplies matrices.  Here
a thread packs the patches of one block of pixels (`patches`), and multiplies them while they are
in cache.

Rows of the weight are read in place; for the gradient, whose matrix is the transpose, they are
packed where they are used.  Weights that stay as they are have been packed (`packed_weight`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.conv import in_place, transposed_gemm
from caffe_lite.kernels.conv.packed_weight import packed_offset, packed_weight
from caffe_lite.kernels.conv.patches import (
    Plan,
    list_runs,
    pack_patches,
    patches_workspace,
    plan_of,
    task_of,
)
from caffe_lite.kernels.epilogue import Ending
from caffe_lite.kernels.gemm import (
    MR,
    Block,
    block_times_panel,
    pack_panels,
    packed_panel,
    tile_sizes,
)
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import get_num_threads, launch, parallel, weights_stay
from caffe_lite.kernels.plan import unpack
from caffe_lite.kernels.simd import Matrix

LOT = 8
"""Panels of a 1x1 weight that are packed at once for the gradient.

A cache line of the weight holds a few elements of each, and would be loaded for each again.
"""


class Workspace(NamedTuple):
    """The buffers of one thread."""

    patches: Any  # packed panels
    a: Any  # packed panels of the weight
    c: Any  # tiles that are then copied to y


@inlined
def _workspace(p, patches):
    height, width = tile_sizes(patches)
    panels = (p.images * p.pixels + width - 1) // width
    lot = LOT if p.kernel_h * p.kernel_w == 1 else 1
    return Workspace(
        patches,
        np.empty(lot * p.weight_panel, patches.dtype),
        np.empty(height * (panels * width if p.staged else width), patches.dtype),
    )


@inlined
def _weight_rows(p, task, c, channels, panel, w, a):
    """The rows of one panel, of `channels` channels of the group from c on; packed if flipped."""
    outputs, taps, inputs = p.outputs // p.group, p.kernel_h * p.kernel_w, p.inputs // p.group
    o = panel * MR
    if p.packed:
        return packed_panel(w[packed_offset(p, task.group, c, channels, panel) :])
    if not p.flipped:
        depth = inputs * taps
        return Matrix(w[(task.group * outputs + o) * depth + c * taps :], depth)
    at = ((task.group * inputs + c) * outputs + o) * taps
    lot = 0
    if taps == 1:
        lot = (panel - task.first_panel) % LOT
        if lot == 0:
            some, target = min(LOT * MR, outputs - o), Matrix(a, p.weight_panel)
            pack_panels(Matrix(w[at:], outputs), some, channels, np.int64(MR), target)
    else:
        _pack_flipped(w, at, outputs, taps, min(MR, outputs - o), channels, a)
    return packed_panel(a[lot * p.weight_panel :])


@jit
def _pack_flipped(w, at, outputs, taps, rows, channels, a):
    """a[(c, t), o] = w[c, o, taps - 1 - t] for o < rows, of w[at:]: (channels, outputs, taps)."""
    height, _ = tile_sizes(w)
    for c in range(channels):
        source = w[at + c * outputs * taps : at + (c * outputs + rows) * taps]
        panel = a[c * taps * height : (c + 1) * taps * height]
        for o in range(rows):
            for t in range(taps):
                panel[t * height + o] = source[o * taps + taps - 1 - t]


@jit
def _copy_lines(lines, count, source, stride, target, pitch):
    """Copy lines of `count` elements from where they are `stride` apart to `pitch` apart."""
    for i in range(lines):
        line, copy = source[i * stride :][:count], target[i * pitch :][:count]
        for t in range(count):
            copy[t] = line[t]


@inlined
def _multiply_staged(p, task, rows, depth, added, space, y, ending):
    """`_multiply` for pixels of several images, or for few: through whole tiles."""
    height, width = tile_sizes(space.c)
    lanes, count, image = width // 2, task.pixels, p.outputs * y.stride
    columns = (task.images * count + lanes - 1) // lanes * lanes
    if added:
        for n in range(task.images):
            target = space.c[n * count :]
            _copy_lines(y.rows, count, y.data[n * image :], y.stride, target, columns)
    panels = Matrix(space.patches, p.patches_panel)
    staged = Block(space.c, columns, y.rows, columns, height)
    block_times_panel(rows, panels, depth, staged, added, space.c, ending)
    for n in range(task.images):
        source = space.c[n * count :]
        _copy_lines(y.rows, count, source, columns, y.data[n * image :], y.stride)


@inlined
def _multiply(p, task, rows, depth, added, space, y, ending):
    """y = or += some rows of the weight times the packed patches of the task, then the ending."""
    if p.staged:
        _multiply_staged(p, task, rows, depth, added, space, y, ending)
    else:
        panels = Matrix(space.patches, p.patches_panel)
        block_times_panel(rows, panels, depth, y, added, space.c, ending)


@parallel
def _convolve(first, last, x, w, factors, y, numbers):
    """A task: some outputs for a block of pixels, slice by slice of the channels."""
    p = unpack(Plan, numbers)
    patches, (height, width) = patches_workspace(p, x), tile_sizes(x)
    space = _workspace(p, patches.patches)
    inputs, outputs, pixels = p.inputs // p.group, p.outputs // p.group, p.out_height * p.out_width
    for number in range(first, last):
        task = task_of(p, number)
        runs = list_runs(p, task, width // 2, patches.runs)
        for c in range(0, inputs, p.channels):
            channels = min(p.channels, inputs - c)
            depth = channels * p.kernel_h * p.kernel_w
            pack_patches(p, task, c, channels, x, runs, patches)
            for panel in range(task.first_panel, task.last_panel):
                rows = _weight_rows(p, task, c, channels, panel, w, space.a)
                o = task.group * outputs + panel * height
                to = (task.image * p.outputs + o) * pixels + task.pixel
                count = min(height, outputs - panel * height)
                block = Block(y[to:], pixels, count, task.pixels, count)
                ending = Ending(factors, o, p.outputs, c + channels == inputs)
                _multiply(p, task, rows, depth, c > 0, space, block, ending)


def forward(x, w, flipped, factors, group, window, y):
    """Y = W X, then the epilogue; `flipped`: the gradient, from dY to dX.

    x: (N, C, H, W).  w: (O, C / group, kh, kw), or flipped (C, O / group, kh, kw).
    factors: of `epilogue.completion`.  y: (N, O, H', W').
    """
    packed = weights_stay() and not flipped
    how = flipped, packed, group, window, x.itemsize, get_num_threads()
    plan, tasks, elements, numbers = plan_of(x.shape, y.shape, *how)
    w = packed_weight(w, group, numbers) if plan.packed else w.reshape(-1)
    x, y = x.reshape(-1), y.reshape(-1)
    kernel = transposed_gemm.convolve if plan.transposed else _convolve
    if plan.in_place:
        in_place.LIBRARY.link(8 * x.itemsize)
        kernel = in_place.convolve
    launch(kernel, tasks, elements, x, w, factors, y, numbers)
