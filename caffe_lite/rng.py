"""Seeded random streams, one for each layer.

A stream is identified by its layer's name, so adding or removing a layer does not change the
random values of other layers, nor do threads or prefetching.  (Caffe has one generator for all.)
"""

from __future__ import annotations

import secrets
import zlib
from typing import Any

import numpy as np

from caffe_lite import arguments

_process_seed: int | None = None


class Streams:
    """Random generators, identified by name and derived from one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, name: str) -> np.random.Generator:
        """A new generator, at the start of the stream `name`."""
        entropy = (self.seed, zlib.crc32(name.encode()))
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def set_random_seed(seed: int) -> None:
    """Set the seed of all nets built after this call; a negative seed removes it."""
    global _process_seed
    seed = arguments.integer(seed, "a random seed")
    _process_seed = seed if seed >= 0 else None


def streams() -> Streams:
    """The streams of a new net: from the process's seed if it is set, else from fresh entropy."""
    return Streams(secrets.randbits(63) if _process_seed is None else _process_seed)


def draw_seed(generator: np.random.Generator) -> int:
    """A random number of 64 bits, from which a kernel makes as many others as it needs."""
    bits: Any = generator.bit_generator
    return int(bits.random_raw())
