"""Inner product, embedding, scale and bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.epilogue import NO_EPILOGUE, Epilogue, complete_items, completion
from caffe_lite.kernels.gemm import gemm, multiply_items
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel, unrecorded
from caffe_lite.kernels.simd import dot


def inner_product_forward(
    x: Any, w: Any, b: Any, transpose: bool, y: Any, epilogue: Epilogue = NO_EPILOGUE
) -> None:
    """Y = X W^T + b, or X W + b with `transpose`; then the epilogue is applied to it.

    x: (N, K).  w: (O, K), or (K, O) with `transpose`.  b: (O,), or of size 0 for none.  y: (N, O).
    """
    completed = completion(b, epilogue, y.shape[1], y.dtype)
    multiply_items(x, w, not transpose, y)
    complete_items(y, completed)


def inner_product_backward(dy: Any, w: Any, transpose: bool, dx: Any) -> None:
    """dX = dY W, or dY W^T with `transpose`.  Shapes as in `inner_product_forward`."""
    multiply_items(dy, w, transpose, dx)


def inner_product_backward_params(x: Any, dy: Any, transpose: bool, dw: Any, db: Any) -> None:
    """dW += dY^T X, or X^T dY with `transpose`; db += the sum of dY's rows, if db has elements."""
    left, right = (x, dy) if transpose else (dy, x)
    gemm(left, right, dw, transpose_a=True, accumulate=True)
    if db.size:
        add_rows(dy, db)


def add_rows(x: Any, total: Any) -> None:
    """total += the sum of x's rows, added one after the other.  x: (N, O).  total: (O,)."""
    if x.shape[1] == 1:
        unrecorded()
        total += x.sum(axis=0)  # in pairs, which loses less
    else:
        launch(_add_rows, x.shape[1], x.size, x, total)


@parallel
def _add_rows(first, last, x, total):
    found = x[0, first:last].copy()
    for n in range(1, len(x)):
        row = x[n, first:last]
        for i in range(row.size):
            found[i] += row[i]
    for i in range(found.size):
        total[first + i] += found[i]


def normalize_weight(w: Any) -> None:
    """Divide each row of w, (O, K), by sqrt(0.000001 + the sum of its squares)."""
    unrecorded()
    w /= np.sqrt(np.square(w).sum(axis=1, keepdims=True) + 1e-6)


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
