"""The image transformations of the data layers by their definitions, in float64."""

from __future__ import annotations

import math

import numpy as np


def transform(image, row, column, size, mean=0.0, scale=1.0, mirror=False):
    """Crop image - mean (C, H, W) to size (h, w) at (row, column), mirror and scale it."""
    shifted = np.asarray(image, np.float64) - mean
    y = np.zeros((shifted.shape[0], *size))
    for c in range(y.shape[0]):
        for i in range(size[0]):
            for j in range(size[1]):
                target = size[1] - 1 - j if mirror else j
                y[c, i, target] = scale * shifted[c, row + i, column + j]
    return y


def resize(image, height, width):
    """Bilinear interpolation (C, H, W) -> (C, height, width) between pixel centres, unrounded."""
    image = np.asarray(image, np.float64)
    _, old_height, old_width = image.shape
    y = np.zeros((image.shape[0], height, width))
    for i in range(height):
        for j in range(width):
            v = min(max((i + 0.5) * old_height / height - 0.5, 0), old_height - 1)
            u = min(max((j + 0.5) * old_width / width - 0.5, 0), old_width - 1)
            top, left = math.floor(v), math.floor(u)
            bottom, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            a, b = v - top, u - left
            y[:, i, j] = (
                (1 - a) * (1 - b) * image[:, top, left]
                + (1 - a) * b * image[:, top, right]
                + a * (1 - b) * image[:, bottom, left]
                + a * b * image[:, bottom, right]
            )
    return y
