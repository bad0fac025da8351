"""Inner product, embedding, scale and bias.

With few items an inner product does few operations for each element it reads, so its weights are
streamed once, at the speed of memory, without packing; larger batches are matrix products, those
of up to some hundred items without packing the weights either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.epilogue import NO_EPILOGUE, Epilogue, completion
from caffe_lite.kernels.gemm import CROSS, CROSS_ROWS, cross, gemm
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel, unrecorded
from caffe_lite.kernels.simd import BUNDLE, VECTOR_BYTES, Matrix, dot, weighted_sum

COLUMNS = 1024
"""Columns of a matrix that one thread streams at a time."""
ROWS_AT_ONCE = 64
"""Rows of them that it reads before it goes on to the next columns."""
MANY = 128
"""Items above which it pays to pack the weights."""


def inner_product_forward(
    x: Any, w: Any, b: Any, transpose: bool, y: Any, epilogue: Epilogue = NO_EPILOGUE
) -> None:
    """Y = X W^T + b, or X W + b with `transpose`; then the epilogue is applied to it.

    x: (N, K).  w: (O, K), or (K, O) with `transpose`.  b: (O,), or of size 0 for none.  y: (N, O).
    """
    completed = completion(b, epilogue, y.shape[1], y.dtype)
    _product(x, w, not transpose, y)
    if completed[-4] or completed[-3] or completed[-1] < np.inf:
        launch(_complete_items, len(y), y.size, completed, y)


def inner_product_backward(dy: Any, w: Any, transpose: bool, dx: Any) -> None:
    """dX = dY W, or dY W^T with `transpose`.  Shapes as in `inner_product_forward`."""
    _product(dy, w, transpose, dx)


def inner_product_backward_params(x: Any, dy: Any, transpose: bool, dw: Any, db: Any) -> None:
    """dW += dY^T X, or X^T dY with `transpose`; db += the sum of dY's rows, if db has elements."""
    left, right = (x, dy) if transpose else (dy, x)
    gemm(left, right, dw, transpose_a=True, accumulate=True)
    if db.size:
        db += dy.sum(axis=0)


def normalize_weight(w: Any) -> None:
    """Divide each row of w, (O, K), by sqrt(0.000001 + the sum of its squares)."""
    unrecorded()
    w /= np.sqrt(np.square(w).sum(axis=1, keepdims=True) + 1e-6)


