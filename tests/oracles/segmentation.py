"""Segmentation, pixel by pixel."""

from __future__ import annotations

import numpy as np


def seg_accuracy(ignored=()):
    """Pixels right, mean recall, mean intersection over union."""

    def run(x, label):
        classes = x.shape[1]
        label = label.reshape(x.shape[0], *x.shape[2:])
        pairs = []
        for n, *at in np.ndindex(*label.shape):
            scores = x[(n, slice(None), *at)]
            found = max(range(classes), key=lambda c: (scores[c], c))
            if label[(n, *at)] not in ignored:
                pairs.append((int(label[(n, *at)]), found))
        return measured(pairs, classes)

    return run


def measured(pairs, classes):
    """The three measures of pairs (class that is there, class that is found)."""
    recalls, overlaps = [], []
    for c in range(classes):
        there = {i for i, pair in enumerate(pairs) if pair[0] == c}
        found = {i for i, pair in enumerate(pairs) if pair[1] == c}
        if there:
            recalls.append(len(there & found) / len(there))
        overlaps.append(len(there & found) / len(there | found) if there | found else 1.0)
    right = np.mean([a == b for a, b in pairs]) if pairs else 0.0
    recall = np.mean(recalls) if recalls else 0.0
    return np.array([right, recall, np.mean(overlaps)]).reshape(1, 1, 1, 3)
