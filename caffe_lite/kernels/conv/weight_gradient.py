"""The gradient of a planar convolution by its weight: dW += dY X^T, summed over all pixels.

Both matrices have the pixels along their rows.  So a tile reads the rows of one of them, A, in
place; of the other, B, a panel at a time is transposed.

A row of X is one tap of the kernel in one input channel.  Without stride and padding it is a part
of the image itself.  Otherwise some rows of the image are copied to a stripe: padded with zeros,
and cut into *phases*, of which phase (y, x) has the elements (y + i stride_h, x + j stride_w); a
tap reads contiguous elements of one phase.

The pixels of a *chunk* are multiplied at once.  The sum over a chunk starts from 0, so that it
does not lose what is small against the whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.conv.weight_gradient_tiles import (
    TALL,
    Lines,
    add_rows,
    copy_rows,
    row_tile,
)
from caffe_lite.kernels.gemm import KC, MR, gemm, pack_across, tile_sizes
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import get_num_threads, launch, parallel, pieces_of
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix

CHUNK = 1 << 18
"""Bytes of A in a chunk, which are read once for each panel of B."""
SUMS = 1 << 21
"""Bytes of the sums of a task, which are loaded and stored once for each chunk."""
SLICES, FEW = 8, 1 << 14
"""With so few weights the images are cut into slices for the threads, which are added up apart."""


# -- plan --------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """The sizes of x, dy and the window, and how the sum and dW are cut.

    All but `tall` and `wide` are the same for any number of threads, and so are the results.
    """

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
    rows: int  # of a phase, or of the image
    row: int  # elements in each
    phases: int  # of a channel; 0: taps are read from the image itself
    across: int  # phases side by side
    transposed: int  # 1: A is dY and B is X
    lines: int  # rows of pixels of a chunk
    span: int  # pixels in each
    images: int  # of a chunk
    slices: int  # of the images
    tall: int  # parts of A
    wide: int  # parts of B


@lru_cache(maxsize=1024)
def _plan(x, dy, group, window, itemsize, threads):
    """(elements, plan, the packed plan, offsets of the taps) for arrays of such shapes."""
    (items, channels, h, w), (outputs, oh, ow), (kh, kw, sh, sw, ph, pw, dh, dw) = (
        x,
        dy[1:],
        window,
    )
    k, outputs = channels // group * kh * kw, outputs // group
    elements = dy[0] * dy[1] * oh * ow * k / 16
    slices = min(items, SLICES) if k * outputs * group <= FEW else 1
    span = -(-ow // max(1, round(ow / KC)))
    lines = 1 if span < ow else -(-oh // -(-oh // max(1, KC // ow)))
    images = max(1, min(-(-items // slices), KC // (oh * ow)))
    reached = oh + (kh - 1) * dh, ow + (kw - 1) * dw
    direct = (sh, sw, ph, pw) == (1, 1, 0, 0) and reached == (h, w)
    transposed = direct and k < outputs
    phase, line = (h, w, 0, 1), lines * span
    if not direct:
        rows, row = lines + (kh - 1) * dh // sh, span + (kw - 1) * dw // sw
        across = min(sw, (kw - 1) * dw + 1)
        phases = min(sh, (kh - 1) * dh + 1) * across
        phase, line = (rows, row, phases, across), phases * rows * row // (kh * kw)
    a_rows, b_rows = (outputs, k) if transposed else (k, outputs)
    tall = min(a_rows, -(-a_rows * line * images * itemsize // CHUNK))
    panels = -(-b_rows // (2 * VECTOR_BYTES // itemsize))
    wide = min(panels, -(-a_rows * b_rows * itemsize // (tall * SUMS)))
    threads = pieces_of(threads, elements)
    tasks = slices * group * tall * wide
    if tasks % threads and tasks < 4 * threads:
        # Parts of A transpose all of B again, parts of B copy all of A again.
        if a_rows >= 8 * MR * threads:
            tall *= threads
        else:
            wide *= max(1, min(threads, panels // wide))
    cut = *phase, transposed, lines, span, images, slices, tall, wide
    plan = Plan(*x, *dy[1:], group, *window, *cut)
    return elements, plan, pack(plan), _tap_offsets(plan)


def _tap_offsets(p):
    """Where each tap begins in the phases of a channel."""
    i = np.arange(0, p.kernel_h * p.dilation_h, p.dilation_h).reshape(-1, 1)
    j = np.arange(0, p.kernel_w * p.dilation_w, p.dilation_w)
    phase = i % p.stride_h * p.across + j % p.stride_w
    return ((phase * p.rows + i // p.stride_h) * p.row + j // p.stride_w).reshape(-1)


class Task(NamedTuple):
    """What one task computes: a block of dW, over the pixels of a slice of the images."""

    slice: int
    group: int
    a_first: int  # rows of A
    a_rows: int
    b_first: int  # rows of B
    b_rows: int
    output: int  # rows of dY: the first output of the group
    k: int  # rows of X: the first (channel, i, j) of the group
    k_rows: int
    channel: int
    channels: int


@inlined
def _task(p, number, width):
    """A task by its number."""
    taps, outputs = p.kernel_h * p.kernel_w, p.outputs // p.group
    k = p.inputs // p.group * taps
    a_rows, b_rows = (outputs, k) if p.transposed else (k, outputs)
    panels = (b_rows + width - 1) // width
    part, rest = number % (p.tall * p.wide), number // (p.tall * p.wide)
    down, over = part % p.tall, part // p.tall
    a_first, b_first = down * a_rows // p.tall, over * panels // p.wide * width
    a_count = (down + 1) * a_rows // p.tall - a_first
    b_count = min(b_rows, (over + 1) * panels // p.wide * width) - b_first
    output, k_first, k_rows = b_first, a_first, a_count
    if p.transposed:
        output, k_first, k_rows = a_first, b_first, b_count
    channel = k_first // taps
    channels = (k_first + k_rows - 1) // taps + 1 - channel
    rows = a_first, a_count, b_first, b_count
    return Task(rest // p.group, rest % p.group, *rows, output, k_first, k_rows, channel, channels)


class Workspace(NamedTuple):
    """The buffers of one thread."""

    stripe: Any
    channel_step: int  # from channel to channel of the stripe, or of x
    image_step: int
    panel: Any  # a packed panel of B
    sums: Any  # C = A B^T in panels as wide as a tile
    transposed: Any  # one of them, transposed
    sum_offsets: Any  # of rows of a panel of C
    x_offsets: Any  # of rows of X
    x_starts: Any  # of lines of a chunk of a row of X
    dy_offsets: Any
    dy_starts: Any


@inlined
def _workspace(p, x):
    _, width = tile_sizes(x)
    taps, outputs, plane = p.kernel_h * p.kernel_w, p.outputs // p.group, p.height * p.width
    k, pixels = p.inputs // p.group * taps, p.out_height * p.out_width
    a_rows, b_rows = (outputs, k) if p.transposed else (k, outputs)
    panels = (b_rows + width - 1) // width
    tall, wide = (a_rows + p.tall - 1) // p.tall, (panels + p.wide - 1) // p.wide * width
    channel_step, image_step, stripe = plane, p.inputs * plane, 0
    if p.phases:
        channel_step = p.phases * p.rows * p.row
        image_step = ((tall + taps - 2) // taps + 1) * channel_step
        stripe = p.images * image_step
    return Workspace(
        np.empty(stripe, x.dtype),
        channel_step,
        image_step,
        np.empty(p.images * p.lines * p.span * width + width, x.dtype),
        np.empty(tall * wide, x.dtype),
        np.empty(tall * width + width, x.dtype),
        np.arange(tall) * width,
        np.empty(tall + wide, np.int64),
        np.empty(p.images * p.lines, np.int64),
        np.arange(tall + wide) * pixels,
        np.arange(p.images) * p.outputs * pixels,
    )


# -- rows of X ---------------------------------------------------------------------------------


@inlined
def _row_offsets(task, taps, step, offsets):
    """Where the task's rows of X begin: taps of channels that are `step` apart."""
    tap, channel = task.k % taps.size, np.int64(0)
    for i in range(task.k_rows):
        offsets[i] = channel + taps[tap]
        tap += 1
        if tap == taps.size:
            tap, channel = np.int64(0), channel + step


