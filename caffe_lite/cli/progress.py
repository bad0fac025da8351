"""How far a long piece of work has come: a bar on a terminal, nothing in a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def watch(items: Iterable[T], total: int | None, unit: str) -> Iterator[T]:
    """The items, with a bar on stderr that says how many of `total` went by and how long is left.

    It is taken away at the end, and after an error.
    """
    from tqdm import tqdm

    with tqdm(
        items,
        total=total,
        unit=f" {unit}",
        disable=None,  # shown on a terminal only
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
    ) as bar:
        yield from bar


def note(message: str) -> None:
    """Print a line to stderr, above the bar if there is one."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)
