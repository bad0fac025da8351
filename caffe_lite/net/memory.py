"""Blobs that share memory, for programs that look at a net's inputs, outputs and weights only.

The data and the diff of a blob matter from when a layer writes them to when the last layer reads
them.  Those whose times do not meet may lie in one place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.blob import Array, Blob, Storage
from caffe_lite.layers.base import Layer, Reads
from caffe_lite.net.chains import Link
from caffe_lite.net.plan import Plan

ALIGNMENT = 64
"""Bytes: a cache line, and the longest vector."""


@dataclass
class Life:
    """When one memory is in use: with n layers, forward is times 0 to n - 1, backward the rest.

    Within a time, reading comes before writing.
    """

    count: int = 0
    """The most numbers that it holds."""
    first: int = -1
    last: int = -1
    pause: tuple[int, int] | None = None
    """When it is put down in between, and taken up again with nothing left in it."""
    lasting: bool = False
    """Somebody looks at it between runs, or reads what no layer has written."""
    at: int = field(default=0, compare=False)
    """Where it is placed, in numbers."""

    def write(self, time: int) -> None:
        """A layer overwrites all of it."""
        if self.first < 0:
            self.first = time
        self.last = max(self.last, time)

    def read(self, time: int) -> None:
        """A layer reads it."""
        self.lasting = self.lasting or self.first < 0
        self.last = max(self.last, time)

    def spans(self) -> list[tuple[int, int]]:
        """The times from which and up to which it is in use."""
        if self.pause is None:
            return [(self.first, self.last)]
        return [(self.first, self.pause[0]), (self.pause[1], self.last)]

    def meets(self, other: Life) -> bool:
        """Whether both are in use at some time."""
        return any(
            first <= other_last and other_first <= last
            for first, last in self.spans()
            for other_first, other_last in other.spans()
        )


Lives = dict[Storage, Life]


def lives(links: Sequence[Link], plan: Plan, backward: bool) -> tuple[Lives, Lives]:
    """When the data and the diffs of all blobs are in use."""
    data: Lives = {}
    diffs: Lives = {}
    for link in links:
        for blob in (*link.bottom, *link.top):
            for found, memory in ((data, blob.data_memory), (diffs, blob.diff_memory)):
                life = found.setdefault(memory, Life())
                life.count = max(life.count, blob.count)
    for time, link in enumerate(links):
        for blob in link.bottom:
            data[blob.data_memory].read(time)
        for blob in link.top:
            data[blob.data_memory].write(time)
    for index in reversed(range(len(links))) if backward else ():
        if plan.layers[index]:
            time = 2 * len(links) - 1 - index
            for blob in _read_in_backward(links[index]):
                data[blob.data_memory].read(time)
            for blob in links[index].top:
                diffs[blob.diff_memory].read(time)
            for blob, wanted in zip(links[index].bottom, plan.bottoms[index], strict=True):
                if wanted:
                    diffs[blob.diff_memory].write(time)
    for link in links:
        for blob in _watched(link):
            data[blob.data_memory].lasting = diffs[blob.diff_memory].lasting = True
    return data, diffs


def _read_in_backward(link: Link) -> Iterator[Blob]:
    reads = link.layer.backward_reads
    if reads & Reads.BOTTOM:
        yield from link.bottom
    if reads & (Reads.TOP | Reads.TOP_SIGN):
        yield from link.top


def _watched(link: Link) -> Iterator[Blob]:
    """Blobs that more than the net's layers look at.

    Those that come from outside; losses; whatever a user's own layer has, or a layer whose tops
    depend on data.
    """
    layer = link.layer
    if not link.bottom or layer.dynamic or layer.type == "Python":
        yield from link.bottom
        yield from link.top
    for blob, weight in zip(link.top, layer.loss_weights, strict=False):
        if weight:
            yield blob


def _buffers(
    links: Sequence[Link], plan: Plan, dtype: np.dtype[Any], backward: bool
) -> Iterator[tuple[Layer, str, Array, Life]]:
    """The layers' buffers and when they are in use: from a layer's forward to its backward.

    In a chain they are filled as soon as the chain's first layer runs.  Workspaces are put down
    when the chain has run.
    """
    steps = (*plan.steps.forward, *plan.steps.backward)
    begin = {index: step.layers[0] for step in plan.steps.forward for index in step.layers}
    end = dict.fromkeys(begin, 0)
    for step in steps:
        end.update({index: max(end[index], *step.layers) for index in step.layers})
    for time, link in enumerate(links):
        layer, backward_time = link.layer, 2 * len(links) - 1 - time
        if not link.bottom or layer.dynamic or layer.type == "Python":
            continue
        for name, array in vars(layer.buf).items():
            life = Life(-(-array.nbytes // dtype.itemsize), begin[time], time)
            if backward and plan.layers[time]:
                life.last = backward_time
                if name in layer.workspaces:
                    life.pause = end[time], 2 * len(links) - 1 - end[time]
            yield layer, name, array, life


def share_workspaces(layers: Sequence[Layer]) -> None:
    """Let the layers' workspaces lie in one place, as they are used one after another."""
    arrays = [(layer.buf, name) for layer in layers for name in layer.workspaces]
    sizes = [getattr(buffers, name).nbytes for buffers, name in arrays]
    room = np.empty(max(sizes, default=0), np.uint8)
    for (buffers, name), size in zip(arrays, sizes, strict=True):
        old = getattr(buffers, name)
        setattr(buffers, name, room[:size].view(old.dtype).reshape(old.shape))


def place(items: Sequence[Life], alignment: int) -> int:
    """Give each life its place, so that those that meet do not overlap; the numbers needed.

    The largest first, each as low as it fits (Pisarchyk and Lee 2020, arXiv:2001.03288).
    """
    placed: list[Life] = []
    for item in sorted(items, key=lambda life: -life.count):
        item.at = 0
        for other in sorted((life for life in placed if life.meets(item)), key=lambda o: o.at):
            if item.at + item.count <= other.at:
                break
            end = other.at + other.count
            item.at = max(item.at, -(-end // alignment) * alignment)
        placed.append(item)
    return max((item.at + item.count for item in items), default=0)


def share(
    links: Sequence[Link],
    plan: Plan,
    lasting: Collection[Blob],
    dtype: npt.DTypeLike,
    backward: bool,
) -> set[Storage]:
    """Let all blobs but `lasting`, and the layers' buffers, lie in one array.

    Returns the memories of data that do not even last through a forward.
    """
    data, diffs = lives(links, plan, backward)
    kept = {blob.data_memory for blob in lasting} | {blob.diff_memory for blob in lasting}
    for link in links:
        kept.update(blob.data_memory for blob in link.layer.blobs)
        kept.update(blob.diff_memory for blob in link.layer.blobs)
    shared = {
        memory: life
        for memory, life in (*data.items(), *diffs.items())
        if life.first >= 0 and not life.lasting and memory not in kept
    }
    number = np.dtype(dtype)
    buffers = list(_buffers(links, plan, number, backward))
    lives_of_all = [*shared.values(), *(life for *_, life in buffers)]
    arena = np.zeros(place(lives_of_all, ALIGNMENT // number.itemsize), number)
    for memory, life in shared.items():
        memory.array = arena[life.at : life.at + life.count]
    for layer, name, array, life in buffers:
        room = arena[life.at : life.at + life.count].view(np.uint8)[: array.nbytes]
        setattr(layer.buf, name, room.view(array.dtype).reshape(array.shape))
    return {memory for memory in data if memory in shared and data[memory].last < len(links)}
