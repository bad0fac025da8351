"""Readers of a list that is shuffled anew whenever it has been read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.random import Generator

from caffe_lite import glog, states
from caffe_lite.data.record_streams import RecordStreams
from caffe_lite.distributed.share import ALONE
from caffe_lite.states import State

log = glog.logger("caffe_lite.data")


class ListedReader:
    """Makes batches of the items of a list; `share` is that of a `Reader`.

    A subclass makes a batch in `fill`, and draws what concerns an item from `_rng`.
    """

    share = ALONE
    item: ClassVar[str]
    """What the list has, in a state."""

    def __init__(
        self, count: int, batch_size: int, shuffle: bool, source: str, rng: Generator
    ) -> None:
        self._count = count
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._source = source
        self._order_rng = rng
        self._streams = RecordStreams(rng)
        self._first = True  # no batch was made from here on
        self._at = 0
        self._arrange()

    @property
    def _rng(self) -> Generator:
        """The random stream of the item that `_places` has given."""
        return self._streams.rng

    def _arrange(self) -> None:
        rng, count = self._order_rng, self._count
        self._before_order = states.of_generator(rng) if self._shuffle else None
        self._order = rng.permutation(count) if self._shuffle else np.arange(count)

    def _skip(self, count: int) -> None:
        self._at += count
        while self._at >= self._count:
            log.info("Restarting data prefetching from start.")
            self._at -= self._count
            self._arrange()

    def _places(self) -> Iterator[tuple[int, int]]:
        """The numbers of a batch's items, in the batch and in the list."""
        share, size = self.share, self._batch_size
        for _ in range(share.batches_before(self._first)):
            self._skip(size)
            self._streams.leave(size)
        self._first = False
        for place in range(size):
            self._skip(share.before)
            self._streams.go_to(share.row(place))
            yield place, int(self._order[self._at])
            self._skip(1 + share.after)
        self._streams.leave(share.rows(size))

    def get_state(self) -> State:
        """The next item, the random streams, and the one before the list was shuffled."""
        return {
            "rng": states.of_generator(self._order_rng),
            "records_rng": self._streams.get_state(),
            self.item: self._at,
            f"{self.item}s": self._count,
            "order": self._before_order,
        }

    def set_state(self, state: State) -> None:
        """Go on as after `get_state`."""
        self._at = states.integer(state, self.item, below=self._count)
        if self._shuffle:
            states.restore_generator(self._order_rng, state, "order")
        self._arrange()
        states.note_change(state, f"{self.item}s", self._count, self._source)
        states.restore_generator(self._order_rng, state)
        self._streams.set_state(state, "records_rng")
        self._first = True

    def close(self) -> None:
        """Do nothing: no file stays open."""
