"""The boxes that a single-shot detector starts from."""

from __future__ import annotations

import numpy as np


def prior_boxes(image, step, offsets, sizes, clip, y):
    """Boxes of every size around every middle of every cell of a grid.

    image: (height, width) in pixels.  step: (height, width) of a cell in pixels.  offsets: (J, 2)
    of the middles within a cell, (down, right) in cells.  sizes: (K, 2) widths and heights in
    pixels.  clip: keep the boxes within the image.  y: (H, W, K, J, 4).
    """
    rows, columns = y.shape[:2]
    down, right = np.asarray(offsets, np.float64).T
    center_y = ((np.arange(rows)[:, None] + down) * step[0]).astype(y.dtype)[:, None, None, :]
    center_x = ((np.arange(columns)[:, None] + right) * step[1]).astype(y.dtype)[None, :, None, :]
    half_width, half_height = (np.asarray(sizes, y.dtype) / 2).T[:, :, None]
    y[..., 0] = (center_x - half_width) / image[1]
    y[..., 1] = (center_y - half_height) / image[0]
    y[..., 2] = (center_x + half_width) / image[1]
    y[..., 3] = (center_y + half_height) / image[0]
    if clip:
        np.clip(y, 0, 1, out=y)
