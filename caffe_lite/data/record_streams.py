"""A random stream for each record, whoever reads it."""

from __future__ import annotations

from typing import Any, cast

from numpy.random import PCG64, Generator

from caffe_lite import states
from caffe_lite.states import State

_APART = 1 << 64
"""Steps of the generator from one record's stream to the next: none draws as many."""


class RecordStreams:
    """The random numbers of each record that a source gives, by how many it has given before.

    What is drawn for a record changes nothing for another.  So ranks that read a part of the
    records each draw what one process would.
    """

    def __init__(self, rng: Generator) -> None:
        self._bits = cast(Any, PCG64(0))
        self._rng = Generator(self._bits)
        start = states.of_generator(rng)
        self._bits.state = {**start, "has_uint32": 0, "uinteger": 0}
        self._bits.advance(_APART)  # away from what the source itself draws
        self._next: State = self._bits.state  # of the next batch's first record
        self._row = 0
        self._is_there = True

    @property
    def rng(self) -> Generator:
        """The stream of the record that `go_to` named; where the last draw has left it."""
        if not self._is_there:
            self._bits.state = self._next
            self._bits.advance(self._row * _APART)
            self._is_there = True
        return self._rng

    def go_to(self, row: int) -> None:
        """The record of this number, in the batch of all ranks, is next."""
        self._row, self._is_there = row, False

    def leave(self, count: int) -> None:
        """So many records are behind."""
        self._bits.state = self._next
        self._bits.advance(count * _APART)
        self._next, self._is_there = self._bits.state, False
        self._row = 0

    def get_state(self) -> State:
        """Where the next batch's first record is."""
        return self._next

    def set_state(self, state: State, key: str) -> None:
        """Go on from there.  Raises DataError if the state's `key` is none of `get_state`."""
        states.restore_generator(self._rng, state, key)
        self._next, self._is_there, self._row = self._bits.state, True, 0
