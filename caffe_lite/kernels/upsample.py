"""Planes made larger: by places that a pooling remembered, by repetition, by interpolation.

x, y: arrays of planes (P, H, W), or of planes in a row each (P, H * W) where places are used.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel


@parallel
def _unpool(first, last, x, place, y):
    for plane in range(first, last):
        y[plane] = 0
        for i in range(x.shape[1]):
            y[plane, place[plane, i]] = x[plane, i]


def unpool_forward(x, place, y):
    """y = x at its places, 0 elsewhere.  Of two numbers with one place the later remains.

    x: (P, I).  place: (P, I) whole numbers below O.  y: (P, O).
    """
    launch(_unpool, len(x), y.size, x, place, y)


@parallel
def _gather(first, last, dy, place, dx):
    for plane in range(first, last):
        for i in range(dx.shape[1]):
            dx[plane, i] = dy[plane, place[plane, i]]


def unpool_backward(dy, place, dx):
    """dx = dy at the places; shapes as in `unpool_forward`."""
    launch(_gather, len(dx), dx.size, dy, place, dx)


@parallel
def _repeat(first, last, x, scale, y):
    for plane in range(first, last):
        for row in range(x.shape[1]):
            top = row * scale
            for column in range(x.shape[2]):
                for k in range(scale):
                    y[plane, top, column * scale + k] = x[plane, row, column]
            for k in range(1, scale):
                y[plane, top + k] = y[plane, top]


def repeat_forward(x, scale, y):
    """Each number becomes a square of scale x scale.  x: (P, H, W).  y: (P, scale H, scale W)."""
    launch(_repeat, len(x), y.size, x, scale, y)


@parallel
def _sum_squares(first, last, dy, scale, dx):
    for plane in range(first, last):
        dx[plane] = 0
        for row in range(dy.shape[1]):
            for column in range(dx.shape[2]):
                for k in range(scale):
                    dx[plane, row // scale, column] += dy[plane, row, column * scale + k]


def repeat_backward(dy, scale, dx):
    """dx = the sum of each square; shapes as in `repeat_forward`."""
    launch(_sum_squares, len(dx), dy.size, dy, scale, dx)


@jit
def _stretch(row, columns, right, line):
    """line = the row, interpolated at the columns."""
    for j in range(line.size):
        t = right[j]
        line[j] = (1 - t) * row[columns[0, j]] + t * row[columns[1, j]]


@parallel
def _interpolate(first, last, x, rows, down, columns, right, y):
    line = np.empty((2, y.shape[2]), x.dtype)
    held = np.empty(2, np.int64)  # the rows of x that the lines are made of
    for plane in range(first, last):
        held[:] = -1
        near = 0
        for i in range(y.shape[1]):
            if held[near] != rows[0, i]:
                if held[1 - near] == rows[0, i]:
                    near = 1 - near
                else:
                    _stretch(x[plane, rows[0, i]], columns, right, line[near])
                    held[near] = rows[0, i]
            far = 1 - near
            if held[far] != rows[1, i]:
                _stretch(x[plane, rows[1, i]], columns, right, line[far])
                held[far] = rows[1, i]
            s = down[i]
            for j in range(y.shape[2]):
                y[plane, i, j] = (1 - s) * line[near, j] + s * line[far, j]


def interpolate_forward(x, rows, down, columns, right, y):
    """y = x between its pixels, linear in both directions.

    Row i of y lies between the rows rows[0, i] and rows[1, i] of x, at the share down[i] of the
    way; its columns likewise.  A row of x is stretched once, however many rows of y need it.

    x: (P, H, W).  rows: (2, H'), down: (H',).  columns: (2, W'), right: (W',).  y: (P, H', W').
    """
    launch(_interpolate, len(x), 4 * y.size, x, rows, down, columns, right, y)


@jit
def _spread_line(line, columns, right, row):
    """The transpose of `_stretch`: added to the row."""
    for j in range(line.size):
        t = right[j]
        row[columns[0, j]] += (1 - t) * line[j]
        row[columns[1, j]] += t * line[j]
        line[j] = 0


@parallel
def _interpolate_back(first, last, dy, rows, down, columns, right, dx):
    near, far = np.zeros((2, dy.shape[2]), dy.dtype)
    for plane in range(first, last):
        dx[plane] = 0
        for i in range(dy.shape[1]):
            s = down[i]
            for j in range(dy.shape[2]):
                near[j] += (1 - s) * dy[plane, i, j]
                far[j] += s * dy[plane, i, j]
            last_of_pair = i + 1 == dy.shape[1] or rows[0, i + 1] != rows[0, i]
            if last_of_pair or rows[1, i + 1] != rows[1, i]:
                _spread_line(near, columns, right, dx[plane, rows[0, i]])
                _spread_line(far, columns, right, dx[plane, rows[1, i]])


def interpolate_backward(dy, rows, down, columns, right, dx):
    """dx = the sums of dy, each by its shares; shapes as in `interpolate_forward`."""
    launch(_interpolate_back, len(dx), 4 * dy.size, dy, rows, down, columns, right, dx)


@parallel
def _take_nearest(first, last, x, rows, columns, y):
    for plane in range(first, last):
        for i in range(y.shape[1]):
            row = x[plane, rows[i]]
            for j in range(y.shape[2]):
                y[plane, i, j] = row[columns[j]]


def nearest_forward(x, rows, columns, y):
    """y[p, i, j] = x[p, rows[i], columns[j]].  x: (P, H, W).  rows: (H',).  columns: (W',)."""
    launch(_take_nearest, len(x), y.size, x, rows, columns, y)


@parallel
def _give_nearest(first, last, dy, rows, columns, dx):
    for plane in range(first, last):
        dx[plane] = 0
        for i in range(dy.shape[1]):
            row = dx[plane, rows[i]]
            for j in range(dy.shape[2]):
                row[columns[j]] += dy[plane, i, j]


def nearest_backward(dy, rows, columns, dx):
    """dx = the sums of dy, each where it came from; shapes as in `nearest_forward`."""
    launch(_give_nearest, len(dx), dy.size, dy, rows, columns, dx)
