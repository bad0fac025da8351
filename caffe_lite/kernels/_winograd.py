"""Winograd's convolution, 3 x 3 with stride 1: 36 products for 16 outputs instead of 144.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", F(4 x 4, 3 x 3).  The
output is cut into tiles of 4 x 4, under each of which lie 6 x 6 numbers d of each channel:

    Y = A' [(G g G') * (B' d B)] A          for one filter g, * being number by number

With channels, each of the 36 numbers is a matrix product, (outputs, channels) times (channels,
tiles).  A task transforms the input of a block of tiles; then, for as many outputs as a tile of
the matrix core has rows, it runs 36 products, and transforms what they give back into y.

NaN and infinity make NaN of the outputs over them, and of others in the same tiles.  In Caffe they
reach only the outputs over them; here as there they stay visible.

Only `convolution` imports this file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import config

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._winograd_transforms import (
    LIBRARY,
    PATCH,
    PRODUCTS,
    SIDE,
    copy_first,
    copy_inside,
    filters_to_vectors,
    patches_to_vectors,
    vectors_to_outputs,
)
from caffe_lite.kernels.gemm import (
    NO_EPILOGUE,
    ROWS,
    VECTOR_BYTES,
    completion,
    get_num_threads,
    pack_across,
    spread,
    tile,
    tile_sizes,
    turn_vectors,
)

SLACK = 16
"""Numbers after a row or a panel that writing whole vectors may touch."""
AT_ONCE = 16
"""Channels whose filters are put into the order of vectors at once."""
TAPS = (9 * AT_ONCE + VECTOR_BYTES // 4) * ROWS + SLACK
"""Room for that; whole squares of a vector's side are written."""


# -- how the work is cut -----------------------------------------------------------------------


class _Shape(NamedTuple):
    """Sizes of a convolution with a window of 3 x 3; channels and outputs are those of a group."""

    items: int
    group: int
    channels: int
    height: int
    width: int
    outputs: int
    out_height: int
    out_width: int
    top: int  # the padding
    left: int


class _Plan(NamedTuple):
    """How the work is cut into tasks, and where in the workspace things lie."""

    pairs: int  # pairs of vectors of tiles
    blocks: int  # into which they are cut
    panels: int  # of ROWS outputs in a group
    parts: int  # into which they are cut
    shared: int  # 1: all filters are transformed first.  0: each task transforms its own
    extra: int  # start of what follows the products
    filters: int  # start of the shared filters
    rooms: int  # start of the workers' own rooms
    room: int  # numbers in each
    workers: int


FEW = 4
"""Pairs of vectors of tiles in a task that transforms its filters itself."""
SHARED_BYTES = 12 << 20
"""Where there are more, transformed filters up to this size are kept for all tasks."""
BLOCK_BYTES = 5 << 19
"""What the transformed input of such a task should take."""


