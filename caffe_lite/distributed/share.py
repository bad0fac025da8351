"""The part of a source's records that one rank reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Share(NamedTuple):
    """Which records of a source one rank takes, of `size` ranks.

    In training the ranks take records in turns, so that their batches together are the batch of
    `size` times as many records that one process would read.  With `by_batch`, as in tests, they
    take whole batches in turns.
    """

    rank: int = 0
    size: int = 1
    by_batch: bool = False

    def turns(self, batch_size: int) -> Iterator[tuple[int, int]]:
        """For each record of a batch: how many to leave out before it, and after it.

        After the batch of a share by records, all ranks are at the same record of the source.  In
        a share by batches, what is before the first batch and between two is `gap`.
        """
        before, after = (0, 0) if self.by_batch else (self.rank, self.size - 1 - self.rank)
        for _ in range(batch_size):
            yield before, after

    def gap(self, batch_size: int, first: bool) -> int:
        """Records between two batches of this rank, or before its first; by records, 0."""
        if not self.by_batch:
            return 0
        return batch_size * (self.rank if first else self.size - 1)

    def row(self, item: int) -> int:
        """Where the item of that number, of this rank's batch, is in the batch of all ranks."""
        return item if self.by_batch else item * self.size + self.rank


ALONE = Share()
"""All records: the share of a process that trains alone."""
