"""How much memory a net, an image or a file of somebody else's may take: asked before it is taken.

The limit is the machine's memory, or the container's, unless a program or the flag
``-memory_limit`` sets a lower one.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from contextlib import suppress
from functools import cache
from pathlib import Path

from caffe_lite import arguments
from caffe_lite.errors import OutOfMemory

_limit: int | None = None

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def set_memory_limit(limit: int | None) -> None:
    """Set the most bytes that one net may take; None: the machine's memory.

    Raises ArgumentError if that is not a positive integer.
    """
    global _limit
    if limit is not None:
        limit = arguments.integer(limit, "a memory limit in bytes", 1)
    _limit = limit


def memory_limit() -> int | None:
    """The limit that `set_memory_limit` has set, in bytes; None if it has set none."""
    return _limit


@cache
def physical_memory() -> int | None:
    """The memory of the machine or the container in bytes; None if the system does not say."""
    sizes = []
    with suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # a ValueError is for "max": there is no limit
            sizes.append(int(Path(name).read_text()))
    return min(sizes, default=None)


def check_memory(
    needed: int, what: str, advice: str = "make the batch or the layer smaller"
) -> None:
    """Raise OutOfMemory if `needed` bytes are more than the limit; `advice` ends its message."""
    machine = physical_memory()
    if _limit is not None and (machine is None or _limit < machine):
        available, whose = _limit, "the memory limit is"
    elif machine is not None:
        available, whose = machine, "this machine has"
    else:
        return
    if needed > available:
        raise OutOfMemory(
            f"{what} would take {_gigabytes(needed)} of memory, but {whose} "
            f"{_gigabytes(available)}; {advice}"
        )


def _gigabytes(count: int) -> str:
    if count < 10**17:
        return f"{count / 1e9:.4g} GB"
    return f"more than {min(10 ** (len(str(count)) - 10), 10**15):.0e} GB"


class Budget:
    """What one net takes, piece by piece; each piece is asked for before it is taken.

    A piece is anything that can be a key, such as the memory itself.  Asked for again, it takes
    the place of what it took before.
    """

    def __init__(self) -> None:
        self.total = 0
        """Bytes of all pieces."""
        self.changes = 0
        """How often a piece has grown or shrunk."""
        self._pieces: dict[Hashable, int] = {}

    def ask(self, piece: Hashable, needed: int, what: str) -> None:
        """Raise OutOfMemory if the net would take more than the limit with `needed` bytes here."""
        more = needed - self._pieces.get(piece, 0)
        if not more:
            return
        if more > 0:
            share = f"{what}, {_gigabytes(needed)}," if self.total else what
            check_memory(self.total + more, f"the net with {share}" if self.total else share)
        self._pieces[piece] = needed
        self.total += more
        self.changes += 1

    def ask_at_most(self, piece: Hashable, needed: int, what: str) -> None:
        """`ask`, but a piece that took more before still does: memory that many use in turns."""
        self.ask(piece, max(needed, self._pieces.get(piece, 0)), what)

    def taken(self, piece: Hashable) -> int:
        """Bytes of a piece; 0 if it was not asked for."""
        return self._pieces.get(piece, 0)
