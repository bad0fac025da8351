"""Winograd's convolution with stride 1: 36 products for several outputs.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", F(4 x 4, 3 x 3) and
F(2 x 2, 5 x 5): 16 outputs instead of the 144 products of 3 x 3, 4 instead of the 100 of 5 x 5.
The output is cut into such tiles, under each of which lie 6 x 6 numbers d of each channel:

    Y = A' [(G g G') * (B' d B)] A          for one filter g, * being number by number

With channels, each of the 36 numbers is a matrix product, (outputs, channels) times (channels,
tiles).  A task transforms the input of a block of tiles; then, for as many outputs as a tile of
the matrix core has rows, it runs 36 products, and transforms what they give back into y.

NaN and infinity make NaN of the outputs over them, and of others in the same tiles.  In Caffe they
reach only the outputs over them; here as there they stay visible.

Only `convolution` imports this file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import config

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._winograd_transforms import (
    FINE,
    LIBRARY,
    PATCH,
    PRODUCTS,
    SIDE,
    filters_to_vectors,
    fine_filters_to_vectors,
    fine_patches_to_vectors,
    lines_to_rows,
    patches_to_vectors,
    rows_to_fine_lines,
    rows_to_lines,
    vectors_to_fine_outputs,
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
TAPS = 25 * (AT_ONCE * ROWS + SLACK) + SLACK
"""Room for that; whole vectors are written, and up to 16 lines."""
LINES = 3 * PATCH
"""Lines of numbers under two vectors of tiles, at most."""


# -- how the work is cut -----------------------------------------------------------------------


class _Shape(NamedTuple):
    """Sizes of a convolution; channels and outputs are those of a group."""

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
    side: int  # of a tile: 4 or 2


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
"""Where there are more for each thread, filters up to this size are transformed for all tasks."""
BLOCK_BYTES = 1 << 18
"""What the transformed input of such a task should take: it stays in the second-level cache."""


def _plan(shape: _Shape, itemsize: int, threads: int) -> _Plan:
    """A task needs the transformed input of all channels: 36 vectors each, for 16 tiles.

    With vectors of 64 bytes that is 2.4 MB for a pair of them and 512 channels, 10.6 MB for FEW
    pairs with a panel of filters, or 21 MB on two threads.  Cutting the channels instead would
    save nothing: products of a part of them would have to be kept for all outputs.
    """
    width = 2 * VECTOR_BYTES // itemsize
    panels = -(-shape.outputs // ROWS)
    filters = PRODUCTS * (shape.channels * ROWS + SLACK)
    all_filters = shape.group * panels * filters
    tiles = shape.items * -(-shape.out_height // shape.side) * -(-shape.out_width // shape.side)
    pairs = -(-tiles // width)
    pair = PRODUCTS * (shape.channels * width + SLACK)
    shared = int(pairs > FEW * threads and all_filters * itemsize <= SHARED_BYTES)
    blocks = -(-pairs // (max(1, BLOCK_BYTES // (pair * itemsize)) if shared else FEW))
    if shared and blocks < 8 * threads:
        blocks = min(pairs, -(-blocks // threads) * threads)
    tasks = blocks * shape.group
    parts = 1 if tasks % threads == 0 or tasks >= 8 * threads else min(panels, threads)
    room = -(-pairs // blocks) * pair
    room += PRODUCTS * ROWS * width + LINES * (SIDE * width + SLACK)
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
def _turn_filters(w, at, step, offsets, here, count, taps, rows, work, to):
    """work[to + t line + k rows + o] = w[at + k step + offsets[o] + t], for `count` channels k."""
    lanes = VECTOR_BYTES // w.itemsize
    line, last = AT_ONCE * rows + SLACK, (here - 1) // lanes * lanes
    for k in range(count):
        start, place = at + k * step, to + k * rows
        if start + offsets[here - 1] + max(lanes, taps) > w.size:
            pack_across(w, start, offsets, here, taps, line, work, place)
            continue
        t, j = 0, last  # `range` would divide to know its length
        while t < taps:
            t = max(min(t, taps - lanes), 0)
            while j >= 0:
                turn_vectors(w, start + t, offsets, j, here, work, place + t * line + j, line)
                j -= lanes
            t, j = t + lanes, last


@jit
def _transform_filters(w, index, numbers, work, turned, to):
    """36 panels of A for a panel of outputs; back, flipped filters go from outputs to channels."""
    depth, outputs, side = numbers[2], numbers[5], numbers[10]
    panels, flipped = numbers[13], numbers[21]
    rows, width = tile_sizes(w)
    taps = (PATCH + 1 - side) ** 2
    first, here = index % panels * rows, min(rows, outputs - index % panels * rows)
    row, step = depth * taps, taps
    if flipped:
        row, step = taps, outputs * taps
    at, stride = index // panels * outputs * depth * taps + first * row, depth * rows + SLACK
    line = AT_ONCE * rows + SLACK
    source, pitch = (turned + (taps - 1) * line, -line) if flipped else (turned, line)
    offsets = np.arange(rows) * row
    for c in range(0, depth, AT_ONCE):
        count = min(AT_ONCE, depth - c)
        _turn_filters(w, at + c * step, step, offsets, here, count, taps, rows, work, turned)
        for i in range(0, count * rows, width // 2):
            place = to + c * rows + i
            if side == FINE:
                fine_filters_to_vectors(work, source + i, pitch, work, place, stride)
            else:
                filters_to_vectors(work, source + i, pitch, work, place, stride)


@jit
def _filter_tasks(worker, workers, x, w, work, y, numbers):
    """All filters, once for all tasks.  The workers' rooms are free as yet."""
    turned = numbers[18] + worker * numbers[19]
    size = PRODUCTS * (numbers[2] * tile_sizes(w)[0] + SLACK)
    for index in range(worker, numbers[1] * numbers[13], workers):
        _transform_filters(w, index, numbers, work, turned, numbers[17] + index * size)


