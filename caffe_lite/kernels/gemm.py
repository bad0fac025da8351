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

from functools import lru_cache
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
    copy_lines,
    copy_vector,
    cross,
    dot,
    slide,
    tile,
    tile_of_rows,
    turn_lines,
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
LINES_AT_ONCE = 32
"""Lines of B that are packed before those of the next panel."""
TALL = 1024
"""Rows of A that are packed at once."""
PACKING = 8
"""Numbers of C that take as long, for each k, as packing one number of A or B."""
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
    vectors = (width + lanes - 1) // lanes
    inside = _lines_inside(source, at, stride, vectors * lanes, depth)
    copy_lines(source, at, stride, target, to, panel, inside, vectors)
    for p in range(inside, depth):
        for j in range(width):
            target[to + p * panel + j] = source[at + p * stride + j]


@jit
def _lines_inside(source, at, stride, count, lines):
    """How many of some lines, `stride` apart, can be read for `count` numbers each."""
    while lines > 0 and at + (lines - 1) * stride + count > source.size:
        lines -= 1
    return lines


@jit
def pack_panels(source, at, stride, columns, depth, width, panel, target):
    """`pack_along` for all panels of a block, `panel` apart: some lines of the source at once."""
    lanes = VECTOR_BYTES // source.itemsize
    last = (columns - 1) // width * width
    most = last + (columns - last + lanes - 1) // lanes * lanes
    inside = _lines_inside(source, at, stride, most, depth)
    for p in range(0, inside, LINES_AT_ONCE):
        here = min(LINES_AT_ONCE, inside - p)
        for j in range(0, columns, width):
            start, to = at + p * stride + j, j // width * panel + p * width
            vectors = (min(width, columns - j) + lanes - 1) // lanes
            copy_lines(source, start, stride, target, to, width, here, vectors)
    if inside < depth:
        for j in range(0, columns, width):
            start, to = at + inside * stride + j, j // width * panel + inside * width
            here = min(width, columns - j)
            pack_along(source, start, stride, here, depth - inside, width, target, to)


