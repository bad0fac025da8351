"""How long Numba compiles, told apart from the work that the compiled kernels do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Compilation:
    """What was compiled: how many kernels, and for how many seconds."""

    kernels: int = 0
    seconds: float = 0.0


@contextmanager
def compilation() -> Iterator[Compilation]:
    """Count what is compiled within; kernels that are loaded from the cache do not count.

    A kernel that another one needs is compiled on the way and counts as a part of it.
    """
    from numba.core import event

    recorder: Any = event.RecordingListener()  # type: ignore[no-untyped-call]
    found = Compilation()
    try:
        with event.install_listener("numba:compile", recorder):
            yield found
    finally:
        depth, begun = 0, 0.0
        for moment, each in recorder.buffer:
            if each.is_start:
                if depth == 0:
                    begun = moment
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    found.kernels += 1
                    found.seconds += moment - begun