# -- tiles ---------------------------------------------------------------------------------------


@jit
def _find_runs(first, count, numbers, runs):
    """The runs of tiles that lie side by side: image, row, column and number of tiles of each."""
    side = numbers[10]
    tall, wide = (numbers[6] + side - 1) // side, (numbers[7] + side - 1) // side
    found, done = 0, 0
    while done < count:
        at = first + done
        runs[found, 0] = at // (tall * wide)
        runs[found, 1] = at // wide % tall * side
        runs[found, 2] = at % wide * side
        runs[found, 3] = min(wide - at % wide, count - done)
        done += runs[found, 3]
        found += 1
    return found


@jit
def _transform_input(x, g, numbers, runs, found, vectors, work, lines, to):
    """The 36 panels of B for two vectors of tiles."""
    group, depth, h, w, side = numbers[1], numbers[2], numbers[3], numbers[4], numbers[10]
    _, width = tile_sizes(x)
    lanes, pitch, stride = width // 2, side * width + SLACK, depth * width + SLACK
    for c in range(depth):
        line = lines
        for r in range(found):
            y0, x0, count = runs[r, 1] - numbers[8], runs[r, 2] - numbers[9], side * runs[r, 3]
            at = ((runs[r, 0] * group + g) * depth + c) * h * w
            if side == FINE:
                rows_to_fine_lines(x, at, h, w, y0, x0, work, line, pitch, count)
            else:
                rows_to_lines(x, at, h, w, y0, x0, work, line, pitch, count)
            line += count
        for v in range(vectors):
            place = to + c * width + v * lanes
            source = lines + v * side * lanes
            if side == FINE:
                fine_patches_to_vectors(work, source, pitch, work, place, stride)
            else:
                patches_to_vectors(work, source, pitch, work, place, stride)


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
    total, oh, ow, extra = numbers[1] * numbers[5], numbers[6], numbers[7], numbers[16]
    side = numbers[10]
    rows, width = tile_sizes(y)
    lanes, pitch, stride = width // 2, side * width + SLACK, rows * width
    factor, summand = work[extra + o], work[extra + total + o]
    slope = work[extra + 2 * total + 2] if work[extra + 2 * total + 1] else y.dtype.type(1)
    for v in range(vectors):
        source, to = m + v * lanes, lines + v * side * lanes
        if side == FINE:
            vectors_to_fine_outputs(work, source, stride, work, to, pitch, factor, summand, slope)
        else:
            vectors_to_outputs(work, source, stride, work, to, pitch, factor, summand, slope)
    line = lines
    for r in range(found):
        y0, x0, count = runs[r, 1], runs[r, 2], side * runs[r, 3]
        at = ((runs[r, 0] * total + o) * oh + y0) * ow + x0
        lines_to_rows(work, line, pitch, y, at, ow, min(side, oh - y0), min(count, ow - x0))
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
    pairs, blocks, panels, parts = numbers[11], numbers[12], numbers[13], numbers[14]
    shared, filters = numbers[15], numbers[17]
    rows, width = tile_sizes(x)
    side = numbers[10]
    tiles = (numbers[6] + side - 1) // side * ((numbers[7] + side - 1) // side) * numbers[0]
    a_size, b_size = PRODUCTS * (depth * rows + SLACK), PRODUCTS * (depth * width + SLACK)
    inputs = numbers[18] + worker * numbers[19]
    products = inputs + (pairs + blocks - 1) // blocks * b_size
    lines = products + PRODUCTS * rows * width
    turned = lines + LINES * (SIDE * width + SLACK)
    own = turned + TAPS
    runs = np.empty((width, 4), np.int64)
    tasks, done = blocks * group * parts, -1
    # Neighbours go to one worker: two would write to the same cache lines.
    for task in range(worker * tasks // workers, (worker + 1) * tasks // workers):
        part, g, block = task % parts, task // parts % group, task // parts // group
        first = block * pairs // blocks * width
        count = min((block + 1) * pairs // blocks * width, tiles) - first
        if task // parts != done:
            _transform_block(x, g, first, count, numbers, runs, work, lines, inputs)
            done = task // parts
        for panel in range(part * panels // parts, (part + 1) * panels // parts):
            a, index = own, g * panels + panel
            if shared:
                a = filters + index * a_size
            else:
                _transform_filters(w, index, numbers, work, turned, own)
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
    side = PATCH + 1 - w[2]
    return _Shape(x[0], group, x[1] // group, *x[2:], y[1] // group, *y[2:], *pad, side)


@lru_cache(maxsize=1024)
def _numbers(shape, flipped, start, itemsize, threads):
    """The plan in a workspace that begins at `start`, and all that the workers need to know."""
    plan = _plan(shape, itemsize, threads)
    places = {name: start + getattr(plan, name) for name in ("extra", "filters", "rooms")}
    plan = plan._replace(**places)
    return plan, np.array([*shape, *plan, flipped], np.int64)


def _run(x, w, b, group, flipped, pad, work, y, epilogue):
    LIBRARY.link(8 * x.itemsize)
    start = -work.ctypes.data % VECTOR_BYTES // x.itemsize
    shape = _shape(x.shape, w.shape, y.shape, group, pad)
    plan, numbers = _numbers(shape, flipped, start, x.itemsize, get_num_threads())
    extra = completion(b, epilogue, y.shape[1], y.dtype)
    work[plan.extra : plan.extra + extra.size] = extra
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

    x: (N, C, H, W).  w: (O, C / group, k, k), k = 3 or 5.  b: (O,), or of size 0.  window: (k, k,
    1, 1, pad_h, pad_w, 1, 1).  work: `winograd_work_size` numbers.  y: (N, O, H', W').
    """
    _run(x, w, b, group, False, window[4:6], work, y, epilogue)


def winograd_backward(dy, w, b, group, window, work, dx, epilogue=NO_EPILOGUE):
    """dx = epilogue(the gradient of `winograd_forward` by x, plus b); b: (C,), or of size 0.

    It is the convolution of dy with the flipped filters, from outputs to channels.
    """
    pad = window[0] - 1 - window[4], window[1] - 1 - window[5]
    _run(dy, w, b, group, True, pad, work, dx, epilogue)
