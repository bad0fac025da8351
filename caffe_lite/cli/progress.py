"""A progress bar for long operations, shown on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from caffe_lite import mpirun
from caffe_lite.errors import one_line

T = TypeVar("T")


def watch(items: Iterable[T], total: int | None, unit: str) -> Iterator[T]:
    """Yield the items, with a bar on stderr that shows the count of `total` and the time left.

    The bar is removed at the end, and after an error.
    """
    from tqdm import tqdm

    with tqdm(
        items,
        total=total,
        unit=f" {unit}",
        disable=True if mpirun.rank() else None,  # shown on a terminal only, by one rank
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
    ) as bar:
        yield from bar


def note(message: str) -> None:
    """Print a line to stderr, above the bar if there is one."""
    from tqdm import tqdm

    tqdm.write(one_line(message), file=sys.stderr)
