"""Optical flow, pixel by pixel."""

from __future__ import annotations

from math import floor, hypot

import numpy as np


def channel_norm(x):
    """The length of each pixel's vector."""
    y = np.zeros((x.shape[0], 1, *x.shape[2:]))
    for n, h, w in np.ndindex(x.shape[0], *x.shape[2:]):
        y[n, 0, h, w] = hypot(*x[n, :, h, w])
    return y


def warp(fill=0.0):
    """Each pixel from where its flow points; the image goes on at its right and lower edge."""

    def run(x, flow):
        y = np.full(x.shape, fill)
        height, width = x.shape[2:]
        for n, h, w in np.ndindex(x.shape[0], height, width):
            right, down = w + flow[n, 0, h, w], h + flow[n, 1, h, w]
            if 0 <= right < width and 0 <= down < height:
                y[n, :, h, w] = 0
                for i in (floor(down), floor(down) + 1):
                    for j in (floor(right), floor(right) + 1):
                        share = (1 - abs(down - i)) * (1 - abs(right - j))
                        y[n, :, h, w] += share * x[n, :, min(i, height - 1), min(j, width - 1)]
        return y

    return run
