"""Items that are dealt to ranks in blocks, and what the ranks make of them, in the items' order.

    own = dealt(group, items, 8)             # on all ranks: the same items
    for result in in_order(group, map(work, own), 8):
        ...                                  # at rank 0 only, one result for each item

Neither the items nor the results need fit in memory.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, TypeVar

from caffe_lite.distributed.group import Group, pickled
from caffe_lite.errors import CaffeError

T = TypeVar("T")

_TAG = 1  # of the messages


@dataclass
class _Part:
    """What a rank makes of a block, and the error that came then.

    The last part of a rank has fewer results than a block has items.
    """

    results: list[Any]
    failure: Exception | None = None


def dealt(group: Group, items: Iterable[T], block: int) -> Iterator[T]:
    """The items of this rank: whole blocks of `block`, every `size`-th from the `rank`-th on.

    All ranks must have the same items in the same order.
    """
    iterator = iter(items)
    for turn in count():
        part = list(islice(iterator, block))
        if not part:
            return
        if turn % group.size == group.rank:
            yield from part


def in_order(group: Group, results: Iterable[T], block: int) -> Iterator[T]:
    """What all ranks make of the items that `dealt` gave them, in the order of all items.

    They come at rank 0; the others send theirs, one block ahead of rank 0, and get nothing.  All
    ranks must iterate to the end.  An error comes at rank 0, after the results of the items before
    it; the rank that has it waits until rank 0 ends all.
    """
    if group.is_alone:
        yield from results
        return
    own = _parts(results, block)
    if not group.is_root:
        _send(group, own)
        return
    for turn in count():
        source = turn % group.size
        part = _next_part(group, own, source)
        yield from part.results
        if part.failure is not None:
            raise part.failure
        if len(part.results) < block:
            break
    for other in set(range(group.size)) - {source}:
        last = _next_part(group, own, other)  # it has no results: there are no items any more
        if last.failure is not None:
            raise last.failure


def _parts(results: Iterable[Any], block: int) -> Iterator[_Part]:
    """A rank's results in blocks, up to its last."""
    iterator = iter(results)
    while True:
        part = _Part([])
        try:
            part.results.extend(islice(iterator, block))
        except Exception as error:
            part.failure = error
        yield part
        if len(part.results) < block:
            return


def _next_part(group: Group, own: Iterator[_Part], source: int) -> _Part:
    if source == group.rank:
        return next(own)
    results, failure = group.communicator.recv(source=source, tag=_TAG)
    return _Part(results, None if failure is None else pickle.loads(failure))


def _send(group: Group, parts: Iterator[_Part]) -> None:
    """Send the parts to rank 0; the next is made while one waits to be taken."""
    request = None
    for part in parts:
        failure = None if part.failure is None else pickled(_located(group, part.failure))
        if request is not None:
            request.wait()
        request = group.communicator.issend((part.results, failure), 0, _TAG)
        if failure is not None:
            request.wait()
            group.barrier()  # which rank 0 does not come to
    if request is not None:
        request.wait()


def _located(group: Group, error: Exception) -> Exception:
    """The error, with the rank and the machine where it came up."""
    if isinstance(error, CaffeError):
        error.message += f" (rank {group.rank} of {group.size}, on {group.host})"
    return error
