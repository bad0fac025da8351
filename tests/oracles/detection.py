"""The detections of a batch, box by box."""

from __future__ import annotations

import numpy as np

from tests.oracles.boxes import moved, suppressed


def detection_output(
    location,
    confidence,
    prior,
    *refined,
    classes,
    code="CORNER",
    shared=True,
    background=0,
    floor=-np.inf,
    threshold=0.3,
    most=-1,
    keep=-1,
    eta=1.0,
    in_target=False,
    clip=False,
    objectness=None,
):
    """refined: RefineDet's objectness and the shifts of its first stage."""
    items, sets = len(location), 1 if shared else classes
    location = location.reshape(items, -1, sets, 4)
    confidence = confidence.reshape(items, -1, classes).copy()
    if objectness is not None:
        for item, box in np.argwhere(refined[0].reshape(items, -1, 2)[..., 1] < objectness):
            confidence[item, box] = [1.0] + [0.0] * (classes - 1)
    rows = []
    for item in range(items):
        origin, variance = prior[item % len(prior)].reshape(2, -1, 4)
        if in_target:
            variance = np.ones_like(variance)
        if len(refined) > 1:
            first = refined[1][item].reshape(-1, 4)
            origin = [moved(p, s * v, code) for p, s, v in zip(origin, first, variance)]
        found = []
        for label in set(range(classes)) - {background}:
            shifts = location[item, :, label % sets]
            boxes = [moved(p, s * v, code) for p, s, v in zip(origin, shifts, variance)]
            if clip:
                boxes = [np.clip(box, 0, 1) for box in boxes]
            scores = confidence[item, :, label]
            for i in suppressed(boxes, scores, floor, threshold, most, eta):
                found.append((item, label, scores[i], *boxes[i]))
        found.sort(key=lambda row: -row[2])
        rows += sorted(found[: keep if keep >= 0 else None], key=lambda row: (row[1], -row[2]))
    if not rows:
        rows = [[item] + [-1] * 6 for item in range(items)]
    return np.array(rows, float).reshape(1, 1, -1, 7)
