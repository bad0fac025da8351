"""A training step on many ranks: backward, and the reduction of gradients beside it.

As in the graph of a step by Shi et al. 2018 (arXiv:1805.03812): a layer's gradients are ready when
its backward has run; they are reduced in that order, one bucket at a time, while the layers below
go on; the update waits for the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tools.bench.scale.reductions import Cluster, Reduction


class Layer(NamedTuple):
    """A layer's name, the seconds of its backward, and the bytes of its gradients."""

    name: str
    backward: float
    gradients: int


@dataclass(frozen=True)
class Profile:
    """A net on one rank: its layers in the order of forward; seconds of forward and of the update.

    `batch` is the number of examples.
    """

    net: str
    batch: int
    forward: float
    update: float
    layers: tuple[Layer, ...]

    @property
    def backward(self) -> float:
        """The seconds of backward."""
        return sum(layer.backward for layer in self.layers)

    @property
    def gradients(self) -> int:
        """The bytes of all gradients."""
        return sum(layer.gradients for layer in self.layers)

    @property
    def seconds(self) -> float:
        """The seconds of a step of this rank alone."""
        return self.forward + self.backward + self.update

    def faster(self, factor: float) -> Profile:
        """The same net on a machine that computes so many times as fast."""
        layers = tuple(layer._replace(backward=layer.backward / factor) for layer in self.layers)
        return Profile(self.net, self.batch, self.forward / factor, self.update / factor, layers)

    def least(self, other: Profile) -> Profile:
        """The lesser of each time, of two measurements of one net."""
        layers = tuple(
            one._replace(backward=min(one.backward, two.backward))
            for one, two in zip(self.layers, other.layers, strict=True)
        )
        forward, update = min(self.forward, other.forward), min(self.update, other.update)
        return Profile(self.net, self.batch, forward, update, layers)

    def at(self, batch: float, other: Profile) -> Profile:
        """Another batch: each time on the line through those of this profile and of the other."""
        share = (batch - self.batch) / (other.batch - self.batch)

        def between(here: float, there: float) -> float:
            return max(0.0, here + share * (there - here))

        layers = tuple(
            one._replace(backward=between(one.backward, two.backward))
            for one, two in zip(self.layers, other.layers, strict=True)
        )
        forward = between(self.forward, other.forward)
        return Profile(self.net, round(batch), forward, between(self.update, other.update), layers)


class Bucket(NamedTuple):
    """Gradients that are reduced together: their bytes, and when the last of them is ready."""

    size: int
    ready: float


class Step(NamedTuple):
    """Seconds of a step, of its reduction, and of the part of it that backward did not hide."""

    seconds: float
    reduction: float
    exposed: float


def buckets(profile: Profile, limit: int) -> list[Bucket]:
    """Gradients in the order of backward, joined until a bucket has `limit` bytes or more.

    Times begin with backward.
    """
    found, size, time = [], 0, 0.0
    for layer in reversed(profile.layers):
        time += layer.backward
        size += layer.gradients
        if layer.gradients and size >= limit:
            found.append(Bucket(size, time))
            size = 0
    if size:
        found.append(Bucket(size, time))
    return found


def reduced(parts: Sequence[Bucket], reduce: Reduction, ranks: int, cluster: Cluster) -> float:
    """When the last bucket is reduced: each begins when it is ready and the one before is done."""
    done = 0.0
    for part in parts:
        done = max(done, part.ready) + reduce(part.size, ranks, cluster)
    return done


def step(profile: Profile, ranks: int, reduce: Reduction, cluster: Cluster, limit: int) -> Step:
    """A step in which each rank has the batch of the profile."""
    if ranks == 1:
        return Step(profile.seconds, 0.0, 0.0)
    parts = buckets(profile, limit)
    exposed = max(0.0, reduced(parts, reduce, ranks, cluster) - profile.backward)
    total = sum(reduce(part.size, ranks, cluster) for part in parts)
    return Step(profile.seconds + exposed, total, exposed)
