"""Planes made larger, number by number."""

from __future__ import annotations

import numpy as np


def repeat(scale):
    """Each number becomes a square."""

    def run(x):
        y = np.zeros((*x.shape[:2], x.shape[2] * scale, x.shape[3] * scale))
        for n, c, h, w in np.ndindex(*y.shape):
            y[n, c, h, w] = x[n, c, h // scale, w // scale]
        return y

    return run


def unpool(height, width):
    """Each number goes to its place, counted row by row."""

    def run(x, places):
        y = np.zeros((*x.shape[:2], height, width))
        for index in np.ndindex(*x.shape):
            h, w = divmod(int(places[index]), width)
            y[index[0], index[1], h, w] = x[index]
        return y

    return run


def interpolate(height, width, begin=0, end=0):
    """Each new pixel from the four around it; `begin` and `end` rows and columns are cut off."""

    def run(x):
        x = x[:, :, begin : x.shape[2] - end, begin : x.shape[3] - end]
        y = np.zeros((*x.shape[:2], height, width))
        for h, w in np.ndindex(height, width):
            row = h * (x.shape[2] - 1) / (height - 1) if height > 1 else 0.0
            column = w * (x.shape[3] - 1) / (width - 1) if width > 1 else 0.0
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    share = max(0.0, 1 - abs(row - i)) * max(0.0, 1 - abs(column - j))
                    y[:, :, h, w] += share * x[:, :, i, j]
        return y

    return run