def _plan(shape: _Shape, itemsize: int, threads: int) -> _Plan:
    """A task needs the transformed input of all channels: 36 vectors each, for 16 tiles.

    That is 2.4 MB for a pair of vectors and 512 channels, 10.6 MB for FEW pairs with a panel of
    filters, or 21 MB on two threads.  Cutting the channels instead would save nothing: products
    of a part of them would have to be kept for all outputs.
    """
    width = 2 * VECTOR_BYTES // itemsize
    panels = -(-shape.outputs // ROWS)
    filters = PRODUCTS * (shape.channels * ROWS + SLACK)
    all_filters = shape.group * panels * filters
    tiles = shape.items * -(-shape.out_height // SIDE) * -(-shape.out_width // SIDE)
    pairs = -(-tiles // width)
    pair = PRODUCTS * (shape.channels * width + SLACK)
    shared = int(pairs > FEW and all_filters * itemsize <= SHARED_BYTES)
    blocks = -(-pairs // (max(1, BLOCK_BYTES // (pair * itemsize)) if shared else FEW))
    if shared and blocks < 8 * threads:
        blocks = min(pairs, -(-blocks // threads) * threads)
    tasks = blocks * shape.group
    parts = 1 if tasks % threads == 0 or tasks >= 8 * threads else min(panels, threads)
    room = -(-pairs // blocks) * pair
    room += PRODUCTS * ROWS * width + 2 * PATCH * (SIDE * width + SLACK)
    room += TAPS if shared else TAPS + filters
    start = _round_up(2 * shape.group * shape.outputs + 3)
    rooms = start + shared * _round_up(all_filters)
    workers = min(threads, tasks * parts)
    return _Plan(pairs, blocks, panels, parts, shared, 0, start, rooms, _round_up(room), workers)


def _round_up(numbers: int) -> int:
    """To whole vectors."""
    return -(-numbers // SLACK) * SLACK


# -- filters -----------------------------------------------------------------------------------


@jit
def _turn_filters(w, at, step, offsets, here, count, rows, work, to):
    """work[to + (k 9 + t) rows + o] = w[at + k step + offsets[o] + t], for `count` channels k."""
    lanes = VECTOR_BYTES // w.itemsize
    if step == 9:
        pack_across(w, at, offsets, here, 9 * count, rows, work, to)
        return
    for k in range(count):
        start, place = at + k * step, to + k * 9 * rows
        if lanes > 9 and start + offsets[here - 1] + lanes <= w.size:
            for j in range((here - 1) // lanes * lanes, -1, -lanes):
                turn_vectors(w, start, offsets, j, here, work, place + j, rows)
        else:
            pack_across(w, start, offsets, here, 9, rows, work, place)


@jit
def _transform_filters(w, index, numbers, work, taps, to):
    """36 panels of A for a panel of outputs; back, flipped filters go from outputs to channels."""
    depth, outputs, panels, flipped = numbers[2], numbers[5], numbers[12], numbers[20]
    rows, width = tile_sizes(w)
    first, here = index % panels * rows, min(rows, outputs - index % panels * rows)
    row, step = depth * 9, 9
    if flipped:
        row, step = 9, outputs * 9
    at, stride = index // panels * outputs * depth * 9 + first * row, depth * rows + SLACK
    last, pitch = (8 * rows, -rows) if flipped else (0, rows)
    offsets = np.arange(rows) * row
    for c in range(0, depth, AT_ONCE):
        count = min(AT_ONCE, depth - c)
        _turn_filters(w, at + c * step, step, offsets, here, count, rows, work, taps)
        for k in range(count):
            source, place = taps + k * 9 * rows + last, to + (c + k) * rows
            for i in range(0, rows, width // 2):
                filters_to_vectors(work, source + i, pitch, work, place + i, stride)


@jit
def _filter_tasks(worker, workers, x, w, work, y, numbers):
    """All filters, once for all tasks.  The workers' rooms are free as yet."""
    taps = numbers[17] + worker * numbers[18]
    size = PRODUCTS * (numbers[2] * tile_sizes(w)[0] + SLACK)
    for index in range(worker, numbers[1] * numbers[12], workers):
        _transform_filters(w, index, numbers, work, taps, numbers[16] + index * size)


# -- tiles ---------------------------------------------------------------------------------------


@jit
def _find_runs(first, count, numbers, runs):
    """The runs of tiles that lie side by side: image, row, column and number of tiles of each."""
    tall, wide = (numbers[6] + SIDE - 1) // SIDE, (numbers[7] + SIDE - 1) // SIDE
    found, done = 0, 0
    while done < count:
        at = first + done
        runs[found, 0] = at // (tall * wide)
        runs[found, 1] = at // wide % tall * SIDE
        runs[found, 2] = at % wide * SIDE
        runs[found, 3] = min(wide - at % wide, count - done)
        done += runs[found, 3]
        found += 1
    return found


@jit
def _transform_input(x, g, numbers, runs, found, vectors, work, lines, to):
    """The 36 panels of B for two vectors of tiles."""
    group, depth, h, w = numbers[1], numbers[2], numbers[3], numbers[4]
    _, width = tile_sizes(x)
    lanes, pitch, stride = width // 2, SIDE * width + SLACK, depth * width + SLACK
    for c in range(depth):
        line = lines
        for r in range(found):
            y0, x0, count = runs[r, 1] - numbers[8], runs[r, 2] - numbers[9], SIDE * runs[r, 3]
            at = ((runs[r, 0] * group + g) * depth + c) * h * w + y0 * w + x0
            for i in range(PATCH):
                low, high = -x0, w - x0 if 0 <= y0 + i < h else 0
                for q in range(0, 2 * SIDE, SIDE):
                    place = line + (i + q // SIDE * PATCH) * pitch
                    copy_inside(x, at + i * w + q, low - q, high - q, work, place, count)
            line += count
        for v in range(vectors):
            place = to + c * width + v * lanes
            patches_to_vectors(work, lines + v * SIDE * lanes, pitch, work, place, stride)


@jit
def _transform_block(x, g, first, count, numbers, runs, work, lines, inputs):
    """The panels of B for `count` tiles from `first` on, of the channels of group g."""
    _, width = tile_sizes(x)
    size = PRODUCTS * (numbers[2] * width + SLACK)
    for j in range(0, count, width):
        here, to = min(width, count - j), inputs + j // width * size
        found = _find_runs(first + j, here, numbers, runs)
        vectors = (here + width // 2 - 1) // (width // 2)
        _transform_input(x, g, numbers, runs, found, vectors, work, lines, to)


@jit
def _transform_outputs(work, m, o, numbers, runs, found, vectors, lines, y):
    """Output o of two vectors of tiles, from 36 products each that begin at `m`."""
    total, oh, ow, extra = numbers[1] * numbers[5], numbers[6], numbers[7], numbers[15]
    rows, width = tile_sizes(y)
    lanes, pitch = width // 2, SIDE * width + SLACK
    factor, summand = work[extra + o], work[extra + total + o]
    slope = work[extra + 2 * total + 2] if work[extra + 2 * total + 1] else y.dtype.type(1)
    for v in range(vectors):
        source, to = m + v * lanes, lines + v * SIDE * lanes
        vectors_to_outputs(work, source, rows * width, work, to, pitch, factor, summand, slope)
    line = lines
    for r in range(found):
        y0, x0, count = runs[r, 1], runs[r, 2], SIDE * runs[r, 3]
        at = ((runs[r, 0] * total + o) * oh + y0) * ow + x0
        for i in range(min(SIDE, oh - y0)):
            copy_first(work, line + i * pitch, y, at + i * ow, min(count, ow - x0))
        line += count


@jit
def _multiply(height, vectors, depth, work, a, b, c):
    """36 products of a panel of filters and one of tiles."""
    rows, width = tile_sizes(work)
    added = depth < 0  # False, but no constant to numba
    a_stride, b_stride = depth * rows + SLACK, depth * width + SLACK
    for k in range(PRODUCTS):
        tile(
            height,
            vectors,
            work,
            a + k * a_stride,
            work,
            b + k * b_stride,
            depth,
            work,
            c + k * rows * width,
            width,
            added,
        )


@jit
def _tile_tasks(worker, workers, x, w, work, y, numbers):
    """A task: some outputs of a group for a block of tiles."""
    group, depth, outputs = numbers[1], numbers[2], numbers[5]
    pairs, blocks, panels, parts = numbers[10], numbers[11], numbers[12], numbers[13]
    shared, filters = numbers[14], numbers[16]
    rows, width = tile_sizes(x)
    tiles = (numbers[6] + SIDE - 1) // SIDE * ((numbers[7] + SIDE - 1) // SIDE) * numbers[0]
    a_size, b_size = PRODUCTS * (depth * rows + SLACK), PRODUCTS * (depth * width + SLACK)
    inputs = numbers[17] + worker * numbers[18]
    products = inputs + (pairs + blocks - 1) // blocks * b_size
    lines = products + PRODUCTS * rows * width
    taps = lines + 2 * PATCH * (SIDE * width + SLACK)
    own = taps + TAPS
    runs = np.empty((width, 4), np.int64)
    for task in range(worker, blocks * group * parts, workers):
        part, g, block = task % parts, task // parts % group, task // parts // group
        first = block * pairs // blocks * width
        count = min((block + 1) * pairs // blocks * width, tiles) - first
        _transform_block(x, g, first, count, numbers, runs, work, lines, inputs)
        for panel in range(part * panels // parts, (part + 1) * panels // parts):
            a, index = own, g * panels + panel
            if shared:
                a = filters + index * a_size
            else:
                _transform_filters(w, index, numbers, work, taps, own)
            height = min(rows, outputs - panel * rows)
            for j in range(0, count, width):
                here, b = min(width, count - j), inputs + j // width * b_size
                found = _find_runs(first + j, here, numbers, runs)
                vectors = (here + width // 2 - 1) // (width // 2)
                _multiply(height, vectors, depth, work, a, b, products)
                for i in range(height):
                    m, o = products + i * width, g * outputs + panel * rows + i
                    _transform_outputs(work, m, o, numbers, runs, found, vectors, lines, y)


# -- what convolution calls ----------------------------------------------------------------------


def _shape(x, w, y, group, pad):
    return _Shape(x[0], group, x[1] // group, *x[2:], y[1] // group, *y[2:], *pad)


def _run(x, w, b, group, flipped, pad, work, y, epilogue):
    LIBRARY.link(8 * x.itemsize)
    shape = _shape(x.shape, w.shape, y.shape, group, pad)
    plan = _plan(shape, x.itemsize, get_num_threads())
    start = -work.ctypes.data % VECTOR_BYTES // x.itemsize
    places = {name: start + getattr(plan, name) for name in ("extra", "filters", "rooms")}
    plan = plan._replace(**places)
    extra = completion(b, epilogue, y.shape[1], y.dtype)
    work[plan.extra : plan.extra + extra.size] = extra
    numbers = np.array([*shape, *plan, flipped], np.int64)
    x, w, y = x.reshape(-1), w.reshape(-1), y.reshape(-1)
    if plan.shared:
        spread(_filter_tasks, plan.workers, x, w, work, y, numbers)
    spread(_tile_tasks, plan.workers, x, w, work, y, numbers)


def winograd_work_size(x, w, y, group, itemsize=4):
    """How many numbers the `work` argument must have, forward or back.  x, w, y: shapes."""
    forward = _shape(x, w, y, group, (0, 0))
    back = _shape(y, w, x, group, (0, 0))
    plans = (
        _plan(shape, itemsize, threads)
        for shape in (forward, back)
        for threads in range(1, config.NUMBA_NUM_THREADS + 1)
    )
    return max(plan.rooms + plan.room * plan.workers + SLACK for plan in plans)


def winograd_forward(x, w, b, group, window, work, y, epilogue=NO_EPILOGUE):
    """y = epilogue(the convolution of x with w, plus b).

    x: (N, C, H, W).  w: (O, C / group, 3, 3).  b: (O,), or of size 0.  window: (3, 3, 1, 1, pad_h,
    pad_w, 1, 1).  work: `winograd_work_size` numbers.  y: (N, O, H', W').
    """
    _run(x, w, b, group, False, window[4:6], work, y, epilogue)


def winograd_backward(dy, w, b, group, window, work, dx, epilogue=NO_EPILOGUE):
    """dx = epilogue(the gradient of `winograd_forward` by x, plus b); b: (C,), or of size 0.

    It is the convolution of dy with the flipped filters, from outputs to channels.
    """
    pad = 2 - window[4], 2 - window[5]
    _run(dy, w, b, group, True, pad, work, dx, epilogue)