@jit
def _fill_phases(p, task, x, image, top, left, stripe, step):
    """The phases of the task's channels of an image, for the pixels from (top, left) on.

    stripe[c step + (phase, i, j)] = x[image, c] at row (top + i) stride_h + y - pad_h and column
    (left + j) stride_w + x - pad_w for phase (y, x), or 0 outside.
    """
    sh, sw, h, w, rows, row = p.stride_h, p.stride_w, p.height, p.width, p.rows, p.row
    plane = (image * p.group + task.group) * (p.inputs // p.group) + task.channel
    for phase in range(p.phases):
        y = phase // p.across - p.pad_h + top * sh
        x0 = phase % p.across - p.pad_w + left * sw
        above = min(rows, max(0, (sh - 1 - y) // sh))
        below = max(above, min(rows, (h - 1 - y) // sh + 1))
        low = min(row, max(0, (sw - 1 - x0) // sw))
        high = max(low, min(row, (w - 1 - x0) // sw + 1))
        source = (plane * h + y + above * sh) * w + x0 + low * sw
        for c in range(task.channels):
            to = c * step + phase * rows * row
            for i in range(rows):
                begin, end = (low, high) if above <= i < below else (row, row)
                for j in range(begin):
                    stripe[to + i * row + j] = 0
                for j in range(end, row):
                    stripe[to + i * row + j] = 0
            if low < high:
                to += above * row + low
                taken, put = Matrix(x[source:], sh * w), Matrix(stripe[to:], row)
                copy_rows(below - above, taken, sw, high - low, put)
            source += h * w


# -- products ----------------------------------------------------------------------------------


@jit
def _add_product(a, a_rows, b, b_rows, panel, c, added):
    """C = or += A B^T, with C in panels as wide as a tile."""
    height, width = tile_sizes(c)
    for j in range(0, b_rows, width):
        columns = min(width, b_rows - j)
        for n in range(b.lines):
            to = Matrix(panel[n * b.count * width :], width)
            pack_across(b.data[b.starts[n] :], b.offsets[j:], columns, b.count, to)
        vectors = (2 * columns + width - 1) // width
        most = height if vectors == 2 else TALL
        tiles = (a_rows + most - 1) // most
        for tile in range(tiles):
            i, end = tile * a_rows // tiles, (tile + 1) * a_rows // tiles
            rows = Lines(a.data, a.offsets[i:], a.starts, a.lines, a.count)
            row_tile(end - i, vectors, rows, panel, c[j * a_rows + i * width :], added)


@inlined
def _multiply_chunk(p, task, chunk, x, dy, space, added):
    """Add up the products of the pixels of a chunk: (image, images, top, left)."""
    image, images, top, left = chunk
    inputs, outputs, plane = p.inputs // p.group, p.outputs // p.group, p.height * p.width
    lines, count = min(p.lines, p.out_height - top), min(p.span, p.out_width - left)
    output = image * p.outputs + task.group * outputs + task.output
    at = (output * p.out_height + top) * p.out_width + left
    gradient = Lines(dy[at:], space.dy_offsets, space.dy_starts, images, lines * count)
    if p.phases:
        at = np.int64(0)
        for n in range(images):
            stripe = space.stripe[n * space.image_step :]
            _fill_phases(p, task, x, image + n, top, left, stripe, space.channel_step)
    else:
        channel = (image * p.group + task.group) * inputs + task.channel
        at = channel * plane + top * p.width + left
    if p.row == p.span:  # the lines are contiguous
        lines, count = 1, lines * count
    for n in range(images):
        for line in range(lines):
            space.x_starts[n * lines + line] = n * space.image_step + line * p.row
    data = space.stripe if p.phases else x
    taps = Lines(data[at:], space.x_offsets, space.x_starts, images * lines, count)
    a, b = (gradient, taps) if p.transposed else (taps, gradient)
    _add_product(a, task.a_rows, b, task.b_rows, space.panel, space.sums, added)


@inlined
def _add_sums(p, task, space, dw):
    """Add C to the block of dW: C^T, or C itself if A is dY."""
    _, width = tile_sizes(dw)
    k = p.inputs // p.group * p.kernel_h * p.kernel_w
    row = task.slice * p.outputs + task.group * (p.outputs // p.group) + task.output
    at = row * k + task.k
    for j in range(0, task.b_rows, width):
        columns, sums = min(width, task.b_rows - j), space.sums[j * task.a_rows :]
        if p.transposed:
            add_rows(task.a_rows, Matrix(sums, width), columns, Matrix(dw[at + j :], k))
        else:
            room = Matrix(space.transposed, task.a_rows)
            pack_across(sums, space.sum_offsets, task.a_rows, width, room)
            add_rows(columns, room, task.a_rows, Matrix(dw[at + j * k :], k))


@parallel
def _add_blocks(first, last, x, dy, dw, taps, numbers):
    """A task: a block of dW."""
    p = unpack(Plan, numbers)
    space, (_, width) = _workspace(p, x), tile_sizes(x)
    for number in range(first, last):
        task = _task(p, number, width)
        _row_offsets(task, taps, space.channel_step, space.x_offsets)
        stop, added = (task.slice + 1) * p.items // p.slices, np.bool_(False)
        for image in range(task.slice * p.items // p.slices, stop, p.images):
            for top in range(0, p.out_height, p.lines):
                for left in range(0, p.out_width, p.span):
                    chunk = image, min(p.images, stop - image), top, left
                    _multiply_chunk(p, task, chunk, x, dy, space, added)
                    added = np.bool_(True)
        _add_sums(p, task, space, dw)


def backward_params(x, dy, group, window, dw):
    """dW += dY X^T, in the same order for any number of threads.

    x: (N, C, H, W).  dy: (N, O, H', W').  dw: (O, C / group, kh, kw).
    """
    items, outputs = dy.shape[:2]
    whole = window[:2] == x.shape[2:] and window[4:6] == (0, 0)
    if whole and group == 1 and dy.shape[2:] == (1, 1):
        # The kernel covers all of x, and there is one pixel.
        matrices = dy.reshape(items, outputs), x.reshape(items, -1), dw.reshape(outputs, -1)
        gemm(*matrices, transpose_a=True, accumulate=True)
        return
    if window[:6] == (1, 1, 1, 1, 0, 0) and x.shape[2:] == dy.shape[2:]:
        x, dy = (array.reshape(*array.shape[:2], 1, -1) for array in (x, dy))
    elements, plan, numbers, taps = _plan(
        x.shape, dy.shape, group, window, x.itemsize, get_num_threads()
    )
    tasks = plan.slices * group * plan.tall * plan.wide
    sums = dw
    if plan.slices > 1:
        sums = np.empty((plan.slices, dw.size), dw.dtype)
        launch(_clear, sums.size, sums.size, sums.reshape(-1))
    x, dy, flat = x.reshape(-1), dy.reshape(-1), sums.reshape(-1)
    launch(_add_blocks, tasks, elements, x, dy, flat, taps, numbers)
    if plan.slices > 1:
        launch(_add_slices, dw.size, sums.size, sums, dw.reshape(-1))


@parallel
def _clear(first, last, sums):
    for i in range(first, last):
        sums[i] = 0


@parallel
def _add_slices(first, last, sums, dw):
    for part in range(len(sums)):
        for i in range(first, last):
            dw[i] += sums[part, i]
