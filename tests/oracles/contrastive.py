"""Losses of distances, distance by distance: the loss, what each may add, the gradient."""

from __future__ import annotations

from math import exp

import numpy as np


def contrastive(
    d,
    label,
    positive_margin=0.0,
    negative_margin=1.0,
    positive_weight=1.0,
    negative_weight=1.0,
    outlier=4.0,
    norm=None,
    worst_negative=False,
    worst_positive=False,
    first_above=None,
    exponential=False,
):
    """The loss, the mean own pull, the mean push of others, the gradient of the loss."""
    d = d.reshape(len(d), -1)
    values, slopes = {}, np.zeros_like(d)
    pulls, pushes = [], 0.0
    for m, own in enumerate(label.ravel().astype(int)):
        pull = min(max(d[m, own] - positive_margin, 0), outlier)
        pulls.append(pull * positive_weight)
        values[m, own] = pull * positive_weight
        slopes[m, own] = positive_weight * (positive_margin < d[m, own] < outlier)
        for n in range(d.shape[1]):
            if n == own:
                continue
            values[m, n] = 0.0
            if d[m, n] < negative_margin:
                strength = exp(-d[m, n]) if exponential else negative_margin - d[m, n]
                values[m, n] = strength * negative_weight
                slopes[m, n] = -negative_weight * (strength if exponential else 1)
                pushes += negative_margin - d[m, n]
        if worst_negative:
            worst = 0  # the fork begins with the first, be it the own one
            for n in range(d.shape[1]):
                if n != own and d[m, n] < negative_margin and values[m, n] > values[m, worst]:
                    worst = n
            for n in set(range(d.shape[1])) - {own, worst}:
                values[m, n] = slopes[m, n] = 0
        if first_above is not None and d[m, own] > first_above:
            for n in set(range(d.shape[1])) - {own}:
                values[m, n] = slopes[m, n] = 0
    alone = [
        first_above is not None and d[m, int(n)] > first_above for m, n in enumerate(label.ravel())
    ]
    if worst_positive:
        for m, own in enumerate(label.ravel().astype(int)):
            if m != pulls.index(min(pulls)):
                values[m, own] = slopes[m, own] = 0
    for m, own in enumerate(label.ravel().astype(int)):
        if alone[m]:
            slopes[m, own] = positive_weight
    others = [(m, n) for m, n in values if n != int(label.ravel()[m])]
    if norm is not None:
        total = -sum(slopes[place] for place in others)
        total = total / norm / len(d) if norm else np.inf
        if total > positive_weight:
            for place in others:
                slopes[place] /= total
    loss = sum(abs(value) for value in values.values()) / len(d)
    pull = sum(pulls) / positive_weight / len(d)
    return loss, pull, pushes / len(d) / (d.shape[1] - 1), slopes / len(d)


def triplet(
    d,
    label,
    margin=0.2,
    positive_weight=1.0,
    negative_weight=1.0,
    hardest=False,
    always=True,
    first_above=None,
):
    """The loss, the mean own and other distance, the gradient that is passed down."""
    d = d.reshape(len(d), -1)
    loss, slopes = 0.0, np.zeros_like(d)
    own_sum = other_sum = 0.0
    for m, own in enumerate(label.ravel().astype(int)):
        gaps = {n: d[m, own] + margin - d[m, n] for n in range(d.shape[1]) if n != own}
        own_sum += d[m, own]
        other_sum += sum(d[m, n] for n in gaps)
        if first_above is not None and d[m, own] > first_above:
            slopes[m, own] = positive_weight
            continue
        if hardest:
            n = max(gaps, key=lambda n: gaps[n])
            gaps = {n: gaps[n]}
        for n, gap in gaps.items():
            if gap > 0:
                loss += gap * negative_weight
                slopes[m, n] = -negative_weight
        if always or any(gap > 0 for gap in gaps.values()):
            slopes[m, own] = positive_weight
    others = len(d) * (d.shape[1] - 1)
    return loss / len(d), own_sum / len(d), other_sum / others, slopes / len(d)


def triplet_loss(a, p, n, margin=1.0):
    def far(x, y):
        return sum((float(v) - float(w)) ** 2 for v, w in zip(x.ravel(), y.ravel()))

    return sum(max(margin + far(*x[:2]) - far(x[0], x[2]), 0) for x in zip(a, p, n)) / 2 / len(a)
