"""The gradient of a convolution by its weight with Winograd's method: 36 multiplications a tile.

The transpose of the convolution in `convolution.py`.  With d a patch of 6x6 elements of a channel,
and y the tile of 4x4 (2x2 for filters of 5x5) elements of an output's gradient over it,

    dW = G' [the sum over all tiles of (B' d B) * (A y A')] G

where * is element by element: each of the 36 elements is a matrix product, (outputs, tiles) times
(tiles, channels).  The tiles are cut into blocks.  A task transforms the tiles of its outputs in a
block, which stay for all its channels.  Then, for as many channels as a tile of the micro-kernel
has columns, it transforms the patches, computes 36 products for each panel of outputs, and adds
their transforms to dW.  No two tasks share what they transform: between two cores that costs more
than doing it twice.

Where dW is small, several tasks each sum a portion of the tiles, and the sums are added in order.
How tiles are cut into portions and blocks depends on the shapes alone, so that the results are
bit-equal for any number of threads.

NaN and infinity make NaN of all taps between their channel and the outputs of their tiles.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import config

from caffe_lite.kernels.conv.winograd.convolution import SLACK, round_up
from caffe_lite.kernels.conv.winograd.weight_gradient_transforms import (
    LIBRARY,
    PATCH,
    PRODUCTS,
    add_filters,
    patches_to_vectors,
    tiles_to_vectors,
)
from caffe_lite.kernels.epilogue import incomplete
from caffe_lite.kernels.gemm import MR, packed_panel, tile, tile_sizes
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import get_num_threads, launch, parallel, pieces_of
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix, transpose_square

DEPTHS = 64, 128
"""The least and the most tiles in a block, where there are as many."""
BLOCK_BYTES = 5 << 20
"""What the transformed tiles of all outputs in a block should take."""
LINES_BYTES = 48 << 10
"""What the lines under transformation should take."""
PORTIONS, PORTIONS_BYTES = 8, 5 << 18
"""Into how many portions the tiles are cut at most, and what their sums may take."""


# -- plan --------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """The sizes of a convolution, and how the sum is cut; channels and outputs are a group's."""

    items: int
    group: int
    channels: int
    height: int
    width: int
    outputs: int
    out_height: int
    out_width: int
    pad_h: int
    pad_w: int
    side: int  # of a tile
    wide: int  # tiles side by side in a strip
    strips_across: int  # strips side by side
    strips: int
    portions: int  # into which they are cut; their sums are at the start of `work`
    block: int  # strips of a block
    tall: int  # parts of a group's outputs
    broad: int  # parts of a group's channels
    lines: int  # elements of the lines under transformation
    workspaces: int  # where those of the workers begin in `work`
    workspace: int  # elements of each
    workers: int


