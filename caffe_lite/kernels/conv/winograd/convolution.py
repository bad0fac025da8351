"""Winograd's convolution with stride 1: 36 multiplications for a tile of outputs.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", F(4x4, 3x3) and
F(2x2, 5x5): 16 outputs instead of the 144 products of 3x3, 4 instead of the 100 of 5x5.  The
output is cut into such tiles.  Each needs a patch d of 6x6 elements of every channel:

    Y = A' [(G g G') * (B' d B)] A          for one filter g, with * element by element

With channels, each of the 36 elements is a matrix product, (outputs, channels) times (channels,
tiles).  A task transforms the input of a block of tiles.  Then, for as many outputs as a tile of
the micro-kernel has rows, it computes the 36 products and transforms them to outputs.

NaN and infinity make NaN of all outputs in tiles over them; in Caffe, only of those over them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import config

from caffe_lite.kernels.conv.winograd.transforms import (
    LIBRARY,
    PATCH,
    PRODUCTS,
    SIDE,
    filters_to_vectors,
    lines_to_rows,
    patches_to_vectors,
    rows_to_lines,
    vectors_to_outputs,
)
from caffe_lite.kernels.epilogue import NO_EPILOGUE, completion, incomplete
from caffe_lite.kernels.gemm import MR, pack_across, packed_panel, tile, tile_sizes
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import (
    get_num_threads,
    launch,
    parallel,
    prepare,
    weights_stay,
)
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix, transpose_square

SLACK = 16
"""Elements after a row or a panel that storing whole vectors may touch."""
CHANNELS = 16
"""Channels whose filters are transposed at once."""
LINES = 3 * PATCH
"""Lines of elements under two vectors of tiles, at most."""


# -- plan --------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """The sizes of a convolution, and how it is cut; channels and outputs are those of a group."""

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
    side: int  # of a tile: 4 or 2
    flipped: int  # 1: the gradient; its filters are flipped, and go from outputs to channels
    pairs: int  # pairs of vectors of tiles
    blocks: int  # into which they are cut
    panels: int  # of MR outputs in a group
    parts: int  # into which they are cut
    shared: int  # 1: all filters are transformed first.  0: each task transforms its own
    filters: int  # elements of the shared filters
    workspaces: int  # where those of the workers begin in `work`, after the shared filters
    workspace: int  # elements of each
    workers: int


FEW = 4
"""Pairs of vectors of tiles in a task that transforms its filters itself."""
SHARED_BYTES = 12 << 20
"""Where there are more for each thread, filters up to this size are transformed for all tasks."""
BLOCK_BYTES = 1 << 18
"""What the transformed input of such a task should take: it stays in the second-level cache."""


@lru_cache(maxsize=1024)
def _plan(x, w, y, group, flipped, pad, stays, itemsize, threads):
    """The plan for arrays of such shapes, and the packed plan.

    A task needs the transformed input of all channels: 36 vectors each, for 16 tiles.  With
    vectors of 64 bytes that is 2.4 MB for a pair of them and 512 channels, 10.6 MB for FEW pairs
    with a panel of filters, or 21 MB on two threads.  Cutting the channels instead would save
    nothing: products of a part of them would have to be kept for all outputs.

    stays: whether the weights stay as they are; then all filters have been transformed, to an
    array of their own.
    """
    side, channels, outputs = PATCH + 1 - w[2], x[1] // group, y[1] // group
    width, panels = 2 * VECTOR_BYTES // itemsize, -(-outputs // MR)
    filters = PRODUCTS * (channels * MR + SLACK)
    all_filters = group * panels * filters
    pairs = -(-x[0] * -(-y[2] // side) * -(-y[3] // side) // width)
    pair = PRODUCTS * (channels * width + SLACK)
    shared = stays or (pairs > FEW * threads and all_filters * itemsize <= SHARED_BYTES)
    blocks = -(-pairs // (max(1, BLOCK_BYTES // (pair * itemsize)) if shared else FEW))
    if shared and blocks < 8 * threads:
        blocks = min(pairs, -(-blocks // threads) * threads)
    tasks = blocks * group
    parts = 1 if tasks % threads == 0 or tasks >= 8 * threads else min(panels, threads)
    workspace = -(-pairs // blocks) * pair + (0 if shared else filters)
    workspace += PRODUCTS * MR * width + LINES * (SIDE * width + SLACK)
    cut = pairs, blocks, panels, parts, shared
    cut = *cut, shared * all_filters, (shared and not stays) * round_up(all_filters)
    sizes = x[0], group, channels, *x[2:], outputs, *y[2:], *pad, side, flipped
    plan = Plan(*sizes, *cut, round_up(workspace), min(threads, tasks * parts))
    return plan, pack(plan)


def round_up(elements: int) -> int:
    """To whole vectors."""
    return -(-elements // SLACK) * SLACK


def winograd_work_size(x, w, y, group, itemsize=4):
    """How many elements the `work` argument must have, forward or back.  x, w, y: shapes."""
    plans = (
        _plan(*shapes, group, False, (0, 0), stays, itemsize, threads)[0]
        for shapes in ((x, w, y), (y, w, x))
        for stays in (False, True)
        for threads in range(1, config.NUMBA_NUM_THREADS + 1)
    )
    return max(plan.workspaces + plan.workspace * plan.workers + SLACK for plan in plans)


def winograd_filters_size(w, group):
    """How many elements the transformed filters of a weight of shape `w` have, forward or back."""
    outputs, channels = w[0] // group, w[1]
    sizes = (
        group * -(-count // MR) * PRODUCTS * (depth * MR + SLACK)
        for count, depth in ((outputs, channels), (channels, outputs))
    )
    return max(sizes) + SLACK


class Workspace(NamedTuple):
    """The buffers of one worker; those that are numbers begin there in `work`."""

    inputs: int  # panels of B: the transformed patches of a block
    products: int
    lines: int
    filters: int  # a panel of A, unless they are shared
    taps: Any  # filters, transposed to vectors of filters
    runs: Any  # tiles that are side by side


@inlined
def _workspace(p, worker, x):
    height, width = tile_sizes(x)
    inputs = p.workspaces + worker * p.workspace
    pairs = (p.pairs + p.blocks - 1) // p.blocks
    products = inputs + pairs * PRODUCTS * (p.channels * width + SLACK)
    lines = products + PRODUCTS * height * width
    filters = lines + LINES * (SIDE * width + SLACK)
    return Workspace(
        inputs, products, lines, filters, _taps_buffer(x), np.empty((width, 4), np.int64)
    )


# -- filters -----------------------------------------------------------------------------------


@jit
def _taps_buffer(w):
    """For the taps of CHANNELS channels; whole vectors are stored, and up to 16 lines."""
    height, _ = tile_sizes(w)
    return np.empty(25 * (CHANNELS * height + SLACK) + SLACK, w.dtype)


@jit
def _transpose_filters(p, w, at, step, offsets, count, target):
    """target[t line + k rows + o] = w[at + k step + offsets[o] + t] for `count` channels k."""
    lanes, (rows, _) = VECTOR_BYTES // w.itemsize, tile_sizes(w)
    taps, here, zero = (PATCH + 1 - p.side) ** 2, offsets.size, np.int64(0)
    line, last = CHANNELS * rows + SLACK, (here - 1) // lanes * lanes
    for k in range(count):
        start, to = at + k * step, k * rows
        if start + offsets[here - 1] + max(lanes, taps) > w.size:
            pack_across(w[start:], offsets, here, taps, Matrix(target[to:], line))
            continue
        t, j = zero, last  # `range` would divide to know its length
        while t < taps:
            t = max(min(t, taps - lanes), 0)
            while j >= 0:
                square = Matrix(target[to + t * line + j :], line)
                transpose_square(w[start + t :], offsets[j:], here - j, square)
                j -= lanes
            t, j = t + lanes, last


@jit
def _transform_filters(p, index, w, buffer, work, to):
    """36 panels of A for the panel `index` of outputs."""
    rows, width = tile_sizes(w)
    taps, panel = (PATCH + 1 - p.side) ** 2, index % p.panels
    row, step = p.channels * taps, taps
    if p.flipped:
        row, step = taps, p.outputs * taps
    at = index // p.panels * p.outputs * p.channels * taps + panel * rows * row
    offsets = np.arange(min(rows, p.outputs - panel * rows)) * row
    line, stride = CHANNELS * rows + SLACK, p.channels * rows + SLACK
    source, pitch = ((taps - 1) * line, -line) if p.flipped else (np.int64(0), line)
    for c in range(0, p.channels, CHANNELS):
        count = min(CHANNELS, p.channels - c)
        _transpose_filters(p, w, at + c * step, step, offsets, count, buffer)
        for i in range(0, count * rows, width // 2):
            taps_of = Matrix(buffer[source + i :], pitch)
            filters_to_vectors(p.side, taps_of, Matrix(work[to + c * rows + i :], stride))


@parallel
def _share_filters(first, last, w, filters, numbers):
    """A task: one panel of filters, transformed for all tasks of `_convolve`."""
    p, buffer = unpack(Plan, numbers), _taps_buffer(w)
    size = PRODUCTS * (p.channels * tile_sizes(w)[0] + SLACK)
    for index in range(first, last):
        _transform_filters(p, index, w, buffer, filters, index * size)


# -- tiles -------------------------------------------------------------------------------------


class Tiles(NamedTuple):
    """Up to two vectors of tiles."""

    runs: Any  # of tiles that are side by side: image, row, column, number of tiles
    vectors: int


@inlined
def _find_tiles(p, first, count, runs):
    """The tiles from `first` on."""
    width = len(runs)
    tall, wide = (p.out_height + p.side - 1) // p.side, (p.out_width + p.side - 1) // p.side
    found, done = 0, 0
    while done < count:
        at = first + done
        runs[found, 0] = at // (tall * wide)
        runs[found, 1] = at // wide % tall * p.side
        runs[found, 2] = at % wide * p.side
        runs[found, 3] = min(wide - at % wide, count - done)
        done += runs[found, 3]
        found += 1
    return Tiles(runs[:found], (count + width // 2 - 1) // (width // 2))


@jit
def _transform_input(p, g, tiles, x, work, lines, to):
    """The 36 panels of B for two vectors of tiles, of the channels of group g."""
    _, width = tile_sizes(x)
    lanes, pitch, stride = width // 2, p.side * width + SLACK, p.channels * width + SLACK
    runs = tiles.runs
    for c in range(p.channels):
        line = lines
        for r in range(len(runs)):
            y0, x0, count = runs[r, 1] - p.pad_h, runs[r, 2] - p.pad_w, p.side * runs[r, 3]
            at = ((runs[r, 0] * p.group + g) * p.channels + c) * p.height * p.width
            target = Matrix(work[line:], pitch)
            rows_to_lines(p.side, x[at:], p.height, p.width, y0, x0, target, count)
            line += count
        for v in range(tiles.vectors):
            source, target = lines + v * p.side * lanes, to + c * width + v * lanes
            patches = Matrix(work[source:], pitch)
            patches_to_vectors(p.side, patches, Matrix(work[target:], stride))


@jit
def _transform_outputs(p, tiles, o, factors, work, source, lines, y):
    """Output o of two vectors of tiles, from the 36 products of each, with the epilogue."""
    rows, width = tile_sizes(y)
    total, pixels = p.group * p.outputs, p.out_height * p.out_width
    lanes, pitch, stride = width // 2, p.side * width + SLACK, rows * width
    factor, summand = factors[o], factors[total + o]
    slope = factors[2 * total + 2] if factors[2 * total + 1] else y.dtype.type(1)
    limit = factors[2 * total + 3]
    for v in range(tiles.vectors):
        m, to = source + v * lanes, lines + v * p.side * lanes
        products, outputs = Matrix(work[m:], stride), Matrix(work[to:], pitch)
        vectors_to_outputs(p.side, products, outputs, factor, summand, slope, limit)
    line, runs = lines, tiles.runs
    for r in range(len(runs)):
        y0, x0, count = runs[r, 1], runs[r, 2], p.side * runs[r, 3]
        at = (runs[r, 0] * total + o) * pixels + y0 * p.out_width + x0
        tall, wide = min(p.side, p.out_height - y0), min(count, p.out_width - x0)
        lines_to_rows(Matrix(work[line:], pitch), Matrix(y[at:], p.out_width), tall, wide)
        line += count


@jit
def _multiply(height, vectors, depth, filters, work, b, c):
    """36 products of a panel of filters and one of tiles."""
    rows, width = tile_sizes(work)
    a_stride, b_stride, added = depth * rows + SLACK, depth * width + SLACK, np.bool_(False)
    for k in range(PRODUCTS):
        left, right = packed_panel(filters[k * a_stride :]), work[b + k * b_stride :]
        product = Matrix(work[c + k * rows * width :], width)
        tile(height, vectors, left, right, depth, product, added, depth * rows, incomplete(work))


# -- tasks -------------------------------------------------------------------------------------


class Task(NamedTuple):
    """What one task computes: some outputs of a group, for some tiles."""

    group: int
    tile: int
    tiles: int
    first_panel: int  # of the outputs
    last_panel: int


@inlined
def _task(p, number, width):
    """A task by its number."""
    part, group, block = (
        number % p.parts,
        number // p.parts % p.group,
        number // p.parts // p.group,
    )
    tall, wide = (p.out_height + p.side - 1) // p.side, (p.out_width + p.side - 1) // p.side
    first = block * p.pairs // p.blocks * width
    count = min((block + 1) * p.pairs // p.blocks * width, p.items * tall * wide) - first
    panels = part * p.panels // p.parts, (part + 1) * p.panels // p.parts
    return Task(group, first, count, *panels)


@inlined
def _transform_block(p, task, x, space, work):
    """The panels of B for all tiles of a block."""
    _, width = tile_sizes(x)
    size = PRODUCTS * (p.channels * width + SLACK)
    for j in range(0, task.tiles, width):
        tiles = _find_tiles(p, task.tile + j, min(width, task.tiles - j), space.runs)
        to = space.inputs + j // width * size
        _transform_input(p, task.group, tiles, x, work, space.lines, to)


@inlined
def _convolve_panel(p, task, panel, w, factors, space, work, filters, y):
    """All tiles of a block, for the outputs of one panel."""
    rows, width = tile_sizes(y)
    index, own = task.group * p.panels + panel, work[space.filters :]
    if p.shared:
        own = filters[index * PRODUCTS * (p.channels * rows + SLACK) :]
    else:
        _transform_filters(p, index, w, space.taps, own, np.int64(0))
    height, o = min(rows, p.outputs - panel * rows), task.group * p.outputs + panel * rows
    for j in range(0, task.tiles, width):
        tiles = _find_tiles(p, task.tile + j, min(width, task.tiles - j), space.runs)
        b = space.inputs + j // width * PRODUCTS * (p.channels * width + SLACK)
        _multiply(height, tiles.vectors, p.channels, own, work, b, space.products)
        for i in range(height):
            m = space.products + i * width
            _transform_outputs(p, tiles, o + i, factors, work, m, space.lines, y)


@parallel
def _convolve(first, last, x, w, factors, work, filters, y, numbers):
    """A worker's tasks: one block each.

    Neighbours go to one worker: two would write to the same cache lines.
    """
    p, (_, width) = unpack(Plan, numbers), tile_sizes(x)
    tasks = p.blocks * p.group * p.parts
    for worker in range(first, last):
        space, transformed = _workspace(p, worker, x), -1
        for number in range(worker * tasks // p.workers, (worker + 1) * tasks // p.workers):
            task = _task(p, number, width)
            if number // p.parts != transformed:
                _transform_block(p, task, x, space, work)
                transformed = number // p.parts
            for panel in range(task.first_panel, task.last_panel):
                _convolve_panel(p, task, panel, w, factors, space, work, filters, y)


def _run(x, w, factors, group, flipped, pad, work, y):
    LIBRARY.link(8 * x.itemsize)
    shapes = x.shape, w.shape, y.shape
    stays = weights_stay()
    plan, numbers = _plan(*shapes, group, flipped, pad, stays, x.itemsize, get_num_threads())
    work = work[-work.ctypes.data % VECTOR_BYTES // x.itemsize :]
    products = PRODUCTS * plan.channels * plan.outputs * group / 16
    x, w, y = x.reshape(-1), w.reshape(-1), y.reshape(-1)
    filters = np.empty(plan.filters + SLACK, x.dtype) if stays else work
    if plan.shared:
        prepare(_share_filters, group * plan.panels, products * 16, w, filters, numbers)
    tiles = plan.pairs * (2 * VECTOR_BYTES // x.itemsize)
    launch(_convolve, plan.workers, products * tiles, x, w, factors, work, filters, y, numbers)


def winograd_forward(x, w, b, group, window, work, y, epilogue=NO_EPILOGUE):
    """y = epilogue(the convolution of x with w, plus b).

    x: (N, C, H, W).  w: (O, C / group, k, k), k = 3 or 5.  b: (O,), or of size 0.  window: (k, k,
    1, 1, pad_h, pad_w, 1, 1).  work: `winograd_work_size` elements.  y: (N, O, H', W').
    """
    factors = completion(b, epilogue, y.shape[1], y.dtype)
    _run(x, w, factors, group, False, window[4:6], work, y)


def winograd_backward(dy, w, b, group, window, work, dx, epilogue=NO_EPILOGUE):
    """dx = epilogue(the gradient of `winograd_forward` by x, plus b); b: (C,), or of size 0.

    The convolution of dy with the flipped filters, from outputs to channels.
    """
    pad = window[0] - 1 - window[4], window[1] - 1 - window[5]
    factors = completion(b, epilogue, dx.shape[1], dx.dtype)
    _run(dy, w, factors, group, True, pad, work, dx)
