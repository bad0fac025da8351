"""What is fuzzed: a target is a kind of file, some good ones to mutate, and what reads it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from random import Random

from tools.fuzz.mutate import Mutation, bytes_mutation

ROOT = Path(__file__).resolve().parent.parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"

Files = dict[str, bytes]
"""The contents of files by their names in a folder."""


@dataclass(frozen=True)
class Target:
    """A kind of file, and the code that reads it."""

    name: str
    seeds: Callable[[], list[Files]]
    """Good files, to mutate."""
    run: Callable[[], None]
    """Reads the files, which are in the current folder."""
    mutate: Mutation = bytes_mutation
    damaged: tuple[str, ...] = ()
    """The names of the files to mutate; none: all."""
    refusals: tuple[type[BaseException], ...] = ()
    """Exceptions that refuse an input, beside CaffeError."""
    left_by_library: tuple[str, ...] = ()
    """Files that a library writes on reading."""
    rewrites: bool = False
    """Whether the library may also change and remove files, as LevelDB does on opening."""
    names: bool = False
    """Whether the files name other files: a FIFO is put among them."""
    seconds: float = 10
    megabytes: int = 384
    in_memory: Callable[[bytes], None] | None = None
    """Reads the content of the only file, instead of `run`: no file is written, so it is fast."""
    isolated: bool = False
    """Whether a library may end the process: never run in the process of the tests."""

    def case(self, seed: int, index: int) -> Files:
        """Input number `index`, always the same."""
        rng = Random(f"{self.name}/{seed}/{index}")
        seeds = _seeds(self.seeds)
        case = dict(rng.choice(seeds))
        name = rng.choice(sorted(name for name in case if name in (self.damaged or case)))
        others = [other[name] for other in seeds if name in other]
        case[name] = self.mutate(rng, case[name], others)
        return case


@lru_cache(100)
def _seeds(make: Callable[[], list[Files]]) -> list[Files]:
    return make()


@cache
def all_targets() -> dict[str, Target]:
    """Every target by its name."""
    found: dict[str, Target] = {}
    for module in pkgutil.iter_modules(__path__):
        for target in importlib.import_module(f"{__name__}.{module.name}").TARGETS:
            found[target.name] = target
    return found
