"""Boxes of Faster R-CNN: x1, y1, x2, y2 in pixels; both corners are pixels of the box.

So a box is x2 - x1 + 1 pixels wide.  All arrays of boxes are (N, 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RATIOS = (0.5, 1, 2)


def generate_anchors(
    scales: Sequence[float], ratios: Sequence[float] = RATIOS, base_size: int = 16
) -> np.ndarray:
    """The anchors of the first cell: each ratio (height over width), and of it each scale.

    A box of the cell's area and of that ratio, with whole numbers for its sides, is made so many
    times as large.  All have the middle of a cell of `base_size` pixels.
    """
    widths = np.round(np.sqrt(base_size**2 / np.asarray(ratios, float)))
    heights = np.round(widths * ratios)
    sides = np.stack([widths, heights], axis=1)[:, None] * np.asarray(scales)[None, :, None]
    reach = (sides.reshape(-1, 2) - 1) / 2
    middle = (base_size - 1) / 2
    return np.hstack([middle - reach, middle + reach])


def shifted(anchors: np.ndarray, height: int, width: int, stride: int) -> np.ndarray:
    """The anchors of all cells, (height * width * A, 4): row by row, in each cell all A."""
    y, x = np.mgrid[:height, :width] * stride
    shifts = np.stack([x, y, x, y], axis=-1)
    return (shifts[:, :, None] + anchors).reshape(-1, 4)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area of both over the area of either, (N, M).  Columns after the fourth are not read."""
    x1, y1, x2, y2 = boxes.T[:4, :, None]
    u1, v1, u2, v2 = others.T[:4]
    width = np.maximum(np.minimum(x2, u2) - np.maximum(x1, u1) + 1, 0)
    height = np.maximum(np.minimum(y2, v2) - np.maximum(y1, v1) + 1, 0)
    both = width * height
    areas = (x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1)
    return both / (areas - both)


def encode(boxes: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """How to move each box onto its truth, (N, 4): Eq. (2) of the paper, t*.

    tx = (x* - x) / w, ty = (y* - y) / h, tw = log(w* / w), th = log(h* / h).
    """
    middle, size = _middle_and_size(boxes)
    target, wanted = _middle_and_size(truths)
    return np.hstack([(target - middle) / size, np.log(wanted / size)])


def decode(boxes: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The boxes, moved as codes (N, 4) say.

    The corners are half of the size away from the middle, on both sides, as in py-faster-rcnn: a
    box that `encode` made a code of comes back with x2 and y2 one pixel larger.
    """
    middle, size = _middle_and_size(boxes)
    middle, reach = middle + codes[:, :2] * size, np.exp(codes[:, 2:]) * size / 2
    return np.hstack([middle - reach, middle + reach])


def clip(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """The boxes, cut to an image."""
    return boxes.clip(0, np.array([width - 1, height - 1, width - 1, height - 1]))


def sizes(boxes: np.ndarray) -> np.ndarray:
    """Widths and heights, (N, 2)."""
    return boxes[:, 2:4] - boxes[:, :2] + 1


def suppress(boxes: np.ndarray, threshold: float, most: int | None = None) -> np.ndarray:
    """The indices of the boxes that overlap none before them that is kept by more than that.

    Only the first `most` of them.
    """
    kept, left = [], np.arange(len(boxes))
    while left.size and len(kept) != most:
        first, left = left[0], left[1:]
        kept.append(first)
        left = left[overlaps(boxes[first : first + 1], boxes[left])[0] <= threshold]
    return np.array(kept, int)


def _middle_and_size(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = sizes(boxes)
    return boxes[:, :2] + size / 2, size
