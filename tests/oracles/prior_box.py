"""The boxes that a detector starts from, box by box."""

from __future__ import annotations

from math import sqrt

import numpy as np


def prior_box(
    grid, image, sizes, step=None, offsets=((0.5, 0.5),), clip=False, variance=(0.1,) * 4
):
    """sizes: (width, height) of each box around a middle.  image: (height, width).

    offsets: (down, right) of each middle in a cell.
    """
    rows, columns = grid.shape[2:]
    step = step or (image[0] / rows, image[1] / columns)
    boxes = []
    for row in range(rows):
        for column in range(columns):
            for width, height in sizes:
                for down, right in offsets:
                    y, x = (row + down) * step[0], (column + right) * step[1]
                    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                    box = [value / image[1 - k % 2] for k, value in enumerate(box)]
                    boxes += [min(max(value, 0.0), 1.0) if clip else value for value in box]
    return np.array([[boxes, list(variance) * (len(boxes) // 4)]])


def square_and_more(low, high=None, ratios=()):
    """The (width, height) pairs for one min_size, its max_size and all ratios other than 1."""
    sizes = [(low, low)]
    if high is not None:
        sizes.append((sqrt(low * high),) * 2)
    return sizes + [(low * sqrt(ratio), low / sqrt(ratio)) for ratio in ratios]
