"""Kernels of the arithmetic layers: sums, products and maxima of arrays, reductions, axpy."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.epilogue import complete, completion
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import elementwise, launch, parallel

BLOCK = 4096  # elements of a row that are added up apart from the others

LANES = 64  # sums of a row that go on side by side, if it is LONG
LONG = 256

SUM = 1
ASUM = 2
SUMSQ = 3


@elementwise
def weighted_sum(a, alpha, b, beta, y):
    """y = alpha a + beta b.  a, b, y: of one shape; y may be a or b."""
    s, t = a.dtype.type(alpha), a.dtype.type(beta)
    for i in range(y.size):
        y[i] = s * a[i] + t * b[i]


def sum_with_epilogue(a, alpha, b, beta, epilogue, y):
    """y = alpha a + beta b, then the epilogue.  a, b, y: (N, C, positions)."""
    channels = y.shape[1]
    extra, factors = completion(np.empty(0), epilogue, channels, y.dtype), (alpha, beta)
    rows = (array.reshape(-1, y.shape[2]) for array in (a, b, y))
    launch(_sum_rows, len(y) * channels, y.size, *rows, factors, (channels, extra))


@parallel
def _sum_rows(first, last, a, b, y, factors, epilogue):
    channels, extra = epilogue
    flat, columns = y.reshape(-1), y.shape[1]
    s, t = y.dtype.type(factors[0]), y.dtype.type(factors[1])
    for n in range(first, last):
        one, other, total = a[n], b[n], y[n]
        for i in range(columns):
            total[i] = s * one[i] + t * other[i]
        complete(flat, n * columns, columns, 1, columns, n % channels, channels, extra)


@elementwise
def _scale(dy, factor, dx):
    """dx = factor dy."""
    s = dy.dtype.type(factor)
    for i in range(dy.size):
        dx[i] = s * dy[i]


@elementwise
def _scale_twice(dy, factor, dx, other_factor, other):
    """dx = factor dy and other = other_factor dy, in one pass over memory."""
    s, t = dy.dtype.type(factor), dy.dtype.type(other_factor)
    for i in range(dy.size):
        dx[i] = s * dy[i]
        other[i] = t * dy[i]


def weighted_sum_backward(dy, factors, dxs):
    """dxs[k] = factors[k] dy, two of them in one pass over memory.  dy, dxs: of one shape."""
    for k in range(0, len(dxs) - 1, 2):
        _scale_twice(dy, factors[k], dxs[k], factors[k + 1], dxs[k + 1])
    if len(dxs) % 2:
        _scale(dy, factors[-1], dxs[-1])


@elementwise
def product(a, b, y):
    """y = a b.  a, b, y: of one shape; y may be a or b."""
    for i in range(a.size):
        y[i] = a[i] * b[i]


def broadcast_product(a, b, y):
    """y = a b, where axes of size 1 are repeated.  a, b: shapes that NumPy broadcasts to y's."""
    np.multiply(a, b, out=y)


def broadcast_product_backward(other, dy, dx):
    """dx = other dy, summed over the axes along which x was repeated.  Shapes as above."""
    product, missing = other * dy, dy.ndim - dx.ndim
    repeated = [i + missing for i, size in enumerate(dx.shape) if size == 1]
    axes = (*range(missing), *repeated)
    dx[...] = np.sum(product, axis=axes, dtype=np.float64).reshape(dx.shape) if axes else product


@elementwise
def take_larger(x, source, y, mask):
    """Where x > y: y = x and mask = source, so an equal element does not replace y.

    x, y, mask: of one shape; mask: integers.
    """
    for i in range(x.size):
        if x[i] > y[i]:
            y[i] = x[i]
            mask[i] = source


@elementwise
def take_masked(dy, mask, source, dx):
    """dx = dy where mask = source, else 0.  dy, mask, dx: of one shape."""
    zero = dy.dtype.type(0)
    for i in range(dy.size):
        dx[i] = dy[i] if mask[i] == source else zero


@elementwise
def product_backward_by_division(x, y, dy, dx):
    """dx = dy y / x, not a number where x is 0.  x, y, dy, dx: of one shape."""
    for i in range(dx.size):
        dx[i] = y[i] / x[i] * dy[i]


@jit
def _sum(x, operation):
    """The sum of `reduction_forward` of one row; numbers LANES apart are added up first."""
    total = 0.0
    whole = x.size // LANES * LANES if x.size >= LONG else 0
    if whole > 0:
        sums = np.zeros(LANES)
        for start in range(0, whole, LANES):
            part = x[start : start + LANES]
            if operation == SUM:
                for lane in range(LANES):
                    sums[lane] += part[lane]
            elif operation == ASUM:
                for lane in range(LANES):
                    sums[lane] += abs(part[lane])
            else:
                for lane in range(LANES):
                    sums[lane] += part[lane] * part[lane]
        for lane in range(LANES):
            total += sums[lane]
    rest = x[whole:]
    if operation == SUM:
        for i in range(rest.size):
            total += rest[i]
    elif operation == ASUM:
        for i in range(rest.size):
            total += abs(rest[i])
    else:
        for i in range(rest.size):
            total += rest[i] * rest[i]
    return total


