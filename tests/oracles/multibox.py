"""The loss of a single-shot detector, box by box.

`Settings` has the settings; a test of the oracle gives a wrong one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import exp, inf, log, log1p

import numpy as np

from tests.oracles.boxes import moved, overlap, shift_to, suppressed


@dataclass(frozen=True)
class Settings:
    classes: int
    code: str = "CORNER"
    shared: bool = True
    alone: bool = False  # match_type BIPARTITE
    threshold: float = 0.5
    by_prior: bool = True
    inside: bool = False  # ignore_cross_boundary_bbox
    background: int = 0
    difficult: bool = True
    mining: str = "MAX_NEGATIVE"
    ratio: float = 3
    near: float = 0.5  # neg_overlap
    sample: int = 64
    nms: tuple[float, int] | None = None
    nms_by_prior: bool = False
    squared: bool = False  # loc_loss_type L2
    logistic: bool = False
    weight: float = 1
    in_target: bool = False
    bp_inside: bool = False
    agnostic: bool = False
    normalizer: str = "VALID"
    parts: tuple[bool, bool] = (True, True)
    objectness: float = 0.01


def read_truths(rows, s):
    """For each item, its truths (label, box)."""
    truths = {}
    for item, label, _, *box, difficult in rows.reshape(-1, 8):
        if item == -1 or (difficult and not s.difficult):
            continue
        label = min(int(label), 1) if s.classes == 2 else int(label)
        truths.setdefault(int(item), []).append((label, box))
    return truths


def matched(boxes, truths, s):
    """For each box the number of its truth, None or "out", and its greatest overlap."""
    overlaps = [[overlap(box, truth) for _, truth in truths] for box in boxes]
    answer = [None] * len(boxes)
    for i, box in enumerate(boxes):
        if s.inside and (min(box) < 0 or max(box) > 1):
            answer[i] = "out"
    waiting = set(range(len(truths)))
    while True:
        pairs = [
            (-overlaps[i][j], i, j)
            for i in range(len(boxes))
            for j in waiting
            if answer[i] is None and overlaps[i][j] > 1e-6
        ]
        if not pairs:
            break
        _, i, j = min(pairs)
        answer[i] = j
        waiting.remove(j)
    for i in range(len(boxes)):
        nearest = max(overlaps[i], default=0)
        if answer[i] is None and not s.alone and nearest > 1e-6 and nearest >= s.threshold:
            answer[i] = overlaps[i].index(nearest)
    return answer, [max(each, default=0) for each in overlaps]


def class_loss(scores, target, s):
    """target: a label, or a list of C numbers."""
    if not s.logistic:
        largest = max(scores)
        total = sum(exp(x - largest) for x in scores)
        return log(total) - (scores[target] - largest)
    if isinstance(target, int):
        target = [float(c == target) for c in range(s.classes)]
    return sum(max(x, 0) - x * t + log1p(exp(-abs(x))) for x, t in zip(scores, target))


def distance(shift, prior, variance, box, s):
    right = shift_to(prior, box, s.code)
    scale = [1] * 4 if s.in_target else variance
    here = prior if s.by_prior else moved(prior, np.multiply(shift, scale), s.code)
    total = 0.0
    for k in range(4):
        d = (shift[k] - right[k] / scale[k]) / (variance[k] if s.in_target else 1)
        if s.bp_inside and not 0 <= here[k] <= 1:
            d = 0
        total += d * d / 2 if s.squared or abs(d) < 1 else abs(d) - 0.5
    return total


class Item:
    """One item of a batch."""

    def __init__(self, shifts, scores, prior, truths, refined, s):
        self.shifts, self.scores, self.truths, self.s = shifts, scores, truths, s
        self.first, self.variance = prior
        self.priors = self.first
        self.has_object = [True] * len(self.first)
        if refined:
            self.has_object = [pair[1] >= s.objectness for pair in refined[0].reshape(-1, 2)]
        if len(refined) > 1:
            self.priors = self.decoded(refined[1].reshape(-1, 4))

    def decoded(self, shifts):
        scale = np.ones_like(self.variance) if self.s.in_target else self.variance
        return [moved(p, d * v, self.s.code) for p, d, v in zip(self.first, shifts, scale)]

    def positives(self):
        """(box, truth, location) of each match, where nothing is mined."""
        s = self.s
        if s.shared or s.by_prior:
            boxes = self.priors if s.by_prior else self.decoded(self.shifts[:, 0])
            found, _ = matched(boxes, self.truths, s)
            pairs = [(i, j) for i, j in enumerate(found) if isinstance(j, int)]
            return [(i, j, 0 if s.shared else self.truths[j][0]) for i, j in pairs]
        answer = []
        for label in range(s.classes):
            own = [j for j, truth in enumerate(self.truths) if truth[0] == label]
            boxes = self.decoded(self.shifts[:, label])
            found, _ = matched(boxes, [self.truths[j] for j in own], s)
            answer += [(i, own[j], label) for i, j in enumerate(found) if isinstance(j, int)]
        return answer

    def mined(self):
        """The matches that count, and the boxes mined for background."""
        s = self.s
        if not self.truths:
            return [], []
        boxes = self.priors if s.by_prior else self.decoded(self.shifts[:, 0])
        found, overlaps = matched(boxes, self.truths, s)
        hard = s.mining == "HARD_EXAMPLE"
        losses = []
        for i, j in enumerate(found):
            label = self.truths[j][0] if isinstance(j, int) else s.background
            loss = class_loss(self.scores[i], label, s)
            if hard and isinstance(j, int):
                loss += self.distance(i, j, 0, self.first)
            losses.append(loss)
        able = [
            i
            for i in range(len(boxes))
            if self.has_object[i] and (hard or (found[i] is None and overlaps[i] < s.near))
        ]
        matches = sum(isinstance(j, int) for j in found)
        count = s.sample if hard else int(matches * s.ratio)
        chosen = sorted(able, key=lambda i: -losses[i])
        if s.nms is not None:
            chosen = self.apart(chosen, losses)
        chosen = set(chosen[:count])
        positives = [
            (i, j, 0)
            for i, j in enumerate(found)
            if isinstance(j, int) and (not hard or i in chosen)
        ]
        return positives, [i for i in chosen if found[i] is None]

    def apart(self, order, losses):
        threshold, most = self.s.nms
        boxes = self.first if self.s.nms_by_prior else self.decoded(self.shifts[:, 0])
        order = [
            i
            for i in order[:most]
            if (boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1]) >= 1e-5
        ]
        own, worst = [boxes[i] for i in order], [losses[i] for i in order]
        return [order[k] for k in suppressed(own, worst, -inf, threshold, -1)]

    def distance(self, box, truth, location, priors):
        shift, variance = self.shifts[box, location], self.variance[box]
        return distance(shift, priors[box], variance, self.truths[truth][1], self.s)


def all_class_losses(items, positives, s):
    """Where nothing is mined: the classes of all boxes count."""
    boxes = len(items[0].scores)
    if not s.logistic:
        labels = np.full((len(items), boxes), s.background)
        for n, found in enumerate(positives):
            for i, j, _ in found:
                labels[n, i] = 1 if s.agnostic else items[n].truths[j][0]
        return sum(
            class_loss(item.scores[i], int(labels[n, i]), s)
            for n, item in enumerate(items)
            for i in range(boxes)
        )
    targets = np.full(len(items) * boxes * s.classes, float(s.background))
    for n, found in enumerate(positives):
        for i, j, _ in found:
            targets[n * boxes + i * s.classes + items[n].truths[j][0]] = 1
    scores = np.concatenate([item.scores for item in items])
    rows = targets.reshape(-1, s.classes)
    return sum(class_loss(x, list(t), s) for x, t in zip(scores, rows))


def mined_class_losses(items, positives, negatives, s):
    total = 0.0
    for item, found, mined in zip(items, positives, negatives):
        labels = [(i, 1 if s.agnostic else item.truths[j][0]) for i, j, _ in found]
        for i, label in [*labels, *((i, s.background) for i in mined)]:
            target = label
            if s.logistic:
                target = [1.0 if c == label else float(s.background) for c in range(s.classes)]
            total += class_loss(item.scores[i], target, s)
    return total


def multibox_loss(location, confidence, prior, truths, *refined, s, count=None):
    """count: a Counter that gets the numbers of matches and of mined boxes."""
    n, boxes = len(location), prior.shape[2] // 4
    of_item = read_truths(truths, s)
    items = [
        Item(
            location[k].reshape(boxes, -1, 4),
            confidence[k].reshape(boxes, s.classes),
            prior.reshape(2, boxes, 4),
            of_item.get(k, []),
            [each[k] for each in refined],
            s,
        )
        for k in range(n)
    ]
    if s.mining == "NONE":
        positives, negatives = [item.positives() for item in items], []
        classes = all_class_losses(items, positives, s)
    else:
        positives, negatives = zip(*(item.mined() for item in items))
        classes = mined_class_losses(items, positives, negatives, s)
    near = sum(
        item.distance(*match, item.priors)
        for item, found in zip(items, positives)
        for match in found
    )
    matches = sum(map(len, positives))
    if count is not None:
        count.update(Counter(matches=matches, mined=sum(map(len, negatives))))
    divisors = {"VALID": matches, "FULL": n * boxes, "BATCH_SIZE": n, "NONE": 1}
    total = s.weight * near * s.parts[0] + classes * s.parts[1]
    return np.array(total / max(1, divisors[s.normalizer]))
