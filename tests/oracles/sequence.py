"""Sequences and groups, step by step."""

from __future__ import annotations

import numpy as np


def reverse(axis):
    """The last step first."""

    def run(x):
        steps = np.moveaxis(x, axis, 0)
        return np.moveaxis(np.array(list(steps)[::-1]), 0, axis)

    return run


def continuation(steps, sequences):
    """0 where a sequence begins."""
    return np.array([[float(t > 0)] * sequences for t in range(steps)])


def batch_reduction(axis, operation="SUM", levels=(), k=1, pos=False):
    """Sum, mean, or mean of the k greatest; of a diagonal with `pos`."""

    def reduced(steps):
        if operation == "TOPK":
            return np.sort(steps, axis=0)[len(steps) - k :].mean(axis=0)
        return steps.mean(axis=0) if operation == "MEAN" else steps.sum(axis=0)

    def run(x):
        steps = np.moveaxis(x, axis, 0)
        if pos:
            square = np.moveaxis(steps, axis + 1, 1)
            steps = np.array([square[t, t] for t in range(len(square))])
        if not levels:
            return reduced(steps)
        parts, start = [], 0
        for level in levels:
            parts.append(reduced(steps[start : start + level * level]))
            start += level * level
        return np.stack(parts, axis=axis)

    return run
