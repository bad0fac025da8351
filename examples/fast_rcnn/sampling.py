"""The examples that a net learns from: few of the many regions, with their targets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from fast_rcnn import boxes

DEFAULTS: dict[str, Any] = {
    "num_classes": 21,
    "batch_size": 128,
    "fg_fraction": 0.25,
    "fg_thresh": 0.5,
    "bg_thresh_hi": 0.5,
    "bg_thresh_lo": 0.0,
    "bbox_normalize_means": (0, 0, 0, 0),
    "bbox_normalize_stds": (0.1, 0.1, 0.2, 0.2),
}
"""The settings of `regions`, which both layers have that call it."""


def at_most(indices: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """All of the indices, or if there are more than `count`, so many of them at random."""
    return indices if len(indices) <= count else rng.choice(indices, count, replace=False)


def regions(
    rois: np.ndarray,
    truths: np.ndarray,
    settings: SimpleNamespace,
    rng: np.random.Generator,
    images: int = 1,
) -> list[np.ndarray]:
    """Of one image's regions (R, 4): those to learn from, their labels, targets and weights.

    truths: (G, 5), boxes and classes.  The batch has `batch_size` regions, of all its `images`;
    at most `fg_fraction` of them are foreground, which overlap a truth by `fg_thresh` or more.
    Background, label 0, overlaps by `bg_thresh_lo` or more, but less than `bg_thresh_hi`.
    Targets and weights are (B, 4 * num_classes): those of a region's class have its code, less
    the mean and over the deviation, and the weight 1; all others are 0.
    """
    overlaps = boxes.overlaps(rois, truths)
    nearest, most = overlaps.argmax(axis=1), overlaps.max(axis=1)
    wanted = settings.batch_size // images
    foreground = np.flatnonzero(most >= settings.fg_thresh)
    foreground = at_most(foreground, round(settings.fg_fraction * wanted), rng)
    background = (most < settings.bg_thresh_hi) & (most >= settings.bg_thresh_lo)
    background = at_most(np.flatnonzero(background), wanted - len(foreground), rng)
    chosen = np.concatenate([foreground, background])
    count = len(foreground)

    labels = np.zeros(len(chosen), int)
    labels[:count] = truths[nearest[foreground], 4]
    codes = boxes.encode(rois[foreground], truths[nearest[foreground]])
    codes = (codes - settings.bbox_normalize_means) / np.array(settings.bbox_normalize_stds)
    targets, weights = np.zeros((2, len(chosen), settings.num_classes, 4))
    targets[np.arange(count), labels[:count]] = codes
    weights[np.arange(count), labels[:count]] = 1
    return [rois[chosen], labels, *(each.reshape(len(chosen), -1) for each in (targets, weights))]
