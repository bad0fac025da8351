"""Connectionist temporal classification: labels without a place in time (Graves et al. 2006).

T steps of N sequences give C scores each, one of them that of the blank.  A path, one class for
each step, stands for the labels that are left when repeated classes are merged and blanks dropped.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel


def ctc_loss(scores, labels, lengths, blank, costs, dx):
    """costs = -log of the probability of all paths that stand for a sequence's labels.

    dx = its gradient by the scores, of which a softmax makes probabilities.  Labels that have no
    path, because there are too few steps, cost 0 and have no gradient, as in Baidu's warp-ctc.

    scores, dx: (T, N, C).  labels: whole numbers (N, L), of which the first `lengths` (N,) count.
    costs: float64 (N,).
    """
    steps, items, _ = scores.shape
    work = steps * items * (2 * labels.shape[1] + 1)
    launch(_ctc_items, items, 16 * work + scores.size, scores, labels, lengths, blank, costs, dx)


@jit
def _log_sum(a, b):
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    if low == -np.inf:
        return high
    return high + np.log1p(np.exp(low - high))


@jit
def _reached(row, s, extended, blank):
    """What reaches state s from the step before: itself, the last one, the one before a blank."""
    total = row[s]
    if s > 0:
        total = _log_sum(total, row[s - 1])
    if s > 1 and extended[s] != blank and extended[s] != extended[s - 2]:
        total = _log_sum(total, row[s - 2])
    return total


@parallel
def _ctc_items(first, last, scores, labels, lengths, blank, costs, dx):
    """A task is one sequence."""
    steps, _, classes = scores.shape
    for n in range(first, last):
        length, repeats = lengths[n], 0
        states = 2 * length + 1
        extended = np.full(states, blank)
        for i in range(length):
            extended[2 * i + 1] = labels[n, i]
            repeats += i > 0 and labels[n, i] == labels[n, i - 1]
        costs[n] = 0.0
        if length + repeats > steps:
            for t in range(steps):
                for c in range(classes):
                    dx[t, n, c] = 0
            continue
        log_p = np.empty((steps, classes))
        for t in range(steps):
            greatest, total = scores[t, n].max(), 0.0
            for c in range(classes):
                log_p[t, c] = scores[t, n, c] - greatest
                total += np.exp(log_p[t, c])
            for c in range(classes):
                log_p[t, c] -= np.log(total)
        before, after = np.full((steps, states), -np.inf), np.full((steps, states), -np.inf)
        for s in range(min(2, states)):
            before[0, s] = log_p[0, extended[s]]
            after[steps - 1, states - 1 - s] = 0.0
        for t in range(1, steps):
            for s in range(states):
                reached = _reached(before[t - 1], s, extended, blank)
                before[t, s] = reached + log_p[t, extended[s]]
        spoken = np.empty(states)
        for t in range(steps - 2, -1, -1):
            for s in range(states):
                spoken[s] = after[t + 1, s] + log_p[t + 1, extended[s]]
            for s in range(states):
                total = spoken[s]
                if s + 1 < states:
                    total = _log_sum(total, spoken[s + 1])
                if s + 2 < states and extended[s + 2] != blank and extended[s + 2] != extended[s]:
                    total = _log_sum(total, spoken[s + 2])
                after[t, s] = total
        found = before[steps - 1, states - 1]
        if states > 1:
            found = _log_sum(found, before[steps - 1, states - 2])
        costs[n] = -found
        for t in range(steps):
            for c in range(classes):
                dx[t, n, c] = np.exp(log_p[t, c])
            for s in range(states):
                share = np.exp(before[t, s] + after[t, s] - found)
                dx[t, n, extended[s]] -= share


@jit
def edit_distance(a, b):
    """The least number of insertions, deletions and changes that lead from a to b."""
    row = np.arange(b.size + 1)
    for i in range(a.size):
        diagonal, row[0] = row[0], i + 1
        for j in range(b.size):
            changed = diagonal + (a[i] != b[j])
            diagonal = row[j + 1]
            row[j + 1] = min(changed, diagonal + 1, row[j] + 1)
    return row[b.size]
