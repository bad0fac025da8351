"""Seeded random streams, one for each layer.

A stream is named by its layer, so adding or removing a layer moves no other layer's numbers, and
neither do threads or prefetching.  (Caffe draws everything from one generator.)
"""

from __future__ import annotations

import secrets
import zlib

import numpy as np

_process_seed: int | None = None


class Streams:
    """Random generators by name, all derived from one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, name: str) -> np.random.Generator:
        """A new generator at the start of the stream called `name`."""
        entropy = (self.seed, zlib.crc32(name.encode()))
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def set_random_seed(seed: int) -> None:
    """Make every net built from now on draw the same numbers; a negative seed undoes that."""
    global _process_seed
    _process_seed = seed if seed >= 0 else None


def streams() -> Streams:
    """The streams of a new net: of the process's seed, or, without one, of fresh entropy."""
    return Streams(secrets.randbits(63) if _process_seed is None else _process_seed)
