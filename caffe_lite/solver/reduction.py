"""Gradients averaged over the ranks of a group, while backward goes on."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.blob import CHANGES, Array, Storage
from caffe_lite.distributed import Group, Request
from caffe_lite.net.net import Net

BUCKET = 4 << 20
"""Bytes of gradients from which on a bucket is sent: large enough that the network is busy, small
enough that the first is under way soon."""


class Reduction:
    """The gradients of a net's parameters, averaged over ranks.

    They lie in one array, in the order in which backward completes them: the last layers first.  A
    stretch of that array is a bucket.  When the last gradient of a bucket is complete, its sum
    over all ranks is begun, while backward goes on.  MPI adds in an order that depends on the
    number of ranks alone, so that a run equals the next one to the bit.
    """

    def __init__(self, group: Group, net: Net) -> None:
        self._group = group
        self._net = net
        self._requests: list[Request] = []
        complete = _completion(net)
        order = sorted(complete, key=lambda memory: -complete[memory])
        self._gradients: Array = np.zeros(sum(_count(net, each) for each in order), net.dtype)
        self._buckets: list[tuple[int, Array]] = []  # the layer that completes it
        begin = at = 0
        for memory in order:
            count = _count(net, memory)
            place = self._gradients[at : at + count]
            place[: memory.array.size] = memory.array[:count]
            memory.array = place
            at += count
            if (at - begin) * self._gradients.itemsize >= BUCKET or memory is order[-1]:
                self._buckets.append((complete[memory], self._gradients[begin:at]))
                begin = at
        self._next = len(self._buckets)  # the bucket to begin: none, but in a last backward
        CHANGES.note()
        net.runner.hooks.gradients_ready.append(self._layer_done)

    def begin(self) -> None:
        """The backward that comes next adds the last gradients of an iteration."""
        self._next = 0

    def _layer_done(self, layer: int) -> None:
        """Backward is done with this layer and all after it."""
        while self._next < len(self._buckets) and layer <= self._buckets[self._next][0]:
            self._requests.append(self._group.start_adding(self._buckets[self._next][1]))
            self._next += 1
        for request in self._requests[-2:]:  # MPI works on them when it is called
            request.Test()

    def finish(self) -> None:
        """Wait for the sums, and divide them by the number of ranks."""
        for request in self._requests:
            request.Wait()
        self._requests.clear()
        self._gradients *= self._gradients.dtype.type(1 / self._group.size)


def _completion(net: Net) -> dict[Storage, int]:
    """The memories of the gradients that backward computes: the first layer that adds to each."""
    found: dict[Storage, int] = {}
    for index in reversed(range(len(net.layers))):
        for blob, wanted in zip(net.layers[index].blobs, net.plan.params[index], strict=False):
            if wanted:
                found[blob.diff_memory] = index
    return found


def _count(net: Net, memory: Any) -> int:
    return next(each.blob.count for each in net.learnable if each.blob.diff_memory is memory)
