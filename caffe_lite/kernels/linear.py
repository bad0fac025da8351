"""Inner product, embedding, scale and bias.

With few items an inner product does few operations for each number it reads, so its weights are
streamed once, at the speed of memory, as they lie; larger batches are matrix products, those of
up to some hundred items without packing the weights either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels.gemm import (
    BUNDLE,
    CROSS,
    CROSS_ROWS,
    NO_EPILOGUE,
    VECTOR_BYTES,
    Epilogue,
    completion,
    cross,
    dot,
    gemm,
    get_num_threads,
    slide,
    spread,
)

COLUMNS = 1024
"""Columns that one thread streams of a matrix at a time."""
ROWS_AT_ONCE = 64
"""Rows of them that it reads before it turns to the next columns."""
MANY = 128
"""Items above which it pays to pack the weights."""
SMALL = 1 << 15
"""Numbers below which a second thread costs more than it brings."""


def inner_product_forward(
    x: Any, w: Any, b: Any, transpose: bool, y: Any, epilogue: Epilogue = NO_EPILOGUE
) -> None:
    """Y = X W^T + b, or X W + b with `transpose`; then the epilogue is applied to it.

    x: (N, K).  w: (O, K), or (K, O) with `transpose`.  b: (O,), or of size 0 for none.  y: (N, O).
    """
    extra = completion(b, epilogue, y.shape[1], y.dtype)
    _product(x, w, not transpose, y)
    if extra[-3] or extra[-2]:
        threads = get_num_threads() if y.size > SMALL else 1
        flat = y.reshape(-1)
        spread(_complete_items, min(threads, len(y)), flat, flat, extra, flat, np.array(y.shape))


def inner_product_backward(dy: Any, w: Any, transpose: bool, dx: Any) -> None:
    """dX = dY W, or dY W^T with `transpose`.  Shapes as in `inner_product_forward`."""
    _product(dy, w, transpose, dx)


def inner_product_backward_params(x: Any, dy: Any, transpose: bool, dw: Any, db: Any) -> None:
    """dW += dY^T X, or X^T dY with `transpose`; db += the sum of dY's rows, if db has numbers."""
    left, right = (x, dy) if transpose else (dy, x)
    gemm(left, right, dw, transpose_a=True, accumulate=True)
    if db.size:
        db += dy.sum(axis=0)


