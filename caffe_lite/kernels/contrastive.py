"""Losses of distances: own ones should be small, others large."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class ContrastiveRules(NamedTuple):
    """What GeneralContrastiveLoss is told."""

    positive_margin: float
    negative_margin: float
    positive_weight: float
    negative_weight: float
    positive_bound: float
    """Own distances are cut to it."""
    negative_norm: float | None
    """What slopes of other distances are to add up to, as a multiple of their number of items."""
    worst_positive: bool
    worst_negative: bool
    positive_first_above: float | None
    """An own distance above it is learned alone."""
    exponential: bool


class TripletRules(NamedTuple):
    """What GeneralTripletLoss is told."""

    margin: float
    positive_weight: float
    negative_weight: float
    hardest: bool
    always_pull: bool
    positive_first_above: float | None


def contrastive(d, labels, rules, values, slopes):
    """What each distance adds to the loss, and which way it should go.

    Own distances add what they are above the positive margin; others what they are below the
    negative one, or exp(-d) there.  d, values, slopes: (M, C).  labels: (M,).
    """
    items = np.arange(len(d))
    own = d[items, labels]
    near = d < rules.negative_margin
    near[items, labels] = False
    weight = rules.negative_weight
    strength = np.exp(-d) if rules.exponential else rules.negative_margin - d
    values[...] = np.where(near, strength * weight, 0)
    slopes[...] = np.where(near, -strength * weight if rules.exponential else -weight, 0)
    pull = np.clip(own - rules.positive_margin, 0, rules.positive_bound) * rules.positive_weight
    values[items, labels] = pull
    pulled = (own > rules.positive_margin) & (own < rules.positive_bound)
    if rules.worst_negative:
        left_out = _all_but_the_worst(values, near)
        left_out[items, labels] = False
        values[left_out] = slopes[left_out] = 0
    alone = _learned_alone(own, rules.positive_first_above)
    values[alone] = slopes[alone] = 0
    values[items[alone], labels[alone]] = pull[alone]
    if rules.worst_positive:
        left_out = items != pull.argmin()  # the fork keeps the one that is closest
        values[items[left_out], labels[left_out]] = 0
        pulled &= ~left_out
    _normalize_negatives(rules, slopes)
    slopes[items, labels] = np.where(pulled | alone, rules.positive_weight, 0)


def _all_but_the_worst(values, near):
    """Marks all columns but the largest of each row: of those that are near, and of column 0."""
    candidates = np.where(near, values, -np.inf)
    candidates[:, 0] = values[:, 0]
    marked = np.ones(values.shape, bool)
    marked[np.arange(len(values)), candidates.argmax(axis=1)] = False
    return marked


def _learned_alone(own, above):
    return np.zeros(len(own), bool) if above is None else own > above


def _normalize_negatives(rules, slopes):
    """Where `slopes` has those of other distances only: no more than their norm."""
    if rules.negative_norm is not None:
        total = abs(float(slopes.sum()))
        total = total / rules.negative_norm / len(slopes) if rules.negative_norm else np.inf
        if total > rules.positive_weight:
            slopes /= slopes.dtype.type(total)


def triplets(d, labels, rules, values, slopes):
    """As `contrastive`: others add what they are below the own distance and a margin."""
    items = np.arange(len(d))
    own = d[items, labels]
    gap = np.maximum(own[:, None] + rules.margin - d, 0)
    gap[items, labels] = 0
    if rules.hardest:
        hardest = gap.argmax(axis=1)
        kept = gap[items, hardest]
        gap.fill(0)
        gap[items, hardest] = kept
    alone = _learned_alone(own, rules.positive_first_above)
    gap[alone] = 0
    np.multiply(gap, rules.negative_weight, out=values)
    slopes[...] = np.where(gap > 0, -rules.negative_weight, 0)
    pulled = (gap > 0).any(axis=1) | alone | rules.always_pull
    slopes[items, labels] = np.where(pulled, rules.positive_weight, 0)


def triplet_loss(a, p, n, margin, active):
    """active[m] = max(margin + |a - p|^2 - |a - n|^2, 0).  a, p, n: (M, K).  active: (M,)."""
    nearer, farther = a - p, a - n
    active[...] = np.einsum("mk,mk->m", nearer, nearer)
    active -= np.einsum("mk,mk->m", farther, farther)
    np.maximum(active + margin, 0, out=active)


def triplet_backward(x, y, active, scale, dx):
    """dx = scale (x - y) for the items that are active, 0 for the others.

    x, y, dx: (M, K).  active: (M,).
    """
    np.subtract(x, y, out=dx)
    dx *= np.where(active >= 1e-9, scale, 0)[:, None].astype(dx.dtype)
