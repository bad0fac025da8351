"""Adding arrays of many ranks, message by message: who has what, and what time it is there.

A rank sends one message and receives one at the same time.  A message begins when both ranks are
ready for it, and takes `seconds(source, target, size)`; adding takes `gamma` for each byte.
"""

from __future__ import annotations

import numpy as np

WIDTH = 8  # bytes of a number


class Ranks:
    """The ranks' arrays of whole numbers, and their clocks."""

    def __init__(self, arrays, seconds, gamma):
        self.arrays = [np.array(array) for array in arrays]
        self.clocks = [0.0] * len(arrays)
        self._seconds = seconds
        self._gamma = gamma

    def exchange(self, messages, adds):
        """Messages (source, target, part) that go at the same time; `part` is a slice."""
        begun, ended = list(self.clocks), list(self.clocks)
        sent = [self.arrays[source][part].copy() for source, _, part in messages]
        for (source, target, part), values in zip(messages, sent, strict=True):
            size = WIDTH * len(values)
            end = max(begun[source], begun[target]) + self._seconds(source, target, size)
            ended[source] = max(ended[source], end)
            if adds:
                self.arrays[target][part] += values
                end += size * self._gamma
            else:
                self.arrays[target][part] = values
            ended[target] = max(ended[target], end)
        self.clocks = ended


def ring(ranks):
    """Parts go around twice: they are added up, then the sums are copied."""
    count = len(ranks.arrays)
    length = len(ranks.arrays[0]) // count
    parts = [slice(i * length, (i + 1) * length) for i in range(count)]
    for adds in (True, False):
        for turn in range(count - 1):
            first = -turn if adds else 1 - turn
            messages = [(i, (i + 1) % count, parts[(i + first) % count]) for i in range(count)]
            ranks.exchange(messages, adds)


def tree(ranks, members=None):
    """A binomial tree of these ranks adds to the first of them, and gives back the sum."""
    members = list(range(len(ranks.arrays))) if members is None else members
    whole = slice(None)
    distance, levels = 1, []
    while distance < len(members):
        pairs = [
            (members[i + distance], members[i])
            for i in range(0, len(members) - distance, 2 * distance)
        ]
        ranks.exchange([(child, parent, whole) for child, parent in pairs], True)
        levels.append(pairs)
        distance *= 2
    for pairs in reversed(levels):
        ranks.exchange([(parent, child, whole) for child, parent in pairs], False)


def step(backward, gradients, limit, reduction):
    """When the last gradients are reduced, tick by tick; all times are whole numbers of ticks.

    `backward` and `gradients` are in the order of backward; `reduction(size)` is in ticks.
    """
    waiting, bucket, layer, time = [], 0, 0, 0
    left_of_layer, left_of_reduction, finished = backward[0], 0, 0
    while layer < len(backward) or waiting or left_of_reduction:
        while layer < len(backward) and left_of_layer == 0:  # layers that end now
            bucket += gradients[layer]
            if gradients[layer] and bucket >= limit:
                waiting.append(bucket)
                bucket = 0
            layer += 1
            if layer < len(backward):
                left_of_layer = backward[layer]
            elif bucket:
                waiting.append(bucket)
                bucket = 0
        if not left_of_reduction and waiting:
            left_of_reduction = reduction(waiting.pop(0))
        if left_of_reduction:
            left_of_reduction -= 1
            finished = time + 1
        if layer < len(backward):
            left_of_layer -= 1
        time += 1
    return finished
