"""The test images that a net has answered worst."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.net.net import Net
from caffe_lite.training_report.images import data_uri, stretched

LONGEST_SIDE = 112
"""Pixels of a larger image as it is kept."""


class Blobs(NamedTuple):
    """The blobs of a test net that tell which images it answers wrongly."""

    image: str
    """(N, 1 or 3, height, width)."""
    label: str
    """N numbers of classes."""
    scores: str
    """(N, classes): what a softmax is taken of; without such a loss, what Accuracy compares."""
    ignored: int | None
    has_loss: bool


class Answer(NamedTuple):
    """One image, how badly it was answered, its label, and the class with the best score."""

    badness: float
    number: int
    """Its place in the test, counted over all batches; so no two answers compare as equal."""
    label: int
    answered: int
    image: str
    """The address of a PNG."""


def find_blobs(net: Net) -> Blobs | str:
    """The blobs of a test net to look at; where there are none, why, in words."""
    origin = _origins(net)
    for kind in ("SoftmaxWithLoss", "Accuracy"):
        for layer in net.layers:
            if layer.param.type == kind:
                bottoms = [origin.get(name, name) for name in net.bottom_names[layer.name]]
                found = _of_layer(net, kind, layer.param, bottoms[0], bottoms[1])
                if found is not None:
                    return found
    return (
        "The test net has no SoftmaxWithLoss or Accuracy that compares one answer for each image "
        "with its label."
    )


def _origins(net: Net) -> dict[str, str]:
    """For each top of a Split the blob that it is a copy of."""
    origin: dict[str, str] = {}
    for layer in net.layers:
        if layer.param.type == "Split":
            (bottom,) = net.bottom_names[layer.name]
            origin.update(dict.fromkeys(net.top_names[layer.name], origin.get(bottom, bottom)))
    return origin


def _of_layer(net: Net, kind: str, param: object, scores: str, label: str) -> Blobs | None:
    count = net.blobs[label].count
    shape = net.blobs[scores].shape
    one_for_each = (
        len(shape) >= 2 and shape[0] == count and net.blobs[scores].count == (count * shape[1])
    )
    image = next(_images(net, label, count), None)
    if not one_for_each or shape[1] < 2 or image is None:
        return None
    has_loss = kind == "SoftmaxWithLoss"
    config = getattr(param, "loss_param" if has_loss else "accuracy_param")
    ignored = int(config.ignore_label) if config.HasField("ignore_label") else None
    return Blobs(image, label, scores, ignored, has_loss)


def _images(net: Net, label: str, count: int) -> Iterator[str]:
    """Blobs of so many images that come from outside, those that come with the labels first."""
    sources = [net.top_names[layer.name] for layer in net.layers if not layer.param.bottom]
    for tops in sorted([*sources, net.inputs], key=lambda tops: label not in tops):
        for name in tops:
            shape = net.blobs[name].shape
            if len(shape) == 4 and shape[0] == count and shape[1] in (1, 3) and min(shape[2:]) > 1:
                yield name


class Worst:
    """Keeps the worst answers of one test, which is given batch by batch."""

    def __init__(self, blobs: Blobs, limit: int = 12) -> None:
        self._blobs = blobs
        self._limit = limit
        self._heap: list[Answer] = []
        self.tested = self.wrong = 0

    def add(self, net: Net) -> None:
        """Add the answers of the batch that `net` has just tested."""
        blobs = self._blobs
        labels = net.blobs[blobs.label].data.reshape(-1)
        scores = net.blobs[blobs.scores].data.reshape(len(labels), -1).astype(np.float64)
        counted = (labels >= 0) & (labels < scores.shape[1])
        if blobs.ignored is not None:
            counted &= labels != blobs.ignored
        numbers = np.flatnonzero(counted)
        known = labels[numbers].astype(np.intp)
        with np.errstate(all="ignore"):  # what is not a number is the worst
            bad = badness(scores[numbers], known, blobs.has_loss)
        bad[np.isnan(bad)] = np.inf
        answered = scores[numbers].argmax(axis=1)
        images = net.blobs[blobs.image].data
        for row in np.argsort(-bad, kind="stable")[: self._limit]:
            if len(self._heap) == self._limit and bad[row] <= self._heap[0].badness:
                break
            number = int(numbers[row])
            image = data_uri(_small(stretched(images[number])))
            answer = Answer(
                float(bad[row]), -self.tested - number, int(known[row]), int(answered[row]), image
            )
            push = heapq.heappush if len(self._heap) < self._limit else heapq.heappushpop
            push(self._heap, answer)
        self.tested += len(labels)
        self.wrong += int((answered != known).sum())

    @property
    def answers(self) -> list[Answer]:
        """The worst answers, the worst first."""
        return sorted(self._heap, reverse=True)


def badness(scores: Array, labels: Array, has_loss: bool) -> Array:
    """How bad each row of scores (N, classes) is: the loss of a softmax, else by how much the best
    of the other scores exceeds that of the label.
    """
    rows = np.arange(len(labels))
    of_label = scores[rows, labels]
    if has_loss:
        highest = scores.max(axis=1)
        exceeding: Array = np.log(np.exp(scores - highest[:, None]).sum(axis=1)) + highest
        return exceeding - of_label
    others = scores.copy()
    others[rows, labels] = -np.inf
    best: Array = others.max(axis=1)
    return best - of_label


def _small(pixels: Array) -> Array:
    """Pixels of which every so many are left out, so that the longer side has not too many."""
    step = -(-max(pixels.shape[:2]) // LONGEST_SIDE)
    return pixels[::step, ::step]