@lru_cache(maxsize=1024)
def _plan(x, w, dy, group, pad, itemsize, threads):
    """The plan for arrays of such shapes, and the packed plan."""
    side, lanes = PATCH + 1 - w[2], VECTOR_BYTES // itemsize
    channels, outputs = x[1] // group, dy[1] // group
    panels, across = -(-outputs // MR), -(-channels // (2 * lanes))
    most = min(max(DEPTHS[0], BLOCK_BYTES // (panels * PRODUCTS * MR * itemsize)), DEPTHS[1])
    rows, columns = -(-dy[2] // side), -(-dy[3] // side)
    strips_across = -(-columns // most)
    wide = -(-columns // strips_across)
    strips = x[0] * strips_across * rows
    weights = group * outputs * channels * w[2] ** 2
    portions = min(PORTIONS, PORTIONS_BYTES // (weights * itemsize), strips * wide // DEPTHS[0])
    portions = 1 << max(1, portions).bit_length() - 1
    share = -(-strips // portions)
    block = -(-share // -(-share // (most // wide)))
    tall, broad = _split(panels, across, threads, portions * group)
    pitch = (side * wide + PATCH - side + lanes) * lanes
    lines = min(LINES_BYTES // (pitch * itemsize), side * rows + PATCH - side)
    lines = round_up(max(PATCH, lines) * pitch)
    depth = block * wide
    workspace = -(-panels // tall) * PRODUCTS * (depth * MR + SLACK) + lines
    workspace += PRODUCTS * (depth * 2 * lanes + SLACK) + PRODUCTS * MR * 2 * lanes
    workspace = round_up(workspace + PATCH * PATCH * lanes)
    sums = round_up(weights * portions) if portions > 1 else 0
    workers = min(threads, portions * group * tall * broad)
    cut = wide, strips_across, strips, portions, block, tall, broad, lines, sums
    sizes = x[0], group, channels, *x[2:], outputs, *dy[2:], *pad, side
    plan = Plan(*sizes, *cut, workspace, workers)
    return plan, pack(plan)


def _split(panels: int, across: int, threads: int, whole: int) -> tuple[int, int]:
    """Into how many parts of the outputs and of the channels to cut each of `whole` tasks.

    The unit of cost is one panel of 36 products.  To transform the tiles for it takes about as
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


def winograd_gradient_work_size(x, w, dy, group, itemsize=4):
    """How many elements the `work` argument must have.  x, w, dy: shapes."""
    plans = (
        _plan(x, w, dy, group, (0, 0), itemsize, threads)[0]
        for threads in range(1, config.NUMBA_NUM_THREADS + 1)
    )
    return max(plan.workspaces + plan.workspace * plan.workers for plan in plans) + SLACK


class Workspace(NamedTuple):
    """Where the buffers of one worker begin in `work`."""

    products: int
    vector: int  # of filters, for those that do not fill one
    lines: int
    b: int  # panels of transformed patches
    a: int  # panels of transformed tiles


@inlined
def _workspace(p, worker, x):
    rows, width = tile_sizes(x)
    products = p.workspaces + worker * p.workspace
    vector = products + PRODUCTS * rows * width
    lines = vector + PATCH * PATCH * width // 2
    b = lines + p.lines
    a = b + PRODUCTS * (p.block * p.wide * width + SLACK)
    return Workspace(products, vector, lines, b, a)


class Task(NamedTuple):
    """Some outputs and channels of a group, for the tiles of a portion."""

    group: int
    portion: int
    first_panel: int  # of the outputs
    last_panel: int
    channel: int
    stop: int


@inlined
def _task(p, task, rows, width):
    """A task by its number."""
    panels, across = (p.outputs + rows - 1) // rows, (p.channels + width - 1) // width
    left, up, rest = task % p.broad, task // p.broad % p.tall, task // (p.broad * p.tall)
    channel, stop = left * across // p.broad * width, (left + 1) * across // p.broad * width
    first, last = up * panels // p.tall, (up + 1) * panels // p.tall
    return Task(rest % p.group, rest // p.group, first, last, channel, min(stop, p.channels))


# -- transforms --------------------------------------------------------------------------------


class Images(NamedTuple):
    """x, of which patches are transformed, or dy, of which tiles are."""

    data: Any
    planes: int
    height: int
    width: int
    top: int  # rows and columns of padding
    left: int
    side: int  # of a patch or a tile
    panel: int  # elements in a row of a panel of transforms


@inlined
def _patches_of(p, x):
    _, width = tile_sizes(x)
    planes, side = p.group * p.channels, np.int64(PATCH)
    return Images(x, planes, p.height, p.width, p.pad_h, p.pad_w, side, width)


@inlined
def _tiles_of(p, dy):
    rows, _ = tile_sizes(dy)
    planes, zero = p.group * p.outputs, np.int64(0)
    return Images(dy, planes, p.out_height, p.out_width, zero, zero, p.side, rows)


@jit
def _transpose_lines(images, at, offsets, area, work, lines, pitch):
    """work[lines + i pitch + j lanes + c] = pixel (top + i, left + j) of plane c, 0 outside of it.

    The area, (top, left, rows, columns), may reach beyond the images.  The planes begin at `at` +
    offsets[c]; the last stands for the rest of a vector.  A vector of pixels fits after a line.
    """
    source, lanes = images.data, VECTOR_BYTES // work.itemsize
    count, (y0, x0, rows, columns) = offsets.size, area
    left, right = min(columns, max(0, -x0)), max(0, min(columns, images.width - x0))
    limit = source.size - offsets[count - 1] - lanes
    for i in range(rows):
        line, begin, end = lines + i * pitch, left, right
        if not (0 <= y0 + i < images.height and left < right):
            begin, end = columns, columns
        for q in range(line, line + begin * lanes):
            work[q] = 0
        first = at + (y0 + i) * images.width + x0
        for j in range(begin, end, lanes):
            to = line + j * lanes
            if first + j <= limit:
                transpose_square(source[first + j :], offsets, count, Matrix(work[to:], lanes))
                continue
            for p in range(min(lanes, end - j)):
                for c in range(lanes):
                    pixel = source[first + j + p + offsets[min(c, count - 1)]]
                    work[to + p * lanes + c] = pixel
        for q in range(line + end * lanes, line + columns * lanes):
            work[q] = 0


@jit
def _transform_strips(p, images, at, offsets, strips, work, lines, to):
    """36 panels of a vector of planes for the strips (first, last) of tiles."""
    lanes, rows = VECTOR_BYTES // work.itemsize, (p.out_height + p.side - 1) // p.side
    pitch = (p.side * p.wide + PATCH - p.side + lanes) * lanes
    stride = p.block * p.wide * images.panel + SLACK
    most = (p.lines // pitch - images.side) // p.side + 1
    columns = (p.wide - 1) * p.side + images.side
    strip, last = strips
    while strip < last:
        item, row = strip // (rows * p.strips_across), strip % rows
        here = min(min(most, rows - row), last - strip)
        left = strip // rows % p.strips_across * p.wide * p.side - images.left
        tall = (here - 1) * p.side + images.side
        area = row * p.side - images.top, left, tall, columns
        plane = item * images.planes * images.height * images.width
        _transpose_lines(images, at + plane, offsets, area, work, lines, pitch)
        for t in range(here * p.wide):
            corner = lines + (t // p.wide * pitch + t % p.wide * lanes) * p.side
            source, target = Matrix(work[corner:], pitch), Matrix(work[to:], stride)
            if images.side == PATCH:
                patches_to_vectors(source, target)
            else:
                tiles_to_vectors(p.side, source, target)
            to += images.panel
        strip += here


@jit
def _transform(p, images, plane, count, strips, work, lines, to):
    """36 panels of `count` planes from `plane` on, for the strips (first, last) of tiles.

    The last vector of planes comes first, so that what it leaves beyond the panel is written over.
    """
    lanes, size = VECTOR_BYTES // work.itemsize, images.height * images.width
    for i in range((count - 1) // lanes * lanes, -1, -lanes):
        offsets = np.arange(min(lanes, count - i)) * size
        _transform_strips(p, images, (plane + i) * size, offsets, strips, work, lines, to + i)


# -- products ----------------------------------------------------------------------------------


@jit
def _add_panel(p, rows, columns, work, space, target, to):
    """Transform 36 panels of products, `rows` by `columns` filters, and add them to the target.

    A vector that reaches beyond a row of filters goes through a buffer.
    """
    height, width = tile_sizes(work)
    lanes, taps, stride = width // 2, (PATCH + 1 - p.side) ** 2, height * width
    for i in range(rows):
        for j in range(0, columns, lanes):
            source, at = space.products + i * width + j, to + (i * p.channels + j) * taps
            if columns - j >= lanes:
                add_filters(p.side, Matrix(work[source:], stride), target[at:])
                continue
            vector = space.vector
            work[vector : vector + lanes * taps] = 0
            add_filters(p.side, Matrix(work[source:], stride), work[vector:])
            for q in range((columns - j) * taps):
                target[at + q] += work[vector + q]


@inlined
def _multiply(p, task, strips, j, space, work, target, to):
    """Add to the filters between the task's outputs and the panel of channels from j on.

    target: from `to` on those of the group.
    """
    rows, width = tile_sizes(work)
    most, depth, taps = p.block * p.wide, strips * p.wide, (PATCH + 1 - p.side) ** 2
    a, a_stride, b_stride = space.a, most * rows + SLACK, most * width + SLACK
    columns, added = min(width, p.channels - j), np.bool_(False)
    vectors = (columns + width // 2 - 1) // (width // 2)
    for panel in range(task.first_panel, task.last_panel):
        height = min(rows, p.outputs - panel * rows)
        for k in range(PRODUCTS):
            left = packed_panel(work[a + k * a_stride :])
            product = Matrix(work[space.products + k * rows * width :], width)
            right = work[space.b + k * b_stride :]
            tile(
                height, vectors, left, right, depth, product, added, depth * rows, incomplete(work)
            )
        at = to + (panel * rows * p.channels + j) * taps
        _add_panel(p, height, columns, work, space, target, at)
        a += PRODUCTS * a_stride


@inlined
def _clear(p, task, rows, sums, at):
    """Set the filters between the task's outputs and channels to 0."""
    taps = (PATCH + 1 - p.side) ** 2
    for o in range(task.first_panel * rows, min(task.last_panel * rows, p.outputs)):
        start = at + (o * p.channels + task.channel) * taps
        sums[start : start + (task.stop - task.channel) * taps] = 0


@inlined
def _add_block(p, task, strips, x, dy, space, work, target):
    """Add what the strips (first, last) of tiles give; target: an array, and where it begins."""
    rows, width = tile_sizes(work)
    patches, tiles, (filters, to) = _patches_of(p, x), _tiles_of(p, dy), target
    size = PRODUCTS * (p.block * p.wide * rows + SLACK)
    for panel in range(task.first_panel, task.last_panel):
        o, a = panel * rows, space.a + (panel - task.first_panel) * size
        count, plane = min(rows, p.outputs - o), task.group * p.outputs + o
        _transform(p, tiles, plane, count, strips, work, space.lines, a)
    for j in range(task.channel, task.stop, width):
        count, plane = min(width, p.channels - j), task.group * p.channels + j
        _transform(p, patches, plane, count, strips, work, space.lines, space.b)
        _multiply(p, task, strips[1] - strips[0], j, space, work, filters, to)


@parallel
def _add_tasks(first, last, x, dy, work, dw, numbers):
    """A worker's tasks."""
    p, (rows, width) = unpack(Plan, numbers), tile_sizes(x)
    weights = p.outputs * p.channels * (PATCH + 1 - p.side) ** 2
    for worker in range(first, last):
        space = _workspace(p, worker, x)
        for number in range(worker, p.portions * p.group * p.tall * p.broad, p.workers):
            task = _task(p, number, rows, width)
            filters, to = dw, task.group * weights
            if p.portions > 1:
                filters, to = work, task.portion * dw.size + to
                _clear(p, task, rows, work, to)
            end = (task.portion + 1) * p.strips // p.portions
            for strip in range(task.portion * p.strips // p.portions, end, p.block):
                strips = strip, min(strip + p.block, end)
                _add_block(p, task, strips, x, dy, space, work, (filters, to))


@parallel
def _add_portions(first, last, work, portions, dw):
    """dw += the sums of all portions, in order; a task is one element."""
    result = dw[first:last]
    for portion in range(portions):
        sums = work[portion * dw.size + first :][: result.size]
        for q in range(result.size):
            result[q] += sums[q]


def winograd_backward_params(x, dy, group, window, work, dw):
    """dW += the gradient of `winograd_forward` by w.

    x: (N, C, H, W).  dy: (N, O, H', W').  window: (k, k, 1, 1, pad_h, pad_w, 1, 1), k 3 or 5.
    work: `winograd_gradient_work_size` elements.  dw: (O, C / group, k, k).
    """
    LIBRARY.link(8 * x.itemsize)
    elements = dy.size * dw[0].size / 16
    threads = pieces_of(get_num_threads(), elements)
    shapes = x.shape, dw.shape, dy.shape
    plan, numbers = _plan(*shapes, group, window[4:6], x.itemsize, threads)
    work = work[-work.ctypes.data % VECTOR_BYTES // x.itemsize :]
    x, dy, dw = x.reshape(-1), dy.reshape(-1), dw.reshape(-1)
    launch(_add_tasks, plan.workers, elements, x, dy, work, dw, numbers)
    if plan.portions > 1:
        launch(_add_portions, dw.size, plan.portions * dw.size, work, plan.portions, dw)
