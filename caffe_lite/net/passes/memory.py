"""Blobs that share memory, for programs that read only a net's inputs, outputs and weights.

The data and the diff of a blob are in use from when a layer writes them until the last layer has
read them.  Those whose times do not overlap may use the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import huge_pages
from caffe_lite.blob import CHANGES, Array, Blob, Storage
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.limits import Budget
from caffe_lite.net.link import Link
from caffe_lite.net.passes.fuse import Fusion
from caffe_lite.net.passes.plan import Plan

ALIGNMENT = 64
"""Bytes: a cache line, and the longest vector."""


@dataclass
class Life:
    """When a piece of memory is in use.

    With n layers, times 0 to n - 1 are their forwards, times n to 2 n - 1 their backwards, from
    the last layer to the first.  Within one time, reading comes before writing.
    """

    count: int = 0
    """How many elements it holds at most."""
    first: int = -1
    last: int = -1
    pause: tuple[int, int] | None = None
    """The last time before, and the first time after, a pause in which its values are not kept."""
    lasting: bool = False
    """Whether it is read between runs, or before any layer has written it."""
    offset: int = field(default=0, compare=False)
    """Where it begins in the shared array, in elements."""

    def write(self, time: int) -> None:
        """A layer overwrites all of it."""
        if self.first < 0:
            self.first = time
        self.last = max(self.last, time)

    def read(self, time: int) -> None:
        """A layer reads it."""
        self.lasting = self.lasting or self.first < 0
        self.last = max(self.last, time)

    def include(self, other: Life) -> None:
        """It also holds what `other`, a part of it, holds."""
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)

    def spans(self) -> list[tuple[int, int]]:
        """The first and the last time of each period of use."""
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
    """When the data, and when the diffs, of all blobs are in use."""
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
        for blob in watched(link):
            data[blob.data_memory].lasting = diffs[blob.diff_memory].lasting = True
    for index in reversed(range(len(links))) if backward else ():
        if plan.layers[index] and any(plan.bottoms[index][:1]):
            _go_back_in_place(links[index], 2 * len(links) - 1 - index, diffs)
    return data, diffs


def _go_back_in_place(link: Link, time: int, diffs: Lives) -> None:
    """Let the diff of bottom 0 be stored over that of top 0, where the layer's backward can.

    time: of its backward.
    """
    layer, bottom, top = link
    if not layer.goes_back_in_place or bottom[0].count != top[0].count:
        return
    above, below = diffs[top[0].diff_memory], diffs[bottom[0].diff_memory]
    if above.lasting or below.lasting or not 0 <= above.first < below.first == time:
        return
    above.count, above.last = max(above.count, below.count), below.last
    diffs.update({memory: above for memory, life in diffs.items() if life is below})


def _read_in_backward(link: Link) -> Iterator[Blob]:
    reads = link.layer.backward_reads
    if reads & Reads.BOTTOM:
        yield from link.bottom
    if reads & (Reads.TOP | Reads.TOP_SIGN):
        yield from link.top


def watched(link: Link) -> Iterator[Blob]:
    """Blobs that are read or written by more than the net's layers.

    Inputs; losses; all blobs of a user's own layer, or of a layer whose tops' shapes depend on
    data.
    """
    layer = link.layer
    if not link.bottom or layer.dynamic or layer.type == "Python":
        yield from link.bottom
        yield from link.top
    for blob, weight in zip(link.top, layer.loss_weights, strict=False):
        if weight:
            yield blob


def _buffers(
    links: Sequence[Link],
    plan: Plan,
    fusions: Sequence[Fusion],
    dtype: np.dtype[Any],
    backward: bool,
) -> Iterator[tuple[Layer, str, Array, Life]]:
    """The layers' buffers and when they are in use: from a layer's forward to its backward.

    Those of fused layers are written as soon as the first of these layers runs.  Workspace pauses
    from the last of these layers until its backward.
    """
    fused = {index: fusion.forward_layers for fusion in fusions for index in fusion.forward_layers}
    for time, link in enumerate(links):
        layer, backward_time = link.layer, 2 * len(links) - 1 - time
        if not link.bottom or layer.dynamic or layer.type == "Python":
            continue
        together = fused.get(time, (time,))
        for name, buffer in layer.declared_buffers.items():
            if buffer.lasting or (buffer.backward_only and not layer.goes_backward):
                continue
            array: Array = getattr(layer.buf, name)
            life = Life(-(-array.nbytes // dtype.itemsize), together[0], time)
            if backward and plan.layers[time]:
                life.last = backward_time
                if not buffer.kept:
                    life.pause = together[-1], 2 * len(links) - 1 - together[-1]
            yield layer, name, array, life


def share_workspaces(layers: Sequence[Layer]) -> None:
    """Give all layers' workspaces the same memory, as the layers run one after another.

    Several of one layer, which it uses at a time, lie one after the other.
    """
    ends = {}
    for layer in layers:
        end = 0
        for name, buffer in layer.declared_buffers.items():
            if not buffer.kept:
                size = getattr(layer.buf, name).nbytes
                ends[layer, name] = end + size
                end += -(-size // ALIGNMENT) * ALIGNMENT
    workspace = huge_pages.zeros(max(ends.values(), default=0), np.uint8)
    for (layer, name), end in ends.items():
        old = getattr(layer.buf, name)
        mine = workspace[end - old.nbytes : end]
        setattr(layer.buf, name, mine.view(old.dtype).reshape(old.shape))


def place(items: Sequence[Life], alignment: int) -> int:
    """Give each life an offset, so that those that meet do not overlap; returns the size needed.

    One after the other, each at the lowest offset where it fits (Pisarchyk and Lee 2020,
    arXiv:2001.03288): in each of the orders, of which the one that needs least is taken.
    `alignment`, offsets and size are in elements.
    """
    sizes = [_place_in_order(items, order, alignment) for order in _ORDERS]
    best = min(range(len(sizes)), key=sizes.__getitem__)
    return _place_in_order(items, _ORDERS[best], alignment)


def _largest_first(life: Life) -> int:
    return -life.count


def _longest_first(life: Life) -> int:
    return -sum(last - first for first, last in life.spans())


_ORDERS = _largest_first, _longest_first


def _place_in_order(items: Sequence[Life], order: Callable[[Life], int], alignment: int) -> int:
    """`place` in one order."""
    placed: list[Life] = []
    for item in sorted(items, key=order):
        item.offset = 0
        meeting = (life for life in placed if life.meets(item))
        for other in sorted(meeting, key=lambda life: life.offset):
            if item.offset + item.count <= other.offset:
                break
            end = other.offset + other.count
            item.offset = max(item.offset, -(-end // alignment) * alignment)
        placed.append(item)
    return max((item.offset + item.count for item in items), default=0)


@dataclass
class Arrangement:
    """The places of blobs and of the layers' buffers in one array."""

    shared: Lives
    """The data and the diffs of blobs."""
    buffers: list[tuple[Layer, str, Array, Life]]
    data: Lives
    """The data of all blobs, also of those that are not shared, but for `parts`."""
    parts: Mapping[Storage, Storage]
    """Data that lie in those of another blob, with these."""
    size: int
    """Of the array, in elements."""
    dtype: np.dtype[Any]

    def ask(self, budget: Budget) -> None:
        """Ask for the array, in the place of what budget was asked for its parts."""
        parts = (part for part, whole in self.parts.items() if whole in self.shared)
        apart = sum(map(budget.taken, (*self.shared, *parts)))
        apart += sum(a.nbytes for each, name, a, _ in self.buffers if _is_kept(each, name))
        together = self.size * self.dtype.itemsize
        budget.ask("shared memory", together - apart, "the memory that its blobs share")


