"""Ranks as threads of one process, which run one at a time: no MPI, and the same order each time.

A rank runs until it waits for another one; then the next has its turn.  What ranks give each
other is copied, as MPI copies it.
"""

from __future__ import annotations

import pickle
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from caffe_lite.distributed import Group, ending

T = TypeVar("T")


class Turns:
    """Whose turn it is, and what ranks have given each other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._changed = threading.Condition()
        self._turn = 0
        self._ended: set[int] = set()
        self.rounds: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        self.messages: defaultdict[tuple[int, int], list[bytes]] = defaultdict(list)

    def wait_until(self, rank: int, is_so: Callable[[], bool]) -> None:
        """Let the other ranks run until something is so."""
        while not is_so():
            assert len(self._ended) < self.size - 1, f"rank {rank} waits for one that has ended"
            self._pass_on(rank)
            self.wait_for_turn(rank)

    def wait_for_turn(self, rank: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._turn == rank, timeout=120)

    def end(self, rank: int) -> None:
        self._ended.add(rank)
        self._pass_on(rank)

    def _pass_on(self, rank: int) -> None:
        others = [(rank + step) % self.size for step in range(1, self.size)]
        with self._changed:
            self._turn = next((other for other in others if other not in self._ended), rank)
            self._changed.notify_all()


class Communicator:
    """What `Group` asks of mpi4py's."""

    def __init__(self, turns: Turns, rank: int) -> None:
        self._turns = turns
        self._rank = rank
        self._round = 0

    def allgather(self, value: Any) -> list[Any]:
        given = self._turns.rounds[self._round]
        self._round += 1
        given[self._rank] = pickle.dumps(value)
        self._turns.wait_until(self._rank, lambda: len(given) == self._turns.size)
        return [pickle.loads(given[rank]) for rank in range(self._turns.size)]

    def gather(self, value: Any, root: int) -> list[Any] | None:
        every = self.allgather(value)
        return every if self._rank == root else None

    def bcast(self, value: Any, root: int) -> Any:
        return self.allgather(value)[root]

    def Barrier(self) -> None:
        self.allgather(None)

    def Allgather(self, mine: Any, theirs: Any) -> None:
        theirs[...] = self.allgather(mine)

    def Bcast(self, array: Any, root: int) -> None:
        array[...] = self.allgather(array)[root]

    def issend(self, message: Any, to: int, tag: int) -> Any:
        waiting = self._turns.messages[self._rank, to]
        waiting.append(pickle.dumps(message))
        turns, rank = self._turns, self._rank

        class Sending:
            def wait(self) -> None:
                turns.wait_until(rank, lambda: not waiting)

        return Sending()

    def recv(self, source: int, tag: int) -> Any:
        waiting = self._turns.messages[source, self._rank]
        self._turns.wait_until(self._rank, lambda: bool(waiting))
        return pickle.loads(waiting.pop(0))


class InTurns(Group):
    """One rank of several in this process."""

    def __init__(self, turns: Turns, rank: int) -> None:
        super().__init__()
        self.communicator = Communicator(turns, rank)
        self.rank, self.size = rank, turns.size
        self.local_rank, self.local_size = rank, turns.size
        self._theirs = np.zeros((turns.size, 2))

    def add(self, array: Any) -> None:
        array[...] = np.sum(self.communicator.allgather(array), axis=0)

    def start_adding(self, array: Any) -> Any:
        begun, group = array.copy(), self

        class Adding:
            def Wait(self) -> None:
                array[...] = np.sum(group.communicator.allgather(begun), axis=0)

            def Test(self) -> bool:
                return False

        return Adding()


def on_ranks(size: int, work: Callable[[Group], T]) -> list[T | Exception]:
    """What `work` gives on each of so many ranks, or what it raises there."""
    turns = Turns(size)
    found: list[Any] = [None] * size

    def run(rank: int) -> None:
        turns.wait_for_turn(rank)
        try:
            found[rank] = work(InTurns(turns, rank))
        except Exception as error:
            found[rank] = error
        finally:
            turns.end(rank)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ending.note_speaker(True)  # this process is one that speaks
    return found


def all_ranks(size: int, work: Callable[[Group], T]) -> list[T]:
    """What `work` gives on each of so many ranks; raises what one of them raises."""
    found = on_ranks(size, work)
    for each in found:
        if isinstance(each, Exception):
            raise each
    return found  # type: ignore[return-value]
