"""The cross-entropy of two classes that weigh the same, however rare one of them is."""

from __future__ import annotations

import numpy as np


def balanced_cross_entropy_forward(x, target, total):
    """total = sum over the items of (n- sum+ + n+ sum-) / (n+ + n-).

    sum+ is the cross-entropy max(x, 0) - x target + log(1 + exp(-|x|)) of the n+ elements whose
    target is 1, sum- that of the n- elements whose target is 0.  An item without either gives no
    number.  x, target: (N, D).
    """
    entropy = np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))
    sums = [np.sum(entropy, axis=1, where=target == label, dtype=np.float64) for label in (0, 1)]
    negatives, positives = (np.count_nonzero(target == label, axis=1) for label in (0, 1))
    weighted = negatives * sums[1] + positives * sums[0]
    total[0] = np.sum(weighted / (positives + negatives))


def balanced_cross_entropy_backward(x, target, scale, dx):
    """dx = scale weight (sigmoid(x) - target): n- / (n+ + n-) weighs a 1, n+ / (n+ + n-) a 0.

    Elements with another target, which the loss does not count, have the weight 1, as in OSVOS.
    x, target, dx: (N, D).
    """
    negatives, positives = (np.count_nonzero(target == label, axis=1)[:, None] for label in (0, 1))
    both = np.maximum(positives + negatives, 1)
    weight = np.select([target == 1, target == 0], [negatives / both, positives / both], 1)
    sigmoid = 0.5 * (1 + np.tanh(0.5 * x))
    dx[...] = scale * weight * (sigmoid - target)
