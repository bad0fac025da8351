"""The weight's gradient by Winograd's way: 36 products for a tile instead of 144, or of 100.

It is the transpose of the convolution of `_winograd`.  With d a patch of 6 x 6 numbers of a
channel, and y the tile of 4 x 4 (2 x 2 for filters of 5 x 5) numbers of an output's gradient that
lies over it,

    dW = G' [the sum over all tiles of (B' d B) * (A y A')] G

where * is number by number: each of the 36 numbers is a matrix product, (outputs, tiles) times
(tiles, channels).  The tiles are cut into blocks.  A task transforms the tiles of its outputs in a
block, which stay for all its channels; then, for as many channels as a tile of the matrix core has
columns, it transforms the patches, runs 36 products for each panel of outputs, and adds what they
give to dW.  No two tasks share what they transform: between two cores that costs more than doing
it twice.

Where dW is small, portions of the tiles are added up by themselves, for several tasks, and their
sums added in order.  How tiles are cut into portions and blocks depends on the shapes alone, so
that the results are bit-equal for any number of threads.

NaN and infinity make NaN of all taps between their channel and the outputs of their tiles.

Only `convolution` imports this file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import config

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._winograd_gradient_transforms import (
    LIBRARY,
    PATCH,
    PRODUCTS,
    SIDE,
    add_filters,
    add_fine_filters,
    fine_tiles_to_vectors,
    patches_to_vectors,
    tiles_to_vectors,
)
from caffe_lite.kernels.gemm import (
    ROWS,
    VECTOR_BYTES,
    get_num_threads,
    spread,
    tile,
    tile_sizes,
    turn_vectors,
)

SLACK = 16
"""Numbers after a panel that writing whole vectors may touch."""
DEPTHS = 64, 128
"""The least and the most tiles in a block, where there are as many."""
BLOCK_BYTES = 5 << 20
"""What the transformed tiles of all outputs in a block should take."""
LINES_BYTES = 48 << 10
"""What the lines under transformation should take."""
PORTIONS, PORTIONS_BYTES = 8, 5 << 18
"""Into how many portions the tiles are cut at most, and what their sums may take."""
SMALL = 1 << 18
"""Multiply-adds of a plain convolution below which a second thread costs more than it brings."""


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
    side: int  # of a tile


class _Plan(NamedTuple):
    """How the work is cut into tasks, and where in the workspace things lie."""

    wide: int  # tiles side by side in a strip
    parts: int  # strips side by side
    total: int  # strips
    portions: int  # into which they are cut
    strips: int  # in a block
    tall: int  # parts of a group's outputs
    broad: int  # parts of a group's channels
    lines: int  # numbers in the lines under transformation
    sums: int  # start of the portions' sums
    rooms: int  # start of the workers' own rooms
    room: int  # numbers in each
    workers: int


def _plan(shape: _Shape, itemsize: int, threads: int) -> _Plan:
    side, lanes = shape.side, VECTOR_BYTES // itemsize
    panels, across = -(-shape.outputs // ROWS), -(-shape.channels // (2 * lanes))
    panel = PRODUCTS * ROWS * itemsize
    most = min(max(DEPTHS[0], BLOCK_BYTES // (panels * panel)), DEPTHS[1])
    rows, columns = -(-shape.out_height // side), -(-shape.out_width // side)
    parts = -(-columns // most)
    wide = -(-columns // parts)
    total = shape.items * parts * rows
    weight = shape.group * shape.outputs * shape.channels * (PATCH + 1 - side) ** 2
    portions = min(PORTIONS, PORTIONS_BYTES // (weight * itemsize), total * wide // DEPTHS[0])
    portions = 1 << max(1, portions).bit_length() - 1
    share = -(-total // portions)
    strips = -(-share // -(-share // (most // wide)))
    tall, broad = _split(panels, across, threads, portions * shape.group)
    pitch = (side * wide + PATCH - side + lanes) * lanes
    lines = min(LINES_BYTES // (pitch * itemsize), side * rows + PATCH - side)
    lines = _round_up(max(PATCH, lines) * pitch)
    depth = strips * wide
    room = -(-panels // tall) * PRODUCTS * (depth * ROWS + SLACK) + lines
    room += PRODUCTS * (depth * 2 * lanes + SLACK) + PRODUCTS * ROWS * 2 * lanes
    room += PATCH * PATCH * lanes
    rooms = _round_up(weight * portions) if portions > 1 else 0
    workers = min(threads, portions * shape.group * tall * broad)
    cut = wide, parts, total, portions, strips, tall, broad
    return _Plan(*cut, lines, 0, rooms, _round_up(room), workers)


def _split(panels: int, across: int, threads: int, whole: int) -> tuple[int, int]:
    """Parts of the outputs and of the channels: of `whole` tasks, each is cut into so many.

    The cost is that of one panel of 36 products.  To transform the tiles for it takes about as
    long, the patches twice as long; each part of the channels transforms all tiles of its outputs,
    and each part of the outputs all patches.
    """
    costs = []
    for tall in range(1, min(panels, threads) + 1):
        broad = min(across, -(-threads // (whole * tall)))
        down, along = -(-panels // tall), -(-across // broad)
        rounds = -(-whole * tall * broad // threads)
        costs.append((rounds * (down * along + down + 2 * along), tall, broad))
    return min(costs)[1:]


def _round_up(numbers: int) -> int:
    """To whole vectors."""
    return -(-numbers // SLACK) * SLACK


# -- transforms --------------------------------------------------------------------------------


@jit
def _turn_lines(source, at, offsets, count, h, w, y0, x0, rows, columns, work, lines, pitch):
    """work[lines + i pitch + j lanes + c] = pixel (y0 + i, x0 + j) of plane c, 0 outside of it.

    The planes begin at `at` + offsets[c]; there are `count` of them, the last stands for the rest
    of a vector.  Behind `columns` pixels there must be room for a vector of them.
    """
    lanes, start = VECTOR_BYTES // source.itemsize, count - count
    left, right = min(columns, max(0, -x0)), max(0, min(columns, w - x0))
    limit = source.size - offsets[count - 1] - lanes
    for i in range(rows):
        line, begin, end = lines + i * pitch, left, right
        if not (0 <= y0 + i < h and left < right):
            begin, end = columns, columns
        for q in range(line, line + begin * lanes):
            work[q] = 0
        first = at + (y0 + i) * w + x0
        for j in range(begin, end, lanes):
            place = line + j * lanes
            if first + j <= limit:
                turn_vectors(source, first + j, offsets, start, count, work, place, lanes)
                continue
            for p in range(min(lanes, end - j)):
                for c in range(lanes):
                    pixel = source[first + j + p + offsets[min(c, count - 1)]]
                    work[place + p * lanes + c] = pixel
        for q in range(line + end * lanes, line + columns * lanes):
            work[q] = 0


@jit
def _transform(source, patches, plane, count, first, last, numbers, work, lines, to):
    """36 panels of `count` planes from `plane` on, for the tiles of strips `first` .. `last`.

    patches: whether of x, else tiles of dy.  The last vector of planes comes first, so that what
    it leaves beyond the panel is written over.
    """
    side, wide, parts = numbers[10], numbers[11], numbers[12]
    planes, h, w = numbers[1] * numbers[5], numbers[6], numbers[7]
    rows, top, left, reach = (h + side - 1) // side, 0, 0, side
    panel, width = tile_sizes(source)
    lanes = width // 2
    if patches:
        planes, h, w = numbers[1] * numbers[2], numbers[3], numbers[4]
        top, left, reach, panel = numbers[8], numbers[9], PATCH, width
    columns, stride = (wide - 1) * side + reach, numbers[15] * wide * panel + SLACK
    pitch = (side * wide + PATCH - side + lanes) * lanes
    most = (numbers[18] // pitch - reach) // side + 1
    offsets = np.empty(lanes, np.int64)
    for i in range((count - 1) // lanes * lanes, -1, -lanes):
        inside = min(lanes, count - i)
        for c in range(inside):
            offsets[c] = c * h * w
        strip, place = first, to + i
        while strip < last:
            item, part, row = strip // (rows * parts), strip // rows % parts, strip % rows
            here = min(min(most, rows - row), last - strip)
            at = (item * planes + plane + i) * h * w
            y0, x0, tall = row * side - top, part * wide * side - left, (here - 1) * side + reach
            _turn_lines(
                source, at, offsets, inside, h, w, y0, x0, tall, columns, work, lines, pitch
            )
            for t in range(here * wide):
                corner = lines + (t // wide * pitch + t % wide * lanes) * side
                if patches:
                    patches_to_vectors(work, corner, pitch, work, place, stride)
                elif side == SIDE:
                    tiles_to_vectors(work, corner, pitch, work, place, stride)
                else:
                    fine_tiles_to_vectors(work, corner, pitch, work, place, stride)
                place += panel
            strip += here


@jit
def _add_vector(side, work, source, stride, target, to):
    """Transform a vector of sums and add it to a vector of filters."""
    if side == SIDE:
        add_filters(work, source, stride, target, to)
    else:
        add_fine_filters(work, source, stride, target, to)


@jit
def _add_panel(side, rows, columns, work, products, spare, target, to, step):
    """Transform 36 panels of products, `rows` by `columns` filters, and add them to the target.

    Its rows begin `step` apart.  A vector that hangs over their end goes through `spare`.
    """
    height, width = tile_sizes(work)
    lanes, taps, stride = width // 2, (PATCH + 1 - side) ** 2, height * width
    for i in range(rows):
        for j in range(0, columns, lanes):
            source, place = products + i * width + j, to + i * step + j * taps
            if columns - j >= lanes:
                _add_vector(side, work, source, stride, target, place)
                continue
            for q in range(spare, spare + lanes * taps):
                work[q] = 0
            _add_vector(side, work, source, stride, work, spare)
            for q in range((columns - j) * taps):
                target[place + q] += work[spare + q]


# -- tasks -------------------------------------------------------------------------------------


@jit
def _places(room, numbers, rows, width):
    """Where in a worker's room things lie: products, a spare vector of filters, lines, B, A."""
    spare = room + PRODUCTS * rows * width
    lines = spare + PATCH * PATCH * width // 2
    b = lines + numbers[18]
    return room, spare, lines, b, b + PRODUCTS * (numbers[15] * numbers[11] * width + SLACK)