def _is_kept(layer: Layer, name: str) -> bool:
    return layer.declared_buffers[name].kept


def arrange(
    links: Sequence[Link],
    plan: Plan,
    fusions: Sequence[Fusion],
    parts: Mapping[Storage, Storage],
    lasting: Collection[Blob],
    dtype: npt.DTypeLike,
    backward: bool,
) -> Arrangement:
    """Find a place for all blobs but `lasting`, and for the layers' buffers.

    parts: data that lie in those of another blob, with these.
    """
    data, diffs = lives(links, plan, backward)
    kept = {blob.data_memory for blob in lasting} | {blob.diff_memory for blob in lasting}
    for part, whole in parts.items():
        data[whole].include(data.pop(part))
        if part in kept:
            kept.add(whole)
    for link in links:
        kept.update(blob.data_memory for blob in link.layer.blobs)
        kept.update(blob.diff_memory for blob in link.layer.blobs)
    shared = {
        memory: life
        for memory, life in (*data.items(), *diffs.items())
        if life.first >= 0 and not life.lasting and memory not in kept
    }
    element = np.dtype(dtype)
    buffers = list(_buffers(links, plan, fusions, element, backward))
    lives_of_all = list({id(life): life for life in shared.values()}.values())
    lives_of_all += [life for *_, life in buffers]
    size = place(lives_of_all, ALIGNMENT // element.itemsize)
    return Arrangement(shared, buffers, data, parts, size, element)


def share(
    links: Sequence[Link],
    plan: Plan,
    fusions: Sequence[Fusion],
    parts: Mapping[Storage, Storage],
    lasting: Collection[Blob],
    dtype: npt.DTypeLike,
    backward: bool,
    budget: Budget,
) -> set[Storage]:
    """Store all blobs but `lasting` and `parts`, and the layers' buffers, in one array.

    Returns the memories of the data that a forward overwrites before it ends.  `budget` is told
    what that saves.
    """
    found = arrange(links, plan, fusions, parts, lasting, dtype, backward)
    found.ask(budget)
    arena = huge_pages.zeros(found.size, found.dtype)
    for memory, life in found.shared.items():
        memory.array = arena[life.offset : life.offset + life.count]
    CHANGES.note()
    for layer, name, array, life in found.buffers:
        part = arena[life.offset : life.offset + life.count].view(np.uint8)[: array.nbytes]
        setattr(layer.buf, name, part.view(array.dtype).reshape(array.shape))
    written = found.data.items()
    overwritten = {
        memory for memory, life in written if memory in found.shared and life.last < len(links)
    }
    return overwritten | {part for part, whole in parts.items() if whole in overwritten}
