"""A database whose records are read in an order that is drawn anew for each round."""

from __future__ import annotations

from numpy.random import Generator

from caffe_lite import states
from caffe_lite.data.cursor import Cursor, KeyCursor, Record
from caffe_lite.states import State


class ShuffledCursor(Cursor):
    """Reads the records of another cursor, each once in a round, in the order of a permutation.

    All keys are read at the start and stay in memory.  The orders are drawn from `rng`, the first
    one at once.  Closing it closes the other cursor.
    """

    def __init__(self, cursor: KeyCursor, rng: Generator) -> None:
        self._cursor = cursor
        self._rng = rng
        self.source = cursor.source
        self._keys = list(cursor.keys())
        self.count = len(self._keys)
        self.begin_round()

    def begin_round(self) -> None:
        """Draw a new order, and go to its first record."""
        self._before_order = states.of_generator(self._rng)
        self._order = self._rng.permutation(len(self._keys))
        self._at = 0

    def rewind(self) -> None:
        """Go back to the first record of the same order."""
        self._at = 0

    def read(self) -> Record | None:
        """The key and value of the next record; None after the last of the round."""
        if self._at == len(self._keys):
            return None
        self._cursor.seek(self._keys[self._order[self._at]])
        self._at += 1
        return self._cursor.read()

    def skip(self, count: int) -> int:
        """Pass over this many records, or fewer at the end of the round; returns how many."""
        passed = min(count, len(self._keys) - self._at)
        self._at += passed
        return passed

    def get_state(self) -> State:
        """How many records of the round are read, and the random stream before it was shuffled."""
        return {"record": self._at, "records": len(self._keys), "order": self._before_order}

    def set_state(self, state: State) -> None:
        """Shuffle as that round was shuffled, and go to its record."""
        at = states.integer(state, "record", below=len(self._keys) + 1)
        states.restore_generator(self._rng, state, "order")
        self.begin_round()
        self._at = at
        states.note_change(state, "records", len(self._keys), self.source)

    def close(self) -> None:
        """Close the database if no other cursor uses it."""
        self._cursor.close()
