"""Distances between items and rows of a weight: the centers of classes."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel


def normalize_rows(w):
    """Divide each row of w, (N, K), by sqrt(0.000001 + the sum of its squares)."""
    w /= np.sqrt(np.einsum("nk,nk->n", w, w) + 1e-6)[:, None]


def from_centers(x, centers, labels, y):
    """y[m] = x[m] - centers[labels[m]].  x, y: (M, K).  centers: (N, K).  labels: (M,)."""
    np.subtract(x, centers[labels], out=y)


def move_centers(labels, pull, often, dcenters):
    """dcenters[n] -= the sum of pull[m] over the items of class n, over 1 + their number.

    With `often` that is done as many times as there are items.  pull: (M, K).  labels: (M,).
    dcenters: (N, K).
    """
    classes, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(classes), pull.shape[1]), pull.dtype)
    np.add.at(sums, places, pull)
    factor = counts / (counts + 1.0) if often else 1 / (counts + 1.0)
    dcenters[classes] -= (sums * factor[:, None]).astype(pull.dtype)


def distances(x, w, squared, y):
    """y[m, n] = the sum over k of (x[m, k] - w[n, k])^2, or of the magnitudes.

    x: (M, K).  w: (N, K).  y: (M, N).
    """
    launch(_distances, len(x), len(x) * w.size / 8, x, w, squared, y)


@parallel
def _distances(first, last, x, w, squared, y):
    for m in range(first, last):
        for n in range(w.shape[0]):
            total = x.dtype.type(0)
            for k in range(x.shape[1]):
                difference = x[m, k] - w[n, k]
                total += difference * difference if squared else abs(difference)
            y[m, n] = total


def distances_backward(x, w, dy, squared, dx):
    """dx[m, k] = the sum over n of dy[m, n] times 2 (x[m, k] - w[n, k]), or times its sign.

    Shapes as in `distances`.
    """
    dx.fill(0)
    launch(_distances_backward, len(x), len(x) * w.size / 8, x, w, dy, squared, dx)


@parallel
def _distances_backward(first, last, x, w, dy, squared, dx):
    two = x.dtype.type(2)
    for m in range(first, last):
        for n in range(w.shape[0]):
            for k in range(x.shape[1]):
                difference = x[m, k] - w[n, k]
                slope = two * difference if squared else np.sign(difference)
                dx[m, k] += dy[m, n] * slope


def distances_backward_weights(x, w, dy, labels, squared, dw):
    """dw[n, k] += the sum over m of dy[m, n] times 2 (w[n, k] - x[m, k]), or times its sign.

    labels: (M,), of which only the items of class n count for row n; or of size 0 for all items.
    The other shapes as in `distances`.
    """
    size = len(x) * w.size / 8
    launch(_distances_backward_weights, len(w), size, x, w, dy, labels, squared, dw)


@parallel
def _distances_backward_weights(first, last, x, w, dy, labels, squared, dw):
    two = x.dtype.type(2)
    for n in range(first, last):
        for m in range(x.shape[0]):
            if labels.size > 0 and labels[m] != n:
                continue
            for k in range(x.shape[1]):
                difference = w[n, k] - x[m, k]
                slope = two * difference if squared else np.sign(difference)
                dw[n, k] += dy[m, n] * slope
