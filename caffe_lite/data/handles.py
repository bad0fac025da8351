"""Files and databases that several readers of one process use, each opened once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What is shared."""

    def close(self) -> None:
        """Close it."""


T = TypeVar("T", bound=Closable)


@dataclass(eq=False)
class Handle(Generic[T]):
    """Something open, what it is known by, and the number of its users."""

    opened: T
    key: Hashable
    users: int = 1


class Handles(Generic[T]):
    """What is open, by keys that are equal only for the same thing."""

    def __init__(self) -> None:
        # reentrant: the garbage collector may close a cursor while this thread holds the lock
        self._lock = threading.RLock()
        self._handles: dict[Hashable, Handle[T]] = {}

    def acquire(self, key: Hashable, open_new: Callable[[], T]) -> Handle[T]:
        """The handle of this key; `open_new` opens it if it is not open yet."""
        with self._lock:
            try:
                self._handles[key].users += 1
            except KeyError:
                self._handles[key] = Handle(open_new(), key)
            return self._handles[key]

    def release(self, handle: Handle[T]) -> None:
        """Remove one user of the handle; the last one closes it."""
        with self._lock:
            handle.users -= 1
            if handle.users == 0:
                del self._handles[handle.key]
                handle.opened.close()