@jit
def _multiply(strips, top, bottom, j, numbers, work, room, target, to):
    """Add to the filters of the outputs in panels `top` .. `bottom`, and of a panel of channels.

    Those of the group's first output, and of the panel's first channel j, begin at `to`.
    """
    channels, outputs, side, wide = numbers[2], numbers[5], numbers[10], numbers[11]
    rows, width = tile_sizes(work)
    products, spare, _, b, a = _places(room, numbers, rows, width)
    deepest, depth = numbers[15] * wide, strips * wide
    a_stride, b_stride = deepest * rows + SLACK, deepest * width + SLACK
    step, here = channels * (PATCH + 1 - side) ** 2, min(width, channels - j)
    vectors = (here + width // 2 - 1) // (width // 2)
    added = strips < 0  # False, but no constant to numba
    for panel in range(top, bottom):
        inside = min(rows, outputs - panel * rows)
        for k in range(PRODUCTS):
            left, right, result = a + k * a_stride, b + k * b_stride, products + k * rows * width
            tile(inside, vectors, work, left, work, right, depth, work, result, width, added)
        place = to + panel * rows * step
        _add_panel(side, inside, here, work, products, spare, target, place, step)
        a += PRODUCTS * a_stride


@jit
def _tasks(worker, workers, x, dy, work, dw, numbers):
    """A task: some outputs and channels of a group, for all tiles of a portion."""
    group, channels, outputs, side = numbers[1], numbers[2], numbers[5], numbers[10]
    total, portions, strips = numbers[13], numbers[14], numbers[15]
    tall, broad, taps = numbers[16], numbers[17], (PATCH + 1 - side) ** 2
    rows, width = tile_sizes(x)
    panels, across = (outputs + rows - 1) // rows, (channels + width - 1) // width
    room = numbers[20] + worker * numbers[21]
    _, _, lines, b, a = _places(room, numbers, rows, width)
    a_panel = PRODUCTS * (strips * numbers[11] * rows + SLACK)
    of_x = worker >= 0  # True, but no constant to numba
    for task in range(worker, portions * group * tall * broad, workers):
        left, up, g = task % broad, task // broad % tall, task // (broad * tall) % group
        portion = task // (broad * tall * group)
        top, bottom = up * panels // tall, (up + 1) * panels // tall
        left, right = left * across // broad * width, (left + 1) * across // broad * width
        target, to = dw, g * outputs * channels * taps
        if portions > 1:
            target, to = work, numbers[19] + portion * dw.size + to
            _clear(work, to, top * rows, min(bottom * rows, outputs), left, right, channels, taps)
        end = (portion + 1) * total // portions
        for first in range(portion * total // portions, end, strips):
            last = min(first + strips, end)
            for panel in range(top, bottom):
                o, place = panel * rows, a + (panel - top) * a_panel
                here, plane = min(rows, outputs - o), g * outputs + o
                _transform(dy, not of_x, plane, here, first, last, numbers, work, lines, place)
            for j in range(left, right, width):
                here, plane = min(width, channels - j), g * channels + j
                _transform(x, of_x, plane, here, first, last, numbers, work, lines, b)
                place = to + j * taps
                _multiply(last - first, top, bottom, j, numbers, work, room, target, place)


@jit
def _clear(sums, at, top, bottom, left, right, channels, taps):
    """Set filters of outputs `top` .. `bottom` and channels `left` .. `right` to 0."""
    right = min(right, channels)
    for o in range(top, bottom):
        start = at + (o * channels + left) * taps
        for q in range(start, start + (right - left) * taps):
            sums[q] = 0


@jit
def _add_portions(worker, workers, x, dy, work, dw, numbers):
    """dW += the sums of all portions, in order."""
    first, last = worker * dw.size // workers, (worker + 1) * dw.size // workers
    result = dw[first:last]
    for portion in range(numbers[14]):
        start = numbers[19] + portion * dw.size + first
        sums = work[start : start + result.size]
        for q in range(result.size):
            result[q] += sums[q]


# -- what convolution calls ----------------------------------------------------------------------


def _shape(x, dy, group, kernel, pad):
    side = PATCH + 1 - kernel
    return _Shape(x[0], group, x[1] // group, *x[2:], dy[1] // group, *dy[2:], *pad, side)


def winograd_gradient_work_size(x, w, dy, group, itemsize=4):
    """How many numbers the `work` argument must have.  x, w, dy: shapes."""
    shape = _shape(x, dy, group, w[2], (0, 0))
    plans = (_plan(shape, itemsize, threads) for threads in range(1, config.NUMBA_NUM_THREADS + 1))
    return max(plan.rooms + plan.room * plan.workers for plan in plans) + SLACK


@lru_cache(maxsize=1024)
def _numbers(shape, start, itemsize, threads):
    """The plan in a workspace that begins at `start`, and all that the workers need to know."""
    plan = _plan(shape, itemsize, threads)
    plan = plan._replace(sums=plan.sums + start, rooms=plan.rooms + start)
    return plan, np.array([*shape, *plan], np.int64)


def winograd_backward_params(x, dy, group, window, work, dw):
    """dW += the gradient of `_winograd.winograd_forward` by w.

    x: (N, C, H, W).  dy: (N, O, H', W').  window: (k, k, 1, 1, pad_h, pad_w, 1, 1), k 3 or 5.
    work: `winograd_gradient_work_size` numbers.  dw: (O, C / group, k, k).
    """
    LIBRARY.link(8 * x.itemsize)
    threads = 1 if dy.size * dw[0].size <= SMALL else get_num_threads()
    shape = _shape(x.shape, dy.shape, group, window[0], window[4:6])
    start = -work.ctypes.data % VECTOR_BYTES // x.itemsize
    plan, numbers = _numbers(shape, start, x.itemsize, threads)
    x, dy, dw = x.reshape(-1), dy.reshape(-1), dw.reshape(-1)
    spread(_tasks, plan.workers, x, dy, work, dw, numbers)
    if plan.portions > 1:
        spread(_add_portions, plan.workers, x, dy, work, dw, numbers)
