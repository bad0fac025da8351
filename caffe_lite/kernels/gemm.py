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

import numpy as np
from numba import get_num_threads

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels._vector import ROWS, VECTOR_BYTES, copy_vector, tile, turn_vectors

DEPTH = 256
"""Depth of a packed block."""
PANELS = 16
"""Panels of B in a packed block: 512 kB with 64-byte vectors."""
SMALL = 1 << 18
"""Multiply-adds below which a second thread costs more than it brings."""


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
    return np.empty((panels * width + height) * min(DEPTH, k) + width, a.dtype)


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
    a_room = (min(n, most) + width - 1) // width * width * depth_most + width // 2
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
            for j in range(0, columns, width):
                here, to = min(width, columns - j), j * depth
                if turn_b:
                    start = b_at + (j0 + j) * b_stride + p0
                    pack_across(b, start, b_rows, here, depth, width, room, to)
                else:
                    start = b_at + p0 * b_stride + j0 + j
                    pack_along(b, start, b_stride, here, depth, width, room, to)
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
                    width * depth,
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


@jit
def blocks(m, n, width, threads):
    """The rows and columns of C that are one task: enough tasks for all threads, none narrow."""
    wanted = 4 * threads
    columns = ((n + wanted - 1) // wanted + width - 1) // width * width
    columns = max(4 * width, min(PANELS * width, columns))
    parts = (wanted + (n + columns - 1) // columns - 1) // ((n + columns - 1) // columns)
    parts = max(1, min(parts, m // (4 * ROWS)))
    rows = ((m + parts - 1) // parts + ROWS - 1) // ROWS * ROWS
    return rows, columns


@pjit
def _gemm_parallel(a, b, c, transpose_a, transpose_b, accumulate, threads):
    m, n = c.shape
    k = a.shape[0] if transpose_a else a.shape[1]
    a_stride, b_stride = a.shape[1], b.shape[1]
    a_flat, b_flat, c_flat = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    rows, columns = blocks(m, n, tile_sizes(a)[1], threads)
    across = (n + columns - 1) // columns
    tasks = across * ((m + rows - 1) // rows)
    workers = min(threads, tasks)
    for worker in prange(workers):
        room = make_room(columns, k, a)
        for task in range(worker, tasks, workers):
            i, j = task // across * rows, task % across * columns
            multiply(
                min(rows, m - i),
                min(columns, n - j),
                k,
                a_flat,
                i if transpose_a else i * a_stride,
                a_stride,
                transpose_a,
                b_flat,
                j * b_stride if transpose_b else j,
                b_stride,
                transpose_b,
                c_flat,
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
    settings = bool(transpose_a), bool(transpose_b), bool(accumulate)
    if b.size * c.shape[0] <= SMALL:
        gemm_serial(a, b, c, *settings)
    else:
        _gemm_parallel(a, b, c, *settings, get_num_threads())
