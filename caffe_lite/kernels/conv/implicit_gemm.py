"""Planar convolution as products of packed blocks: implicit GEMM.

Caffe copies the patch under every output pixel to a column (im2col) and multiplies matrices.  Here
a thread copies a few rows of the image to a *stripe*, packs from it the patches of one block of
pixels, and multiplies them while they are in cache.

A block is a part of one image, or several small images.  Rows of the weight are read in place;
for the gradient, whose matrix is the transpose, they are packed where they are used.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.conv.stripe import fill_stripe, tap_offsets
from caffe_lite.kernels.epilogue import complete
from caffe_lite.kernels.gemm import (
    KC,
    MR,
    PANELS,
    Block,
    block_times_panel,
    pack_panels,
    tile_sizes,
)
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import get_num_threads, launch, parallel, pieces_of
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix, copy_vector

SLACK = 16
"""Elements after a packed panel that storing whole vectors may touch."""
LOT = 8
"""Panels of a 1x1 weight that are packed at once for the gradient.

A cache line of the weight holds a few elements of each, and would be loaded for each again.
"""


# -- plan --------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """The sizes of x, y and the window, and how y is cut into blocks of pixels."""

    items: int
    inputs: int
    height: int
    width: int
    outputs: int
    out_height: int
    out_width: int
    group: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    flipped: int  # 1: the gradient; the weight is (inputs, outputs / group, kernel_h, kernel_w)
    pointwise: int  # 1: the patches are the image itself, there is no stripe
    images: int  # of a block
    pixels: int  # of a block in each image
    blocks: int  # of an image
    parts: int  # into which the outputs of a group are cut
    staged: int  # 1: a block's outputs are computed in a buffer, then copied to y
    channels: int  # that are packed at once
    stripe_row: int  # elements of one phase of a row of the stripe
    row: int  # pixels of a block that are contiguous in the stripe, or in the image
    row_step: int  # from there to the next row of pixels
    image_step: int  # from image to image of the stripe, or of x
    channel_step: int  # from channel to channel of the stripe, or of x
    a_panel: int  # elements of a packed panel of the weight
    b_panel: int  # elements of a packed panel of patches


def parts_for(tasks, most, threads):
    """Into how many parts, at most `most`, to cut each task so that all threads have work."""
    return 1 if tasks % threads == 0 or tasks >= 4 * threads else max(1, min(most, threads))


def _block_sizes(items, pixels, width):
    """(images, pixels of each): PANELS panels of patches, which stay in the second-level cache."""
    most = PANELS * width
    images = max(1, min(items, most // pixels))
    blocks = -(-pixels // most)
    block = pixels if blocks == 1 else -(-pixels // (blocks * width)) * width
    return -(-items // -(-items // images)), block


@lru_cache(maxsize=1024)
def _plan(x, w, y, flipped, group, window, itemsize, threads):
    """(tasks, elements, packed plan) for arrays of such shapes, on so many threads."""
    kh, kw, sh, sw, _, _, dh, dw = window
    (items, outputs, oh, ow), width = y, 2 * VECTOR_BYTES // itemsize
    inputs, taps, pixels = x[1] // group, kh * kw, oh * ow
    images, block = _block_sizes(items, pixels, width)
    blocks = -(-pixels // block)
    pointwise = window == (1, 1, 1, 1, 0, 0, 1, 1) and x[2:] == y[2:]
    if pointwise:
        channels = min(inputs, KC)
        layout = 0, block, 0, x[1] * pixels, pixels
    else:
        stripe_row = (kw - 1) * dw // sw + ow
        stripe_rows = (min(oh, (block - 2) // ow + 2) - 1) * sh + (kh - 1) * dh + 1
        step = stripe_rows * sw * stripe_row
        channels = PANELS * width * KC // (images * step)
        channels = max(1, min(inputs, KC // taps, channels))
        layout = stripe_row, ow, sh * sw * stripe_row, step, images * step
    elements = math.prod(y) * inputs * taps / 16
    tasks = -(-items // images) * group * blocks
    parts = parts_for(tasks, -(-outputs // group // MR), pieces_of(threads, elements))
    staged = images > 1 or (blocks == 1 and pixels % (width // 2) != 0)
    panels = (channels * taps * side + SLACK for side in (MR, width))
    cut = flipped, pointwise, images, block, blocks, parts, staged, channels, *layout, *panels
    return tasks * parts, elements, pack(Plan(*x, *y[1:], group, *window, *cut))


class Task(NamedTuple):
    """What one task computes: some outputs of a group, for some pixels of some images."""

    image: int
    images: int
    group: int
    pixel: int
    pixels: int
    first_panel: int  # of the rows of the weight
    last_panel: int


@inlined
def _task(p, number):
    """A task by its number."""
    part, rest = number % p.parts, number // p.parts
    pixel, rest = rest % p.blocks * p.pixels, rest // p.blocks
    image = rest // p.group * p.images
    height = MR
    panels = (p.outputs // p.group + height - 1) // height
    return Task(
        image,
        min(p.images, p.items - image),
        rest % p.group,
        pixel,
        min(p.pixels, p.out_height * p.out_width - pixel),
        part * panels // p.parts,
        (part + 1) * panels // p.parts,
    )


class Workspace(NamedTuple):
    """The buffers of one thread."""

    stripe: Any
    taps: Any  # the offset of each tap of the channels in the stripe
    runs: Any  # vectors to copy for one row of packed panels: (from, to)
    a: Any  # packed panels of the weight
    b: Any  # packed panels of patches
    c: Any  # tiles that are then copied to y


@inlined
def _workspace(p, x):
    taps = p.kernel_h * p.kernel_w
    height, width = tile_sizes(x)
    panels = (p.images * p.pixels + width - 1) // width
    runs = p.images * (2 * p.pixels // width + p.pixels // p.row + 3) + panels + 1
    stripe = 0 if p.pointwise else p.channels * p.channel_step
    return Workspace(
        np.empty(stripe + 2 * SLACK, x.dtype),
        tap_offsets(p),
        np.empty((runs, 2), np.int64),
        np.empty((LOT if taps == 1 else 1) * p.a_panel, x.dtype),
        np.empty(panels * p.b_panel + SLACK, x.dtype),
        np.empty(height * (panels * width if p.staged else width), x.dtype),
    )


# -- packing -----------------------------------------------------------------------------------


@inlined
def _list_runs(p, task, width, runs):
    """The vectors to copy for one row of packed panels: pairs (from, to).

    Where a vector reaches too far, the next one is stored over it.
    """
    start = task.pixel % p.row
    count, to = 0, 0
    for image in range(task.images):
        j = 0
        while j < task.pixels:
            y, x = (start + j) // p.row, (start + j) % p.row
            runs[count, 0] = image * p.image_step + y * p.row_step + x
            runs[count, 1] = to // width * p.b_panel + to % width
            count += 1
            step = min(width // 2, p.row - x, task.pixels - j, width - to % width)
            j += step
            to += step
    return runs[:count]


@jit
def _pack_runs(source, at, offsets, runs, panels):
    """panels[to + k width] = source[at + offsets[k] + from], a vector for each (from, to)."""
    _, width = tile_sizes(source)
    lanes, last = width // 2, 0
    for run in range(len(runs)):
        last = max(last, runs[run, 0])
    for k in range(offsets.size):
        start, line = at + offsets[k], k * width
        if start + last + lanes <= source.size:
            for run in range(len(runs)):
                copy_vector(source, start + runs[run, 0], panels, line + runs[run, 1])
        else:
            for run in range(len(runs)):
                begin, to = start + runs[run, 0], line + runs[run, 1]
                for t in range(min(lanes, source.size - begin)):
                    panels[to + t] = source[begin + t]


@inlined
def _pack_patches(p, task, c, channels, x, runs, space):
    """Panels of the patches of a block: all taps of `channels` channels of the group from c on."""
    offsets = space.taps[: channels * p.kernel_h * p.kernel_w]
    if p.pointwise:
        plane = task.image * p.inputs + task.group * (p.inputs // p.group) + c
        at = plane * p.height * p.width + task.pixel
        _pack_runs(x, at, offsets, runs, space.b)
    else:
        fill_stripe(p, task, c, channels, x, space.stripe)
        _pack_runs(space.stripe, np.int64(0), offsets, runs, space.b)


@inlined
def _weight_rows(p, task, c, channels, panel, w, a):
    """The rows of one panel, of `channels` channels of the group from c on; packed if flipped."""
    outputs, taps, inputs = p.outputs // p.group, p.kernel_h * p.kernel_w, p.inputs // p.group
    o = panel * MR
    if not p.flipped:
        depth = inputs * taps
        return Matrix(w[(task.group * outputs + o) * depth + c * taps :], depth)
    at = ((task.group * inputs + c) * outputs + o) * taps
    lot = 0
    if taps == 1:
        lot = (panel - task.first_panel) % LOT
        if lot == 0:
            some, target = min(LOT * MR, outputs - o), Matrix(a, p.a_panel)
            pack_panels(Matrix(w[at:], outputs), some, channels, np.int64(MR), target)
    else:
        _pack_flipped(w, at, outputs, taps, min(MR, outputs - o), channels, a)
    return Matrix(a[lot * p.a_panel :], np.int64(0))


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


# -- products ----------------------------------------------------------------------------------


@jit
def _copy_lines(lines, count, source, stride, target, pitch):
    """Copy lines of `count` elements from where they are `stride` apart to `pitch` apart."""
    for i in range(lines):
        line, copy = source[i * stride :][:count], target[i * pitch :][:count]
        for t in range(count):
            copy[t] = line[t]


@inlined
def _multiply_staged(p, task, rows, depth, added, space, y):
    """`_multiply` for pixels of several images, or for few: through whole tiles."""
    height, width = tile_sizes(space.c)
    lanes, count, image = width // 2, task.pixels, p.outputs * y.stride
    columns = (task.images * count + lanes - 1) // lanes * lanes
    if added:
        for n in range(task.images):
            target = space.c[n * count :]
            _copy_lines(y.rows, count, y.data[n * image :], y.stride, target, columns)
    panels, staged = Matrix(space.b, p.b_panel), Block(space.c, columns, y.rows, columns, height)
    block_times_panel(rows, panels, depth, staged, added, space.c)
    for n in range(task.images):
        source = space.c[n * count :]
        _copy_lines(y.rows, count, source, columns, y.data[n * image :], y.stride)


@inlined
def _multiply(p, task, rows, depth, added, space, y):
    """y = or += some rows of the weight times the packed patches of the task."""
    if p.staged:
        _multiply_staged(p, task, rows, depth, added, space, y)
    else:
        block_times_panel(rows, Matrix(space.b, p.b_panel), depth, y, added, space.c)


@inlined
def _finish(p, task, y, o, factors):
    """Apply the epilogue to outputs o, o + 1, ... of all images."""
    for n in range(task.images):
        at = n * p.outputs * y.stride
        complete(y.data, at, y.stride, y.rows, task.pixels, o, p.outputs, factors)


@parallel
def _convolve(first, last, x, w, factors, y, numbers):
    """A task: some outputs for a block of pixels, slice by slice of the channels."""
    p = unpack(Plan, numbers)
    space, (height, width) = _workspace(p, x), tile_sizes(x)
    inputs, outputs, pixels = p.inputs // p.group, p.outputs // p.group, p.out_height * p.out_width
    for number in range(first, last):
        task = _task(p, number)
        runs = _list_runs(p, task, width, space.runs)
        for c in range(0, inputs, p.channels):
            channels = min(p.channels, inputs - c)
            depth = channels * p.kernel_h * p.kernel_w
            _pack_patches(p, task, c, channels, x, runs, space)
            for panel in range(task.first_panel, task.last_panel):
                rows = _weight_rows(p, task, c, channels, panel, w, space.a)
                o = task.group * outputs + panel * height
                to = (task.image * p.outputs + o) * pixels + task.pixel
                count = min(height, outputs - panel * height)
                block = Block(y[to:], pixels, count, task.pixels, count)
                _multiply(p, task, rows, depth, c > 0, space, block)
                if c + channels == inputs:
                    _finish(p, task, block, o, factors)


def forward(x, w, flipped, factors, group, window, y):
    """Y = W X, then the epilogue; `flipped`: the gradient, from dY to dX.

    x: (N, C, H, W).  w: (O, C / group, kh, kw), or flipped (C, O / group, kh, kw).
    factors: of `epilogue.completion`.  y: (N, O, H', W').
    """
    shapes, threads = (x.shape, w.shape, y.shape), get_num_threads()
    tasks, elements, numbers = _plan(*shapes, flipped, group, window, x.itemsize, threads)
    x, w, y = x.reshape(-1), w.reshape(-1), y.reshape(-1)
    launch(_convolve, tasks, elements, x, w, factors, y, numbers)