@jit
def pack_across(source, at, offsets, width, depth, panel, target, to):
    """target[to + p panel + j] = source[at + offsets[j] + p] for p < depth and j < width.

    Squares of a vector's side are turned in registers, the last ones overlapping.  The rightmost
    band comes first, so that what it leaves beyond `panel` is written over.
    """
    lanes = VECTOR_BYTES // source.itemsize
    if depth < lanes:
        for j in range(width):
            for p in range(depth):
                target[to + p * panel + j] = source[at + offsets[j] + p]
        return
    for j in range((width - 1) // lanes * lanes, -1, -lanes):
        turn_lines(source, at, offsets, j, width, target, to + j, panel, depth)


# -- products ----------------------------------------------------------------------------------


@jit
def block_times_panel(
    rows, tall, columns, depth, a, a_at, a_stride, b, b_panel, c, c_at, stride, accumulate, spare
):
    """C (rows, columns) = or += one panel of A times packed panels of B, `b_panel` apart.

    The panel is packed, or else rows of A that lie `a_stride` > 0 apart.  C has room for `tall`
    rows: one more than it has is written if they are odd.  Tiles that hang over C's edge are
    computed in `spare`, ROWS x two vectors.
    """
    width = 2 * VECTOR_BYTES // a.itemsize
    lanes = width // 2
    for j in range(0, columns, width):
        here = min(width, columns - j)
        vectors = (here + lanes - 1) // lanes
        panel = j // width * b_panel
        if (rows + 1) // 2 * 2 <= tall and here == vectors * lanes:
            if a_stride > 0:
                tile_of_rows(
                    rows,
                    vectors,
                    a,
                    a_at,
                    a_stride,
                    b,
                    panel,
                    depth,
                    c,
                    c_at + j,
                    stride,
                    accumulate,
                )
            else:
                tile(rows, vectors, a, a_at, b, panel, depth, c, c_at + j, stride, accumulate)
            continue
        if accumulate:
            for i in range(rows):
                for t in range(here):
                    spare[i * width + t] = c[c_at + i * stride + j + t]
        if a_stride > 0:
            tile_of_rows(
                rows, vectors, a, a_at, a_stride, b, panel, depth, spare, 0, width, accumulate
            )
        else:
            tile(rows, vectors, a, a_at, b, panel, depth, spare, 0, width, accumulate)
        for i in range(rows):
            for t in range(here):
                c[c_at + i * stride + j + t] = spare[i * width + t]


@jit
def _pack(source, at, stride, across, count, depth, width, panel, target):
    """Panels of `width` of the `count` rows of A, or columns of B, `panel` apart.

    They lie as lines of `depth` numbers in `source` with `across`, else as `depth` lines.
    """
    if not across:
        pack_panels(source, at, stride, count, depth, width, panel, target)
        return
    offsets = np.arange(width) * stride
    for j in range(0, count, width):
        here, to = min(width, count - j), j // width * panel
        pack_across(source, at + j * stride, offsets, here, depth, width, target, to)


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
):
    """C (m, n) = or += op(A) op(B) on the calling thread.

    `a`, `b`, `c` are flat arrays in which the matrices start at `a_at`, `b_at`, `c_at`, their rows
    `a_stride`, `b_stride`, `stride` apart.  op(A) is A (m, k), or the transpose of A (k, m) with
    `turn_a`; the same for B (k, n) or (n, k).
    """
    if k == 0 and not accumulate:
        for i in range(m):
            c[c_at + i * stride : c_at + i * stride + n] = 0
    height, width = tile_sizes(a)
    deep = max(1, min(DEPTH, k))
    a_panel, b_panel = deep * height + width, deep * width + width // 2
    tall = min((m + height - 1) // height * height, TALL // height * height)
    wide = min((n + width - 1) // width, PANELS * DEPTH // deep) * width
    alone = not turn_a and n <= wide  # A's rows are read once, where they lie
    a_room = np.empty(1 if alone else tall // height * a_panel, a.dtype)
    b_room = np.empty(wide // width * b_panel, a.dtype)
    spare = np.empty(height * width, a.dtype)
    left, left_stride = (a, a_stride) if alone else (a_room, k - k)
    for i0 in range(0, m, tall):
        rows = min(tall, m - i0)
        for p in range(0, k, deep):
            depth = min(deep, k - p)
            start = a_at + (p * a_stride + i0 if turn_a else i0 * a_stride + p)
            if not alone:
                _pack(a, start, a_stride, not turn_a, rows, depth, height, a_panel, a_room)
            for j0 in range(0, n, wide):
                columns = min(wide, n - j0)
                start = b_at + (j0 * b_stride + p if turn_b else p * b_stride + j0)
                _pack(b, start, b_stride, turn_b, columns, depth, width, b_panel, b_room)
                for i in range(0, rows, height):
                    block_times_panel(
                        min(height, rows - i),
                        min(height, rows - i),
                        columns,
                        depth,
                        left,
                        a_at + (i0 + i) * a_stride + p if alone else i // height * a_panel,
                        left_stride,
                        b_room,
                        b_panel,
                        c,
                        c_at + (i0 + i) * stride + j0,
                        stride,
                        accumulate or p > 0,
                        spare,
                    )


def parts(m, n, height, width, threads):
    """Into how many parts to cut C's rows and its columns, of tiles height x width; one a thread.

    A thread packs what it needs of A and of B, which is why the parts should be no strips.
    """
    found = []
    down, across = -(-m // height), -(-n // width)
    for tall in range(1, min(threads, down) + 1):
        wide = min(threads // tall, across)
        rows, columns = -(-down // tall) * height, -(-across // wide) * width
        found.append((rows * columns + PACKING * (rows + columns), tall, wide))
    return min(found)[1:]


@jit
def _gemm_part(worker, workers, a, b, extra, c, numbers):
    """One worker's part of C."""
    m, n, k, a_stride, b_stride = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    turn_a, turn_b, accumulate = numbers[5] != 0, numbers[6] != 0, numbers[7] != 0
    tall, wide = numbers[8], numbers[9]
    height, width = tile_sizes(a)
    down, across = (m + height - 1) // height, (n + width - 1) // width
    i, j = worker // wide * down // tall * height, worker % wide * across // wide * width
    bottom = min(m, (worker // wide + 1) * down // tall * height)
    right = min(n, (worker % wide + 1) * across // wide * width)
    multiply(
        bottom - i,
        right - j,
        k,
        a,
        i if turn_a else i * a_stride,
        a_stride,
        turn_a,
        b,
        j * b_stride if turn_b else j,
        b_stride,
        turn_b,
        c,
        i * n + j,
        n,
        accumulate,
    )


def gemm(a, b, c, transpose_a=False, transpose_b=False, accumulate=False):
    """C = op(A) op(B), or C += op(A) op(B) with `accumulate`.

    a: (m, k), or (k, m) with `transpose_a`.  b: (k, n), or (n, k) with `transpose_b`.
    c: (m, n).  All C-contiguous, of one type, float32 or float64.  With k = 0 the product is 0.
    """
    if c.size == 0:
        return
    turned = transpose_a, transpose_b, accumulate
    workers, numbers = _plan(a.shape, b.shape, c.shape, turned, a.itemsize, get_num_threads())
    a, b, c = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    spread(_gemm_part, workers, a, b, a[:0], c, numbers)


@lru_cache(maxsize=1024)
def _plan(a, b, c, turned, itemsize, threads):
    """How many workers a product of such shapes takes, and what they need to know."""
    m, n = c
    k = a[0 if turned[0] else 1]
    threads = 1 if m * n * k <= SMALL else threads
    tall, wide = parts(m, n, ROWS, 2 * VECTOR_BYTES // itemsize, threads)
    return tall * wide, np.array([m, n, k, a[1], b[1], *turned, tall, wide], np.int64)


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
