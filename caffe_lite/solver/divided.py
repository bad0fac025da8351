"""Batches of one net that ranks run in turns, each of them some of the batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from caffe_lite import glog
from caffe_lite.distributed import Group, Share, dealt, in_order
from caffe_lite.net.net import Net

T = TypeVar("T")

_log = glog.logger("caffe_lite.solver")


def run_batches(net: Net, group: Group, count: int, result: Callable[[float], T]) -> Iterator[T]:
    """Run forward on `count` batches; gives what `result` makes of each, in order, at rank 0.

    `result` is called after a forward, on the rank that has run it, with the loss.  If the batches
    of the net depend on each other, rank 0 runs all.
    """
    if not net.batches_are_apart:
        if not group.is_alone:
            _log.warning("rank 0 runs all batches, as what a layer gives depends on those before")
        for _ in range(count if group.is_root else 0):
            yield result(net.compute_loss())
        return
    net.take_share(Share(group.rank, group.size, by_batch=True))
    own = (result(net.compute_loss()) for _ in dealt(group, range(count), 1))
    yield from in_order(group, own, 1)
