"""How much memory a net, an image or a file of somebody else's may take: asked before it is taken.

The limit is the machine's memory, unless a program or the flag ``-memory_limit`` sets a lower one.
"""

from __future__ import annotations

import os
from functools import cache

from caffe_lite.errors import CaffeError

_limit: int | None = None


def set_memory_limit(limit: int | None) -> None:
    """Set the most bytes that one net may take; None: the machine's memory.

    Raises CaffeError if that is not a positive number.
    """
    global _limit
    if limit is not None and limit < 1:
        raise CaffeError(f"a memory limit must be at least 1 byte, not {limit}")
    _limit = limit


@cache
def physical_memory() -> int | None:
    """The machine's memory in bytes; None if the system does not provide it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def check_memory(needed: int, what: str) -> None:
    """Raise CaffeError if `needed` bytes are more than the limit."""
    machine = physical_memory()
    if _limit is not None and (machine is None or _limit < machine):
        available, whose = _limit, "the memory limit is"
    elif machine is not None:
        available, whose = machine, "this machine has"
    else:
        return
    if needed > available:
        raise CaffeError(
            f"{what} would take {needed / 1e9:.4g} GB of memory, but {whose} "
            f"{available / 1e9:.3g} GB; make the batch or the layer smaller"
        )
