"""Optical flow: images moved along a flow, and the lengths of its vectors.

x, y: (N, C, H, W).  flow: (N, 2, H, W), for each pixel how far to the right and how far down.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel


def channel_norm_forward(x, y):
    """y = the root of the sum of x^2 over the channels.  x: (N, C, P).  y: (N, P)."""
    np.sqrt(np.einsum("ncp,ncp->np", x, x), out=y)


def channel_norm_backward(x, y, dy, dx):
    """dx = dy x / y; the fork adds 1e-9 to y, so that it is 0 where all of x is."""
    np.multiply(x, (dy / (y + y.dtype.type(1e-9)))[:, None], out=dx)


@jit
def _corners(flow, item, row, column, height, width):
    """Where a pixel is taken from: rows and columns of the corners, and the shares of the second.

    A first row of -1 says that it is outside.
    """
    kind = flow.dtype.type
    down = kind(row) + flow[item, 1, row, column]
    right = kind(column) + flow[item, 0, row, column]
    if not (right >= 0 and down >= 0 and right < width and down < height):
        return -1, -1, -1, -1, down, right
    top, left = int(down), int(right)
    bottom, far = min(top + 1, height - 1), min(left + 1, width - 1)
    return top, bottom, left, far, down - kind(top), right - kind(left)


@parallel
def _warp(first, last, x, flow, fill, y):
    _, channels, height, width = x.shape
    one = x.dtype.type(1)
    for task in range(first, last):
        item, row = task // height, task % height
        for column in range(width):
            top, bottom, left, right, s, t = _corners(flow, item, row, column, height, width)
            for c in range(channels):
                if top < 0:
                    y[item, c, row, column] = fill
                    continue
                above = (one - t) * x[item, c, top, left] + t * x[item, c, top, right]
                below = (one - t) * x[item, c, bottom, left] + t * x[item, c, bottom, right]
                y[item, c, row, column] = (one - s) * above + s * below


def warp_forward(x, flow, fill, y):
    """y = x at the pixel plus its flow, between four pixels; `fill` where that is outside."""
    launch(_warp, x.shape[0] * x.shape[2], 4 * y.size, x, flow, x.dtype.type(fill), y)


@parallel
def _warp_back(first, last, flow, dy, dx):
    _, channels, height, width = dx.shape
    one = dx.dtype.type(1)
    for item in range(first, last):
        dx[item] = 0
        for row in range(height):
            for column in range(width):
                top, bottom, left, right, s, t = _corners(flow, item, row, column, height, width)
                if top < 0:
                    continue
                for c in range(channels):
                    above, below = (
                        (one - s) * dy[item, c, row, column],
                        s * dy[item, c, row, column],
                    )
                    dx[item, c, top, left] += (one - t) * above
                    dx[item, c, top, right] += t * above
                    dx[item, c, bottom, left] += (one - t) * below
                    dx[item, c, bottom, right] += t * below


def warp_backward(flow, dy, dx):
    """dx = the sums of dy, each by its shares of the four pixels that it was made of."""
    launch(_warp_back, len(dx), 4 * dy.size, flow, dy, dx)


@parallel
def _warp_back_flow(first, last, x, flow, dy, dflow):
    _, channels, height, width = x.shape
    one = x.dtype.type(1)
    for task in range(first, last):
        item, row = task // height, task % height
        for column in range(width):
            dflow[item, 0, row, column] = 0
            dflow[item, 1, row, column] = 0
            top, bottom, left, right, s, t = _corners(flow, item, row, column, height, width)
            if top < 0:
                continue
            for c in range(channels):
                a, b = x[item, c, top, left], x[item, c, top, right]
                d, e = x[item, c, bottom, left], x[item, c, bottom, right]
                g = dy[item, c, row, column]
                dflow[item, 0, row, column] += g * ((one - s) * (b - a) + s * (e - d))
                dflow[item, 1, row, column] += g * ((one - t) * (d - a) + t * (e - b))


def warp_backward_flow(x, flow, dy, dflow):
    """dflow = the slope of y along x and along y, times dy; 0 outside."""
    launch(_warp_back_flow, x.shape[0] * x.shape[2], 4 * dy.size, x, flow, dy, dflow)
