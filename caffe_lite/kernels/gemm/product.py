"""C = op(A) op(B) in blocks that stay in cache, around the micro-kernel.

The loops are those of Goto and van de Geijn 2008, "Anatomy of high-performance matrix
multiplication", with the names of BLIS: a micro-kernel computes MR x NR elements of C; a panel of
A, MR x KC, runs over a block of B, KC x NC, which stays in the second-level cache; MC rows of A
are packed at once.

Each element of C is one chain of multiply-adds in the order of k, whatever the blocks and the
number of threads: the result is bit-equal for any of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.epilogue import incomplete
from caffe_lite.kernels.gemm.micro_kernels import MR, packed_panel, tile
from caffe_lite.kernels.gemm.packing import pack_across, pack_panels, tile_sizes
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import get_num_threads, launch, parallel, pieces_of
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix

__all__ = ["KC", "PANELS", "Block", "block_times_panel", "gemm"]

KC = 256
"""Depth of a packed block."""
PANELS = 16
"""Panels of B in a packed block, NC / NR: 512 kB with 64-byte vectors."""
MC = 1024
"""Rows of A that are packed at once, at most."""
PACKING = 8
"""Elements of C that take as long, for each k, as packing one element of A or B."""


class Block(NamedTuple):
    """Some rows and columns of C, in flat memory: `data` begins with the first element.

    tall: how many rows may be written, one more than there are if these are odd.
    """

    data: Any
    stride: int
    rows: int
    columns: int
    tall: int


class Operand(NamedTuple):
    """A matrix in flat memory; op of it is its transpose if it is `transposed`."""

    data: Any
    stride: int
    transposed: bool


@jit
def block_times_panel(a, panels, depth, c, accumulate, spare, ending):
    """C (rows, columns) = or += A (rows, depth) times packed panels of B, then its ending.

    a: as of `tile`.  panels: a matrix that has a packed panel in each row.  c: a block.  Tiles
    that reach over its edge are computed in `spare`, MR x NR.
    """
    nr = np.int64(2 * VECTOR_BYTES // spare.itemsize)
    lanes = nr // 2
    fits = (c.rows + 1) // 2 * 2 <= c.tall
    for j in range(0, c.columns, nr):
        here = min(nr, c.columns - j)
        vectors = (here + lanes - 1) // lanes
        b = panels.data[j // nr * panels.stride :]
        if fits and here == vectors * lanes:
            target = Matrix(c.data[j:], c.stride)
            tile(c.rows, vectors, a, b, depth, target, accumulate, depth * MR, ending)
            continue
        if accumulate:
            for i in range(c.rows):
                for t in range(here):
                    spare[i * nr + t] = c.data[i * c.stride + j + t]
        tile(c.rows, vectors, a, b, depth, Matrix(spare, nr), accumulate, depth * MR, ending)
        for i in range(c.rows):
            for t in range(here):
                c.data[i * c.stride + j + t] = spare[i * nr + t]


@jit
def _pack(source, across, count, depth, width, panels):
    """Pack `count` rows of A or columns of B to panels of `width`, a panel in each row.

    source: has a row of `depth` elements for each of them if `across`, else `depth` rows.
    """
    if not across:
        pack_panels(Matrix(source.data, source.stride), count, depth, width, panels)
        return
    offsets = np.arange(width) * source.stride
    for j in range(0, count, width):
        to = Matrix(panels.data[j // width * panels.stride :], width)
        start = source.data[j * source.stride :]
        pack_across(start, offsets, min(width, count - j), depth, to)


@jit
def _part(operand, row, column):
    """The operand whose op begins with element (row, column) of op(operand)."""
    data, stride, transposed = operand
    start = column * stride + row if transposed else row * stride + column
    return Operand(data[start:], stride, transposed)


@jit
def multiply(m, n, k, a, b, c, accumulate):
    """C (m, n) = or += op(A) op(B), on the calling thread.

    a, b: operands; op(A) is (m, k), op(B) is (k, n).  c: a matrix.
    """
    if k == 0 and not accumulate:
        for i in range(m):
            c.data[i * c.stride : i * c.stride + n] = 0
    mr, nr = tile_sizes(c.data)
    kc = max(1, min(KC, k))
    mc = min((m + mr - 1) // mr * mr, MC // mr * mr)
    nc = min((n + nr - 1) // nr, PANELS * KC // kc) * nr
    direct = not a.transposed and n <= nc  # A's rows are read once, without being packed
    a_panel, b_panel = kc * mr + nr, kc * nr + nr // 2
    a_panels = Matrix(np.empty(1 if direct else mc // mr * a_panel, c.data.dtype), a_panel)
    b_panels = Matrix(np.empty(nc // nr * b_panel, c.data.dtype), b_panel)
    spare, ending = np.empty(mr * nr, c.data.dtype), incomplete(c.data)
    for i0 in range(0, m, mc):
        rows = min(mc, m - i0)
        for p in range(0, k, kc):
            depth = min(kc, k - p)
            left = _part(a, i0, p)
            if not direct:
                _pack(left, not a.transposed, rows, depth, mr, a_panels)
            for j0 in range(0, n, nc):
                columns = min(nc, n - j0)
                _pack(_part(b, p, j0), b.transposed, columns, depth, nr, b_panels)
                for i in range(0, rows, mr):
                    if direct:
                        panel = Matrix(left.data[i * left.stride :], left.stride)
                    else:
                        panel = packed_panel(a_panels.data[i // mr * a_panel :])
                    here = min(mr, rows - i)
                    data = c.data[(i0 + i) * c.stride + j0 :]
                    block = Block(data, c.stride, here, columns, here)
                    added = accumulate or p > 0
                    block_times_panel(panel, b_panels, depth, block, added, spare, ending)


class _Plan(NamedTuple):
    """A product C (m, n) = op(A) op(B) of depth k, cut into tall x wide parts."""

    m: int
    n: int
    k: int
    a_stride: int
    b_stride: int
    transpose_a: int
    transpose_b: int
    accumulate: int
    tall: int
    wide: int


@parallel
def _parts_of_c(first, last, a, b, c, plan_numbers):
    """Parts first, ..., last - 1 of C."""
    p = unpack(_Plan, plan_numbers)
    a = Operand(a, p.a_stride, p.transpose_a != 0)
    b = Operand(b, p.b_stride, p.transpose_b != 0)
    mr, nr = tile_sizes(c)
    down, across = (p.m + mr - 1) // mr, (p.n + nr - 1) // nr
    for part in range(first, last):
        i, j = part // p.wide * down // p.tall * mr, part % p.wide * across // p.wide * nr
        rows = min(p.m, (part // p.wide + 1) * down // p.tall * mr) - i
        columns = min(p.n, (part % p.wide + 1) * across // p.wide * nr) - j
        left, right = _part(a, i, np.int64(0)), _part(b, np.int64(0), j)
        target = Matrix(c[i * p.n + j :], p.n)
        multiply(rows, columns, p.k, left, right, target, p.accumulate != 0)


def gemm(a, b, c, transpose_a=False, transpose_b=False, accumulate=False):
    """C = op(A) op(B), or C += op(A) op(B) with `accumulate`.

    a: (m, k), or (k, m) with `transpose_a`.  b: (k, n), or (n, k) with `transpose_b`.
    c: (m, n).  All C-contiguous, of one type, float32 or float64.  With k = 0 the product is 0.
    """
    if c.size == 0:
        return
    work = c.size * a.shape[0 if transpose_a else 1] / 16
    threads = pieces_of(get_num_threads(), work)
    flags = transpose_a, transpose_b, accumulate
    parts, numbers = _plan(a.shape, b.shape, c.shape, flags, a.itemsize, threads)
    launch(_parts_of_c, parts, work, a.reshape(-1), b.reshape(-1), c.reshape(-1), numbers)


@lru_cache(maxsize=1024)
def _plan(a, b, c, flags, itemsize, threads):
    """Into how many parts a product of such shapes is cut, and its packed plan."""
    tall, wide = parts_of(*c, MR, 2 * VECTOR_BYTES // itemsize, threads)
    k = a[0 if flags[0] else 1]
    return tall * wide, pack(_Plan(*c, k, a[1], b[1], *flags, tall, wide))


def parts_of(m, n, mr, nr, threads):
    """Into how many parts to cut the rows and the columns of C, whole tiles; one for a thread.

    A thread packs what it needs of A and of B, which is why the parts should be no strips.
    """
    found = []
    down, across = -(-m // mr), -(-n // nr)
    for tall in range(1, min(threads, down) + 1):
        wide = min(threads // tall, across)
        rows, columns = -(-down // tall) * mr, -(-across // wide) * nr
        found.append((rows * columns + PACKING * (rows + columns), tall, wide))
    return min(found)[1:]
