"""Planes made larger, number by number."""

from __future__ import annotations

import math
from fractions import Fraction

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


def left(i, size, new):
    """Where pixel i of `new` lies on an axis of `size` pixels: their left edges on each other."""
    return Fraction(i * size, new)


def corner(i, size, new):
    """The first pixels on each other, and the last ones."""
    return Fraction(i * (size - 1), new - 1) if new > 1 else Fraction(0)


def nearest_corner(i, size, new):
    return corner(i, size, new) + Fraction(1, 2)


def centre(i, size, new):
    """The middle of both axes on each other."""
    return Fraction((2 * i + 1) * size, 2 * new) - Fraction(1, 2)


def pixel(i, size, new):
    return centre(i, size, new) + Fraction(1, 2)


def resize_nearest(height, width, place, channels_last=False):
    """Each new pixel from the one that its place is in."""

    def run(x):
        x = np.moveaxis(x, -1, 1) if channels_last else x
        y = np.zeros((*x.shape[:2], height, width))
        for i, j in np.ndindex(height, width):
            row = min(max(math.floor(place(i, x.shape[2], height)), 0), x.shape[2] - 1)
            column = min(max(math.floor(place(j, x.shape[3], width)), 0), x.shape[3] - 1)
            y[:, :, i, j] = x[:, :, row, column]
        return np.moveaxis(y, 1, -1) if channels_last else y

    return run


def resize_bilinear(height, width, place, channels_last=False):
    """Each new pixel from the four around its place, which is not outside of the plane."""

    def run(x):
        x = np.moveaxis(x, -1, 1) if channels_last else x
        y = np.zeros((*x.shape[:2], height, width))
        for i, j in np.ndindex(height, width):
            row = min(max(float(place(i, x.shape[2], height)), 0), x.shape[2] - 1)
            column = min(max(float(place(j, x.shape[3], width)), 0), x.shape[3] - 1)
            for h, w in np.ndindex(*x.shape[2:]):
                share = max(0.0, 1 - abs(row - h)) * max(0.0, 1 - abs(column - w))
                y[:, :, i, j] += share * x[:, :, h, w]
        return np.moveaxis(y, 1, -1) if channels_last else y

    return run
