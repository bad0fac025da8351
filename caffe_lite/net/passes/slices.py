"""Which bottoms of a layer that joins them are slices of its top, so that nothing is copied.

Concat copies its bottoms into its top.  Where a bottom lies whole in the top, as along the
channels of a single image, the two may use the same memory: whatever computes the bottom then
writes to its place in the top.  What a program reads is as before.  What it writes to one shows in
the other, so only nets that run only forward do this.

A slice is a matter of speed alone: the layer looks where its bottoms are, and copies those that
are not in their place, such as after a reshape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from caffe_lite.blob import CHANGES, Blob, Storage
from caffe_lite.layers.base import JoinsBottoms
from caffe_lite.layers.declarations import Reads
from caffe_lite.net.link import Link
from caffe_lite.net.passes.memory import watched


class Slice(NamedTuple):
    """A bottom of a layer that may be a slice of the layer's top."""

    link: Link
    number: int
    """Which bottom."""
    part: Storage
    whole: Storage

    def place(self) -> tuple[int, int] | None:
        """Where in the top its elements begin and end; None if it is no slice for these shapes."""
        layer, bottom, top = self.link
        blob = bottom[self.number]
        if blob.data_memory is not self.part or top[0].data_memory is not self.whole:
            return None  # a program has let them share other memory
        places = layer.places(bottom, top) if isinstance(layer, JoinsBottoms) else []
        return (places[self.number], places[self.number] + blob.count) if places else None


def find_slices(links: Sequence[Link]) -> list[Slice]:
    """The bottoms that hold the same values as their part of the top, from its layer on.

    No top of such a layer is itself a slice, as a move would take its own slices along.
    """
    fixed = {blob.data_memory for link in links for blob in watched(link)}
    found: dict[Storage, Slice] = {}
    for index in reversed(range(len(links))):
        link = links[index]
        if not isinstance(link.layer, JoinsBottoms) or len(link.bottom) == 1:
            continue
        whole, others = link.top[0].data_memory, [*links[:index], *links[index + 1 :]]
        if whole in fixed or whole in found or any(_writes(other, whole) for other in others):
            continue
        for number, blob in enumerate(link.bottom):
            part = blob.data_memory
            if part in fixed or part in found:
                continue
            if not any(_writes(later, part) for later in links[index + 1 :]):
                found[part] = Slice(link, number, part, whole)
    return list(found.values())


def _writes(link: Link, memory: Storage) -> bool:
    """Whether a layer changes values: it may also show them under another name, or keep them."""
    given = [blob for blob in link.bottom if blob.data_memory is memory]
    tops = [blob for blob in link.top if blob.data_memory is memory]
    if not given:
        return bool(tops)
    keeps = link.layer.in_place_keeps & Reads.BOTTOM
    return not keeps and any(_is_one_of(blob, given) for blob in tops)


def _is_one_of(blob: Blob, blobs: Sequence[Blob]) -> bool:
    return any(blob is other for other in blobs)


def parts_of(slices: Sequence[Slice]) -> dict[Storage, Storage]:
    """The memories that are parts of others for the present shapes, each with the whole."""
    return {each.part: each.whole for each in slices if each.place()}


def place(slices: Sequence[Slice]) -> None:
    """Let all that can be slices for the present shapes be slices, with the values they have."""
    moving = list(_moving(slices))
    values = [part.array[: target.size].copy() for part, target in moving]
    for (part, target), old in zip(moving, values, strict=True):
        target[: old.size] = old
        part.array = target
    if moving:
        CHANGES.note()


def _moving(slices: Sequence[Slice]) -> Iterator[tuple[Storage, np.ndarray]]:
    """The memories that are not in their places, and these places."""
    for each in slices:
        if found := each.place():
            start, end = found
            target = each.whole.reserve(each.link.top[0].count)[start:end]
            old = each.part.array
            if old.size != target.size or old.ctypes.data != target.ctypes.data:
                yield each.part, target