def _product(x: Any, w: Any, across: bool, y: Any) -> None:
    """Y = X W^T if `across`, else X W."""
    items = x.shape[0]
    if across and CROSS_ROWS < items <= min(MANY, w.shape[0]):
        turned = np.empty(y.shape[::-1], y.dtype)  # so that the rows of W are read where they lie
        gemm(w, x, turned, transpose_b=True)
        y[...] = turned.T
        return
    if w.size == 0 or items == 0 or items > (CROSS_ROWS if across else 1):
        gemm(x, w, y, transpose_b=across)
        return
    threads = get_num_threads() if w.size > SMALL else 1
    if items > 1:
        work, parts = _cross_rows, -(-w.shape[0] // CROSS)
    else:
        work, parts = (_dot_rows, w.shape[0]) if across else (_add_rows, w.shape[1])
    flat = w.reshape(-1), x.reshape(-1), y.reshape(-1)
    numbers = np.array([*w.shape, items], np.int64)
    spread(work, min(threads, parts), flat[0], flat[1], flat[1][:0], flat[2], numbers)


@jit
def _dot_rows(worker, workers, w, x, extra, y, numbers):
    """y[o] = the sum over k of w[o, k] x[k]."""
    rows, k = numbers[0], numbers[1]
    start = worker - worker  # no constant to numba, which would compile a callee for it
    for o in range(worker * rows // workers, (worker + 1) * rows // workers):
        dot(w, o * k, x, start, k, y, o)


@jit
def _cross_rows(worker, workers, w, x, extra, y, numbers):
    """y[n, o] = the sum over k of x[n, k] w[o, k], for all n and four o at a time."""
    rows, k, items = numbers[0], numbers[1], numbers[2]
    lanes = VECTOR_BYTES // w.itemsize
    most = k // lanes * lanes
    sums = np.empty(CROSS * CROSS_ROWS * lanes, w.dtype)
    totals = np.empty(CROSS * CROSS_ROWS, w.dtype)
    start = worker - worker  # no constant to numba, which would compile a callee for it
    groups = (rows + CROSS - 1) // CROSS
    for group in range(worker * groups // workers, (worker + 1) * groups // workers):
        o = group * CROSS
        if o + CROSS > rows:
            for n in range(items):
                for left in range(o, rows):
                    dot(w, left * k, x, n * k, k, y, n * rows + left)
            continue
        cross(items, x, start, k, w, o * k, k, most, sums)
        totals[:] = 0
        for lane in range(lanes):
            for q in range(items * CROSS):
                totals[q] += sums[q * lanes + lane]
        for q in range(items * CROSS):
            i, r = q // CROSS, o + q % CROSS
            for j in range(most, k):
                totals[q] += x[i * k + j] * w[r * k + j]
            y[i * rows + r] = totals[q]


@jit
def _add_rows(worker, workers, w, x, extra, y, numbers):
    """y[o] = the sum over k of x[k] w[k, o], some hundred columns at a time."""
    rows, columns = numbers[0], numbers[1]
    whole = BUNDLE * (VECTOR_BYTES // w.itemsize)
    offsets = np.arange(ROWS_AT_ONCE) * columns
    room = np.empty(COLUMNS, w.dtype)
    start, blocks = worker - worker, (columns + COLUMNS - 1) // COLUMNS
    for block in range(worker * blocks // workers, (worker + 1) * blocks // workers):
        first = block * COLUMNS
        here = min(COLUMNS, columns - first)
        most = here // whole * whole
        for k in range(0, rows, ROWS_AT_ONCE):
            count, at = min(ROWS_AT_ONCE, rows - k), k * columns + first
            slide(w, at, offsets, count, x, k, room, start, most, k > 0)
        for o in range(most):
            y[first + o] = room[o]
        for o in range(most, here):
            total = w.dtype.type(0)
            for k in range(rows):
                total += x[k] * w[k * columns + first + o]
            y[first + o] = total


@jit
def _complete_items(worker, workers, x, w, extra, y, numbers):
    """`gemm.complete` for y (N, O), in which the outputs are next to each other."""
    items, outputs = numbers[0], numbers[1]
    factor, summand = extra[:outputs], extra[outputs : 2 * outputs]
    affine, active, slope = extra[2 * outputs], extra[2 * outputs + 1], extra[2 * outputs + 2]
    zero = y.dtype.type(0)
    for n in range(worker * items // workers, (worker + 1) * items // workers):
        line = y[n * outputs : (n + 1) * outputs]
        if affine:
            for o in range(outputs):
                line[o] = line[o] * factor[o] + summand[o]
        if active:
            for o in range(outputs):
                line[o] = max(line[o], zero) + slope * min(line[o], zero)


def embed_forward(index: Any, w: Any, b: Any, y: Any) -> None:
    """y[i] = w[index[i]] + b.

    index: (N,), whole numbers 0 to V - 1.  w: (V, O).  b: (O,), or of size 0.  y: (N, O).
    """
    np.take(w, index, axis=0, out=y, mode="clip")
    if b.size:
        y += b


def embed_backward_params(index: Any, dy: Any, dw: Any, db: Any) -> None:
    """dw[index[i]] += dy[i] for all i; db += the sum of dy's rows, if db has numbers."""
    _add_to_rows(index, dy, dw)
    if db.size:
        db += dy.sum(axis=0)


@jit
def _add_to_rows(index, dy, dw):
    for i in range(index.size):
        for o in range(dw.shape[1]):
            dw[index[i], o] += dy[i, o]


@pjit
def scale_forward(x, scale, bias, kept, y):
    """y[n, c, i] = x[n, c, i] scale[c] + bias[c].

    x, y: (N, C, I), may be one array.  scale: (C,), or of size 0 for 1.  bias: (C,), or of size 0
    for 0.  kept: (N, C, I), becomes x; or of size 0.
    """
    items, channels, inner = x.shape
    one, zero = x.dtype.type(1), x.dtype.type(0)
    if inner == 1:
        for n in prange(items):
            for c in range(channels):
                factor, value = scale[c] if scale.size else one, x[n, c, 0]
                if kept.size:
                    kept[n, c, 0] = value
                y[n, c, 0] = value * factor + (bias[c] if bias.size else zero)
    else:
        for row in prange(items * channels):
            n, c = row // channels, row % channels
            factor = scale[c] if scale.size else one
            shift = bias[c] if bias.size else zero
            source, target = x[n, c], y[n, c]
            if kept.size:
                copy = kept[n, c]
                for i in range(inner):
                    value = source[i]
                    copy[i] = value
                    target[i] = value * factor + shift
            else:
                for i in range(inner):
                    target[i] = source[i] * factor + shift


def scale_backward_params(x: Any, dy: Any, dscale: Any) -> None:
    """dscale[c] += the sum over n and i of dy[n, c, i] x[n, c, i].  x, dy: (N, C, I)."""
    _sum_products(dy, x.reshape(-1), dscale)


def bias_backward_params(dy: Any, dbias: Any) -> None:
    """dbias[c] += the sum over n and i of dy[n, c, i].  dy: (N, C, I)."""
    _sum_products(dy, np.ones(dy.shape[2], dy.dtype), dbias)


def _sum_products(dy: Any, x: Any, total: Any) -> None:
    """total[c] += the sum over n and i of dy[n, c, i] times x of the same place, or x[i]."""
    items, channels, inner = dy.shape
    if dy.size == 0:
        return
    numbers = np.array([items, channels, inner, x.size == dy.size], np.int64)
    threads = get_num_threads() if dy.size > SMALL else 1
    spread(_add_products, min(threads, channels), dy.reshape(-1), x, x[:0], total, numbers)


@jit
def _add_products(worker, workers, dy, x, extra, total, numbers):
    items, channels, inner, everywhere = numbers[0], numbers[1], numbers[2], numbers[3]
    found, start = np.empty(1, dy.dtype), worker - worker
    first, last = worker * channels // workers, (worker + 1) * channels // workers
    for n in range(items):
        for c in range(first, last):
            at = (n * channels + c) * inner
            dot(dy, at, x, at if everywhere else start, inner, found, start)
            total[c] += found[0]