def _product(x: Any, w: Any, across: bool, y: Any) -> None:
    """Y = X W^T if `across`, else X W."""
    items = x.shape[0]
    if across and CROSS_ROWS < items <= min(MANY, w.shape[0]):
        transposed = np.empty(y.shape[::-1], y.dtype)  # so that the rows of W are not packed
        gemm(w, x, transposed, transpose_b=True)
        unrecorded()
        y[...] = transposed.T
    elif w.size == 0 or items == 0 or items > (CROSS_ROWS if across else 1):
        gemm(x, w, y, transpose_b=across)
    elif items > 1:
        launch(_cross_rows, -(-w.shape[0] // CROSS), w.size, w, x, y)
    elif across:
        launch(_dot_rows, w.shape[0], w.size, w, x[0], y[0])
    else:
        launch(_add_rows, -(-w.shape[1] // COLUMNS), w.size, w, x[0], y[0])


@parallel
def _dot_rows(first, last, w, x, y):
    """y[o] = the sum over k of w[o, k] x[k], for rows first, ..., last - 1 of w."""
    for o in range(first, last):
        dot(w[o], x, x.size, y[o:])


@parallel
def _cross_rows(first, last, w, x, y):
    """y[n, o] = the sum over k of x[n, k] w[o, k], for all n and CROSS o at a time."""
    rows, k = w.shape
    items, lanes = x.shape[0], VECTOR_BYTES // w.itemsize
    whole = k // lanes * lanes
    vectors = np.empty(items * CROSS * lanes, w.dtype)
    sums = np.empty(items * CROSS, w.dtype)
    for o in range(first * CROSS, last * CROSS, CROSS):
        if o + CROSS > rows:
            for n in range(items):
                for row in range(o, rows):
                    dot(w[row], x[n], k, y[n, row:])
            continue
        cross(items, Matrix(x.reshape(-1), k), Matrix(w[o:].reshape(-1), k), whole, vectors)
        sums[:] = 0
        for lane in range(lanes):
            for q in range(sums.size):
                sums[q] += vectors[q * lanes + lane]
        for q in range(sums.size):
            n, row = q // CROSS, o + q % CROSS
            for i in range(whole, k):
                sums[q] += x[n, i] * w[row, i]
            y[n, row] = sums[q]


@parallel
def _add_rows(first, last, w, x, y):
    """y[o] = the sum over k of x[k] w[k, o], for blocks first, ..., last - 1 of COLUMNS o."""
    rows, columns = w.shape
    bundle = BUNDLE * (VECTOR_BYTES // w.itemsize)
    offsets, flat = np.arange(ROWS_AT_ONCE) * columns, w.reshape(-1)
    for left in range(first * COLUMNS, min(last * COLUMNS, columns), COLUMNS):
        here = min(COLUMNS, columns - left)
        whole = here // bundle * bundle
        for k in range(0, rows, ROWS_AT_ONCE):
            count, start = min(ROWS_AT_ONCE, rows - k), flat[k * columns + left :]
            weighted_sum(start, offsets, count, x[k:], y[left:], whole, k > 0)
        for o in range(left + whole, left + here):
            total = w.dtype.type(0)
            for k in range(rows):
                total += x[k] * w[k, o]
            y[o] = total


@parallel
def _complete_items(first, last, completed, y):
    """`epilogue.complete` for rows of y (N, O), in which the outputs are adjacent."""
    outputs = y.shape[1]
    factor, summand = completed[:outputs], completed[outputs : 2 * outputs]
    affine, active, slope, limit = completed[-4], completed[-3], completed[-2], completed[-1]
    zero = y.dtype.type(0)
    for n in range(first, last):
        row = y[n]
        if affine:
            for o in range(outputs):
                row[o] = row[o] * factor[o] + summand[o]
        if active:
            for o in range(outputs):
                row[o] = max(row[o], zero) + slope * min(row[o], zero)
        if limit < np.inf:
            for o in range(outputs):
                row[o] = min(row[o], limit)


def embed_forward(index: Any, w: Any, b: Any, y: Any) -> None:
    """y[i] = w[index[i]] + b.

    index: (N,), whole numbers 0 to V - 1.  w: (V, O).  b: (O,), or of size 0.  y: (N, O).
    """
    np.take(w, index, axis=0, out=y, mode="clip")
    if b.size:
        y += b


def embed_backward_params(index: Any, dy: Any, dw: Any, db: Any) -> None:
    """dw[index[i]] += dy[i] for all i; db += the sum of dy's rows, if db has elements."""
    _add_to_rows(index, dy, dw)
    if db.size:
        db += dy.sum(axis=0)


@jit
def _add_to_rows(index, dy, dw):
    for i in range(index.size):
        for o in range(dw.shape[1]):
            dw[index[i], o] += dy[i, o]


def scale_forward(x: Any, scale: Any, bias: Any, kept: Any, y: Any) -> None:
    """y[n, c, i] = x[n, c, i] scale[c] + bias[c].

    x, y: (N, C, I), may be one array.  scale: (C,), or of size 0 for 1.  bias: (C,), or of size 0
    for 0.  kept: (N, C, I), becomes x; or of size 0.
    """
    items, channels, inner = x.shape
    if inner == 1:
        launch(_scale_items, items, x.size, x, scale, bias, kept, y)
    else:
        launch(_scale_planes, items * channels, x.size, x, scale, bias, kept, y)


@parallel
def _scale_items(first, last, x, scale, bias, kept, y):
    one, zero = x.dtype.type(1), x.dtype.type(0)
    for n in range(first, last):
        for c in range(x.shape[1]):
            factor, value = scale[c] if scale.size else one, x[n, c, 0]
            if kept.size:
                kept[n, c, 0] = value
            y[n, c, 0] = value * factor + (bias[c] if bias.size else zero)


@parallel
def _scale_planes(first, last, x, scale, bias, kept, y):
    one, zero = x.dtype.type(1), x.dtype.type(0)
    for plane in range(first, last):
        n, c = plane // x.shape[1], plane % x.shape[1]
        factor = scale[c] if scale.size else one
        shift = bias[c] if bias.size else zero
        source, target = x[n, c], y[n, c]
        if kept.size:
            copy = kept[n, c]
            for i in range(source.size):
                value = source[i]
                copy[i] = value
                target[i] = value * factor + shift
        else:
            for i in range(source.size):
                target[i] = source[i] * factor + shift


def scale_backward_params(x: Any, dy: Any, dscale: Any) -> None:
    """dscale[c] += the sum over n and i of dy[n, c, i] x[n, c, i].

    x, dy: (N, C, I).  dscale: (C,).
    """
    launch(_add_products, dy.shape[1], dy.size, dy, x, dscale)


def bias_backward_params(dy: Any, dbias: Any) -> None:
    """dbias[c] += the sum over n and i of dy[n, c, i].  dy: (N, C, I).  dbias: (C,)."""
    ones = np.ones((1, 1, dy.shape[2]), dy.dtype)
    launch(_add_products, dy.shape[1], dy.size, dy, ones, dbias)


@parallel
def _add_products(first, last, dy, x, total):
    """total[c] += the sum over n and i of dy[n, c, i] x[n, c, i]; x may be one row for all."""
    items, inner, found = dy.shape[0], dy.shape[2], np.zeros(1, dy.dtype)
    for n in range(items):
        for c in range(first, last):
            row = x[min(n, x.shape[0] - 1), min(c, x.shape[1] - 1)]
            if inner == 1:  # what `dot` gives: 0 plus the product
                total[c] += found[0] + dy[n, c, 0] * row[0]
            else:
                dot(dy[n, c], row, inner, found)
                total[c] += found[0]
