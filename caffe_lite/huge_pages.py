"""Arrays in huge pages, where the system has them.

A kernel reads and writes some elements of each of many planes, and every plane is in other pages.
The processor remembers where about a hundred pages are, and looks the others up: with pages of
4 kB a 1x1 convolution of 32 planes of 112 x 112 to 64 took 396 us, with pages of 2 MB 286 us.

NumPy asks Linux for huge pages for arrays of 4 MB and more (since NumPy 2; see "Transparent
Hugepage Support" in the kernel's documentation).  Smaller arrays lie side by side in such an
array, a *chunk*, which is freed with the last of them.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CHUNK", "LEAST", "LINE", "PAGE", "zeros"]

Array = npt.NDArray[Any]

PAGE = 2 << 20
"""Bytes of a huge page."""
CHUNK = 4 * PAGE
"""Bytes of a chunk for small arrays: also what one of them may keep from being freed."""
LEAST = 1 << 15
"""Bytes from which on an array is part of a chunk; larger ones than a chunk are not."""
LINE = 64
"""Bytes of a cache line; no two arrays have a part of the same one."""


class _Rest(threading.local):
    """What is left of a thread's chunk."""

    free: Array = np.zeros(0, np.uint8)


_REST = _Rest()


def zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of zeros, as `np.zeros`; memory is taken where it is first written, page by page.

    Raises MemoryError if there is not enough.
    """
    size = (shape if isinstance(shape, int) else math.prod(shape)) * np.dtype(dtype).itemsize
    if not LEAST <= size <= CHUNK:
        return np.zeros(shape, dtype)
    whole = -(-size // LINE) * LINE
    if _REST.free.size < whole:
        memory = np.zeros(CHUNK + PAGE, np.uint8)
        start = -memory.ctypes.data % PAGE
        _REST.free = memory[start : start + CHUNK]
    found, _REST.free = _REST.free[:size], _REST.free[whole:]
    return found.view(dtype).reshape(shape)
