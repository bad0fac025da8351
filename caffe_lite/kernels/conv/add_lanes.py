"""A step of one vector that becomes a part of the kernel which takes it."""

from __future__ import annotations

from caffe_lite.kernels.simd import Emitter, Int, Pointer, inline

__all__ = ["add_lanes"]


@inline
def add_lanes(e: Emitter, source: Pointer, at: Int, count: Int, target: Pointer, to: Int) -> None:
    """target[to + t] += source[at + t] for t < count, at most a vector.

    A whole vector of both must exist, and no other thread may write the target's.
    """
    before = e.load(target + to)
    after = before + e.load(source + at)
    e.store(e.select(e.first_lanes(count), after, before), target + to)
