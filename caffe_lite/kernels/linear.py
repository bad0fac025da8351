"""Inner product, embedding, scale and bias.

At batch 1 an inner product does two operations for each number it reads, so its weights are
streamed once, at the speed of memory, by loops; larger batches are matrix products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels.gemm import gemm

COLUMNS = 512
"""Columns that one thread streams of a matrix at a time."""
CHANNELS = 64
"""Channels that one thread sums at a time."""


def inner_product_forward(x: Any, w: Any, b: Any, transpose: bool, y: Any) -> None:
    """Y = X W^T + b, or X W + b with `transpose`.

    x: (N, K).  w: (O, K), or (K, O) with `transpose`.  b: (O,), or of size 0 for none.  y: (N, O).
    """
    y[...] = b if b.size else 0
    _add_product(x, w, not transpose, y)


def inner_product_backward(dy: Any, w: Any, transpose: bool, dx: Any) -> None:
    """dX = dY W, or dY W^T with `transpose`.  Shapes as in `inner_product_forward`."""
    dx[...] = 0
    _add_product(dy, w, transpose, dx)


def inner_product_backward_params(x: Any, dy: Any, transpose: bool, dw: Any, db: Any) -> None:
    """dW += dY^T X, or X^T dY with `transpose`; db += the sum of dY's rows, if db has numbers."""
    left, right = (x, dy) if transpose else (dy, x)
    gemm(left, right, dw, transpose_a=True, accumulate=True)
    if db.size:
        db += dy.sum(axis=0)


def _add_product(x: Any, w: Any, across: bool, y: Any) -> None:
    """Y += X W^T if `across`, else X W."""
    if x.shape[0] != 1:
        gemm(x, w, y, transpose_b=across, accumulate=True)
    elif across:
        _add_rows_dot(w, x[0], y[0])
    else:
        _add_weighted_rows(w, x[0], y[0])


@pjit
def _add_rows_dot(w, x, y):
    for o in prange(w.shape[0]):
        total = x.dtype.type(0)
        for k in range(w.shape[1]):
            total += w[o, k] * x[k]
        y[o] += total


@pjit
def _add_weighted_rows(w, x, y):
    for block in prange((w.shape[1] + COLUMNS - 1) // COLUMNS):
        part = y[block * COLUMNS : (block + 1) * COLUMNS]
        for k in range(w.shape[0]):
            row = w[k, block * COLUMNS : (block + 1) * COLUMNS]
            for o in range(part.size):
                part[o] += x[k] * row[o]


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
def scale_forward(x, scale, bias, y):
    """y[n, c, i] = x[n, c, i] scale[c] + bias[c].

    x, y: (N, C, I), may be one array.  scale: (C,), or of size 0 for 1.  bias: (C,), or of size 0
    for 0.
    """
    items, channels, inner = x.shape
    one, zero = x.dtype.type(1), x.dtype.type(0)
    if inner == 1:
        for n in prange(items):
            for c in range(channels):
                factor = scale[c] if scale.size else one
                y[n, c, 0] = x[n, c, 0] * factor + (bias[c] if bias.size else zero)
    else:
        for row in prange(items * channels):
            n, c = row // channels, row % channels
            factor = scale[c] if scale.size else one
            shift = bias[c] if bias.size else zero
            source, target = x[n, c], y[n, c]
            for i in range(inner):
                target[i] = source[i] * factor + shift


@pjit
def scale_backward_params(x, dy, dscale):
    """dscale[c] += the sum over n and i of dy[n, c, i] x[n, c, i].  x, dy: (N, C, I)."""
    items, channels, inner = x.shape
    for block in prange((channels + CHANNELS - 1) // CHANNELS):
        for n in range(items):
            for c in range(block * CHANNELS, min(channels, (block + 1) * CHANNELS)):
                total = dscale.dtype.type(0)
                for i in range(inner):
                    total += dy[n, c, i] * x[n, c, i]
                dscale[c] += total


@pjit
def bias_backward_params(dy, dbias):
    """dbias[c] += the sum over n and i of dy[n, c, i].  dy: (N, C, I)."""
    items, channels, inner = dy.shape
    for block in prange((channels + CHANNELS - 1) // CHANNELS):
        for n in range(items):
            for c in range(block * CHANNELS, min(channels, (block + 1) * CHANNELS)):
                total = dbias.dtype.type(0)
                for i in range(inner):
                    total += dy[n, c, i]
                dbias[c] += total
