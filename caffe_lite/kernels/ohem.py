"""Kernels of hard example mining: which items are trained on, and what each of them costs."""

from __future__ import annotations

import numpy as np


def hardest(groups, losses, most, chosen):
    """chosen = whether an item is among the `most` greatest losses of its group.

    Of equal losses the first in order counts as greater.  groups: (count,), whole numbers; losses:
    (count,); chosen: (count,) of bool.
    """
    order = np.argsort(-losses, kind="stable")
    order = order[np.argsort(groups[order], kind="stable")]
    in_order = groups[order]
    starts = np.searchsorted(in_order, in_order, side="left")
    chosen[order] = np.arange(len(order)) - starts < most


def sums_over_channels(x, y):
    """y[n, i] = sum_c x[n, c, i].  x: (N, C, inner); y: (N, inner)."""
    np.sum(x, axis=1, out=y)
