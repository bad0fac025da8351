"""Measurement of Numba's compile time, separately from the run time of the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Compilation:
    """The number of kernels compiled, and the seconds spent."""

    kernels: int = 0
    seconds: float = 0.0


@contextmanager
def compilation() -> Iterator[Compilation]:
    """Count the kernels compiled in the block; kernels loaded from the cache do not count.

    A kernel compiled as part of another one counts as a part of that.
    """
    from numba.core import event

    recorder: Any = event.RecordingListener()  # type: ignore[no-untyped-call]
    compiled = Compilation()
    try:
        with event.install_listener("numba:compile", recorder):
            yield compiled
    finally:
        depth, start = 0, 0.0
        for time, each in recorder.buffer:
            if each.is_start:
                if depth == 0:
                    start = time
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    compiled.kernels += 1
                    compiled.seconds += time - start
