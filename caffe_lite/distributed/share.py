"""The part of a source's records that one rank reads, and of a batch's random numbers it draws."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator


class Share(NamedTuple):
    """Which records of a source one rank takes, of `size` ranks.

    In training the ranks take records in turns, so that their batches together are the batch of
    `size` times as many records that one process would read.  With `by_batch`, as in tests, they
    take whole batches in turns; of size 1, each rank takes all.  A layer writes files on rank 0.
    """

    rank: int = 0
    size: int = 1
    by_batch: bool = False

    @property
    def before(self) -> int:
        """How many records of other ranks come before each of this one, in their turn."""
        return 0 if self.by_batch else self.rank

    @property
    def after(self) -> int:
        """How many come after each, in that turn."""
        return 0 if self.by_batch else self.size - 1 - self.rank

    @property
    def turn(self) -> int:
        """How many records are in a turn: one of each rank."""
        return 1 if self.by_batch else self.size

    def row(self, item: int) -> int:
        """Where the item of that number, of this rank's batch, is in the batch of all ranks."""
        return item * self.turn + self.before

    def rows(self, items: int) -> int:
        """How many records the batch of all ranks has, if that of one has so many."""
        return items * self.turn

    def batches_before(self, first: bool) -> int:
        """How many batches other ranks make before this one's `first`, or between two."""
        if not self.by_batch or self.size == 1:
            return 0
        return self.rank if first else self.size - 1

    def words(self, rng: Generator, shape: tuple[int, ...]) -> npt.NDArray[np.uint32]:
        """Random words of 32 bits, flat, for the items of this rank's batch (items, ...).

        They are those of these items' rows when one process draws for the batch of all ranks, and
        the generator is left as there.
        """
        bits: Any = rng.bit_generator
        items, each = (shape or (1,))[0], math.prod(shape[1:])
        if self.turn == 1:
            raw: npt.NDArray[np.uint64] = bits.random_raw((items * each + 1) // 2)
            return raw.view(np.uint32)[: items * each]
        found = np.empty((items, each), np.uint32)
        start, at = bits.state, 0
        for item in range(items):
            first = self.row(item) * each
            bits.advance((first // 2 - at) % (1 << 128))
            found[item] = bits.random_raw(each // 2 + 1).view(np.uint32)[first % 2 :][:each]
            at = first // 2 + each // 2 + 1
        bits.state = start
        bits.advance((self.rows(items) * each + 1) // 2)
        return found.reshape(-1)


ALONE = Share()
"""All records: the share of a process that trains alone."""