def reduction_forward(x, operation, factor, y):
    """y[n] = factor times the sum of x[n, i], of |x[n, i]| (ASUM) or of x[n, i]^2 (SUMSQ).

    Summed in float64, so that a long row of float32 keeps its small terms.
    x: (rows, columns); y: (rows,).
    """
    rows, columns = x.shape
    sums = np.empty((rows, max(1, -(-columns // BLOCK))))
    launch(_block_sums, sums.size, x.size, x, operation, sums)
    _sums_of_rows(sums, factor, y)


@parallel
def _block_sums(first, last, x, operation, sums):
    """sums[n, k] = `_sum` of block k of row n.  x: (rows, columns); sums: (rows, blocks)."""
    blocks = sums.shape[1]
    for task in range(first, last):
        n, start = task // blocks, task % blocks * BLOCK
        sums[n, task % blocks] = _sum(x[n, start : min(x.shape[1], start + BLOCK)], operation)


@jit
def _sums_of_rows(sums, factor, y):
    """y[n] = factor times the sum of the blocks' sums.  sums: (rows, blocks); y: (rows,)."""
    for n in range(len(sums)):
        y[n] = factor * (sums[n, 0] if sums.shape[1] == 1 else _sum(sums[n], SUM))


def reduction_backward(x, operation, factor, dy, dx):
    """dx[n, i] = factor dy[n] times 1, sign(x[n, i]) (ASUM) or 2 x[n, i] (SUMSQ).

    x, dx: (rows, columns); dy: (rows,).
    """
    launch(_reduction_backward, len(x), x.size, x, operation, factor, dy, dx)


@parallel
def _reduction_backward(first, last, x, operation, factor, dy, dx):
    s = x.dtype.type(factor)
    for n in range(first, last):
        g, row, out = s * dy[n], x[n], dx[n]
        if operation == SUM:
            out[:] = g
        elif operation == ASUM:
            for i in range(row.size):
                out[i] = g * np.sign(row[i])
        else:
            for i in range(row.size):
                out[i] = (g + g) * row[i]


def axpy_forward(a, x, y, epilogue, out):
    """out[n, c, i] = a[n, c] x[n, c, i] + y[n, c, i], then the epilogue of channel c.

    a: (N, C); x, y, out: (N C, positions).
    """
    channels = a.shape[1]
    extra = completion(np.empty(0), epilogue, channels, x.dtype)
    launch(_axpy_rows, len(x), x.size, a.reshape(-1), x, y, (channels, extra), out)


@parallel
def _axpy_rows(first, last, a, x, y, epilogue, out):
    channels, extra = epilogue
    flat, columns = out.reshape(-1), out.shape[1]
    for n in range(first, last):
        factor, row, summand, total = a[n], x[n], y[n], out[n]
        for i in range(row.size):
            total[i] = factor * row[i] + summand[i]
        complete(flat, n * columns, columns, 1, columns, n % channels, channels, extra)


@jit
def _dot(a, b):
    """The sum of a b; numbers LANES apart are added up first."""
    total = a.dtype.type(0)
    whole = a.size // LANES * LANES if a.size >= LONG else 0
    if whole > 0:
        sums = np.zeros(LANES, a.dtype)
        for start in range(0, whole, LANES):
            one, other = a[start : start + LANES], b[start : start + LANES]
            for lane in range(LANES):
                sums[lane] += one[lane] * other[lane]
        for lane in range(LANES):
            total += sums[lane]
    for i in range(whole, a.size):
        total += a[i] * b[i]
    return total


def axpy_backward_scale(x, dy, da):
    """da[n] = sum_i x[n, i] dy[n, i].  x, dy: (rows, columns); da: (rows,)."""
    launch(_dot_rows, len(x), x.size, x, dy, da)


@parallel
def _dot_rows(first, last, x, dy, da):
    for n in range(first, last):
        da[n] = _dot(x[n], dy[n])


def axpy_backward(a, dy, dx):
    """dx[n, i] = a[n] dy[n, i].  a: (rows,); dy, dx: (rows, columns)."""
    launch(_scale_rows, len(dy), dy.size, a, dy, dx)


@parallel
def _scale_rows(first, last, a, dy, dx):
    for n in range(first, last):
        factor, row, out = a[n], dy[n], dx[n]
        for i in range(row.size):
            out[i] = factor * row[i]
