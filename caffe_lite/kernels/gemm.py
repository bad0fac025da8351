"""The matrix core: C = op(A) op(B), on which convolution, inner product and recurrence stand.

The innermost work is one *tile* of C: `ROWS` rows of two vectors, kept in the processor's vector
registers while it runs along the depth k.  Loops cannot bring numba to write that, so `tile` emits
it as LLVM vector code.  It reads *packed panels*, in which numbers lie in the order of their use:

    panel of A: a[p, i] of shape (depth, ROWS)    panel of B: b[p, j] of shape (depth, 2 vectors)

`block_times_panel` runs one panel of A over a block of B that stays in the second-level cache, and
`multiply` cuts matrices into such blocks (Goto and van de Geijn 2008, "Anatomy of high-performance
matrix multiplication").

Each number of C is one chain of multiply-adds in the order of k, whatever the blocks and the
number of threads: the result is bit-equal for any of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._threads import get_num_threads, spread
from caffe_lite.kernels._vector import (
    BUNDLE,
    CROSS,
    CROSS_ROWS,
    ROWS,
    VECTOR_BYTES,
    copy_vector,
    cross,
    dot,
    slide,
    tile,
    turn_vectors,
)

__all__ = [
    "BUNDLE",
    "CROSS",
    "CROSS_ROWS",
    "DEPTH",
    "NO_EPILOGUE",
    "PANELS",
    "ROWS",
    "VECTOR_BYTES",
    "Epilogue",
    "block_times_panel",
    "complete",
    "completion",
    "copy_vector",
    "cross",
    "dot",
    "gemm",
    "gemm_serial",
    "get_num_threads",
    "pack_across",
    "pack_along",
    "pack_panels",
    "slide",
    "spread",
    "tile",
    "tile_sizes",
    "turn_vectors",
]

DEPTH = 256
"""Depth of a packed block."""
PANELS = 16
"""Panels of B in a packed block: 512 kB with 64-byte vectors."""
SMALL = 1 << 18
"""Multiply-adds below which a second thread costs more than it brings."""


class Epilogue(NamedTuple):
    """What becomes of each output o of a linear map: act(scale[o] y + shift[o]).

    scale, shift: (O,), or of size 0 for 1 and 0.  slope: None for no activation, else that of a
    ReLU below 0.
    """

    scale: Any
    shift: Any
    slope: float | None


NO_EPILOGUE = Epilogue(np.empty(0), np.empty(0), None)


# -- packing -----------------------------------------------------------------------------------


@jit
def tile_sizes(a):
    """Rows and columns of a tile of the type of array `a`: also the widths of A's and B's panels.

    Written so that the rows are no constant to numba, which would compile a callee for each.
    """
    lanes = VECTOR_BYTES // a.itemsize
    return ROWS * lanes // lanes, 2 * lanes


@jit
def pack_along(source, at, stride, width, depth, panel, target, to):
    """target[to + p panel + j] = source[at + p stride + j] for p < depth and j < width.

    Whole vectors are copied where `source` allows it.  What they leave beyond `width` is written
    over by the next p; `target` needs room for a vector after the last.
    """
    lanes = VECTOR_BYTES // source.itemsize
    whole = (width + lanes - 1) // lanes * lanes
    for p in range(depth):
        start, line = at + p * stride, to + p * panel
        if start + whole <= source.size:
            for j in range(0, whole, lanes):
                copy_vector(source, start + j, target, line + j)
        else:
            for j in range(width):
                target[line + j] = source[start + j]


@jit
def pack_panels(source, at, stride, columns, depth, width, panel, target):
    """`pack_along` for all panels of a block, `panel` apart: the source is read line by line."""
    one = min(depth, 1)  # no constant to numba, which would compile `pack_along` for it
    for p in range(depth):
        for j in range(0, columns, width):
            here, to = min(width, columns - j), j // width * panel + p * width
            pack_along(source, at + p * stride + j, stride, here, one, width, target, to)


@jit
def pack_across(source, at, offsets, width, depth, panel, target, to):
    """target[to + p panel + j] = source[at + offsets[j] + p] for p < depth and j < width.

    Squares of a vector's side are turned in registers, the last ones overlapping.  The rightmost
    of a line come first, so that what they leave beyond `panel` is written over.
    """
    lanes = VECTOR_BYTES // source.itemsize
    if depth < lanes:
        for j in range(width):
            for p in range(depth):
                target[to + p * panel + j] = source[at + offsets[j] + p]
        return
    for block in range(0, depth, lanes):
        p = min(block, depth - lanes)
        for j in range((width - 1) // lanes * lanes, -1, -lanes):
            turn_vectors(source, at + p, offsets, j, width, target, to + p * panel + j, panel)


# -- products ----------------------------------------------------------------------------------


@jit
def block_times_panel(
    rows, columns, depth, a, a_at, b, b_panel, c, c_at, stride, accumulate, spare
):
    """C (rows, columns) = or += one packed panel of A times packed panels of B, `b_panel` apart.

    Tiles that hang over C's edge are computed in `spare`, ROWS x two vectors.
    """
    width = 2 * VECTOR_BYTES // a.itemsize
    lanes = width // 2
    for j in range(0, columns, width):
        here = min(width, columns - j)
        vectors = (here + lanes - 1) // lanes
        panel = j // width * b_panel
        if rows == (rows + 1) // 2 * 2 and here == vectors * lanes:
            tile(rows, vectors, a, a_at, b, panel, depth, c, c_at + j, stride, accumulate)
            continue
        if accumulate:
            for i in range(rows):
                for t in range(here):
                    spare[i * width + t] = c[c_at + i * stride + j + t]
        tile(rows, vectors, a, a_at, b, panel, depth, spare, 0, width, accumulate)
        for i in range(rows):
            for t in range(here):
                c[c_at + i * stride + j + t] = spare[i * width + t]


@jit
def make_room(columns, k, a):
    """A thread's workspace for `multiply`: a block of B and a panel of A."""
    height, width = tile_sizes(a)
    panels = min(PANELS, (columns + width - 1) // width)
    return np.empty((panels * width + height) * min(DEPTH, k) + (panels + 2) * width, a.dtype)


@jit
def multiply(
    m,
    n,
    k,
    a,
    a_at,
    a_stride,
    turn_a,
    b,
    b_at,
    b_stride,
    turn_b,
    c,
    c_at,
    stride,
    accumulate,
    room,
):
    """C (m, n) = or += op(A) op(B) on the calling thread.

    `a`, `b`, `c` are flat arrays in which the matrices start at `a_at`, `b_at`, `c_at`, their rows
    `a_stride`, `b_stride`, `stride` apart.  op(A) is A (m, k), or the transpose of A (k, m) with
    `turn_a`; the same for B (k, n) or (n, k).  `room` is of `make_room(n, k, a)`.
    """
    height, width = tile_sizes(a)
    most = PANELS * width
    depth_most = min(DEPTH, k)
    a_room = (min(n, most) + width - 1) // width * (width * depth_most + width // 2)
    spare = np.empty(height * width, a.dtype)
    if k == 0 and not accumulate:
        for i in range(m):
            c[c_at + i * stride : c_at + i * stride + n] = 0
    a_rows = np.arange(height) * a_stride
    b_rows = np.arange(width) * b_stride
    for j0 in range(0, n, most):
        columns = min(most, n - j0)
        for p0 in range(0, k, DEPTH):
            depth = min(DEPTH, k - p0)
            panel = depth * width + width // 2  # no two panels begin at one place of the cache
            if turn_b:
                for j in range(0, columns, width):
                    start = b_at + (j0 + j) * b_stride + p0
                    here, to = min(width, columns - j), j // width * panel
                    pack_across(b, start, b_rows, here, depth, width, room, to)
            else:
                start = b_at + p0 * b_stride + j0
                pack_panels(b, start, b_stride, columns, depth, width, panel, room)
            for i in range(0, m, height):
                rows = min(height, m - i)
                if turn_a:
                    start = a_at + p0 * a_stride + i
                    pack_along(a, start, a_stride, rows, depth, height, room, a_room)
                else:
                    start = a_at + i * a_stride + p0
                    pack_across(a, start, a_rows, rows, depth, height, room, a_room)
                block_times_panel(
                    rows,
                    columns,
                    depth,
                    room,
                    a_room,
                    room,
                    panel,
                    c,
                    c_at + i * stride + j0,
                    stride,
                    accumulate or p0 > 0,
                    spare,
                )


@jit
def gemm_serial(a, b, c, transpose_a, transpose_b, accumulate):
    """`gemm` on the calling thread, for kernels that are parallel themselves."""
    m, n = c.shape
    k = a.shape[0] if transpose_a else a.shape[1]
    start = m - m
    multiply(
        m,
        n,
        k,
        a.reshape(-1),
        start,
        a.shape[1],
        transpose_a,
        b.reshape(-1),
        start,
        b.shape[1],
        transpose_b,
        c.reshape(-1),
        start,
        n,
        accumulate,
        make_room(n, k, a),
    )


def blocks(m, n, width, threads):
    """The rows and columns of C that are one task: enough tasks for all threads, none narrow."""
    wanted = 4 * threads
    columns = ((n + wanted - 1) // wanted + width - 1) // width * width
    columns = max(4 * width, min(PANELS * width, columns))
    parts = (wanted + (n + columns - 1) // columns - 1) // ((n + columns - 1) // columns)
    parts = max(1, min(parts, m // (4 * ROWS)))
    rows = ((m + parts - 1) // parts + ROWS - 1) // ROWS * ROWS
    return rows, columns


@jit
def _gemm_tasks(worker, workers, a, b, extra, c, numbers):
    """A task: one block of C."""
    m, n, k, a_stride, b_stride = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    transpose_a, transpose_b = numbers[5] != 0, numbers[6] != 0
    accumulate, rows, columns, across = numbers[7] != 0, numbers[8], numbers[9], numbers[10]
    room = make_room(columns, k, a)
    for task in range(worker, numbers[11], workers):
        i, j = task // across * rows, task % across * columns
        multiply(
            min(rows, m - i),
            min(columns, n - j),
            k,
            a,
            i if transpose_a else i * a_stride,
            a_stride,
            transpose_a,
            b,
            j * b_stride if transpose_b else j,
            b_stride,
            transpose_b,
            c,
            i * n + j,
            n,
            accumulate,
            room,
        )


def gemm(a, b, c, transpose_a=False, transpose_b=False, accumulate=False):
    """C = op(A) op(B), or C += op(A) op(B) with `accumulate`.

    a: (m, k), or (k, m) with `transpose_a`.  b: (k, n), or (n, k) with `transpose_b`.
    c: (m, n).  All C-contiguous, of one type, float32 or float64.  With k = 0 the product is 0.
    """
    (m, n), k = c.shape, a.shape[0 if transpose_a else 1]
    if c.size == 0:
        return
    threads = 1 if b.size * m <= SMALL else get_num_threads()
    rows, columns = blocks(m, n, int(tile_sizes(a)[1]), threads)
    across = -(-n // columns)
    tasks = across * -(-m // rows)
    settings = transpose_a, transpose_b, accumulate, rows, columns, across, tasks
    numbers = np.array([m, n, k, a.shape[1], b.shape[1], *settings], np.int64)
    flat = [array.reshape(-1) for array in (a, b, c)]
    spread(_gemm_tasks, min(threads, tasks), flat[0], flat[1], flat[0][:0], flat[2], numbers)


# -- what follows a product --------------------------------------------------------------------


def completion(b, epilogue, outputs, dtype):
    """What `complete` needs of a bias and an epilogue, in one array.

    y becomes factor[o] y + summand[o], then goes through the ReLU: outputs factors, as many
    summands, 1 if they change anything, 1 if there is a ReLU, its slope.
    """
    scale, shift, slope = epilogue
    extra = np.empty(2 * outputs + 3, dtype)
    extra[:outputs] = scale if scale.size else 1
    extra[outputs:-3] = b if b.size else 0
    if scale.size:
        extra[outputs:-3] *= scale
    if shift.size:
        extra[outputs:-3] += shift
    extra[-3:] = b.size + scale.size + shift.size > 0, slope is not None, slope or 0
    return extra


@jit
def complete(y, at, stride, rows, columns, o, outputs, extra):
    """Apply `completion` to rows of y, `stride` apart from `at` on: outputs o, o + 1, ..."""
    affine, active, slope = extra[2 * outputs], extra[2 * outputs + 1], extra[2 * outputs + 2]
    zero = y.dtype.type(0)
    for i in range(rows):
        line = y[at + i * stride : at + i * stride + columns]
        if affine:
            factor, summand = extra[o + i], extra[outputs + o + i]
            for t in range(columns):
                line[t] = line[t] * factor + summand
        if active:
            for t in range(columns):
                line[t] = max(line[t], zero) + slope * min(line[t], zero)
