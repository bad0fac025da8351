"""A program for three ranks: items that are dealt in blocks, and results in order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from caffe_lite import distributed
from caffe_lite.distributed import dealt, in_order
from caffe_lite.errors import DataError

BLOCK = 2


def counted() -> None:
    """Squares, with every number of items and several sizes of blocks."""
    group = distributed.world()
    found = []
    for count in range(14):
        for block in (1, 2, 5):
            squares = (item * item for item in dealt(group, range(count), block))
            every = group.all_gather(list(in_order(group, squares, block)))
            found.append([count, block, every[0], every[1:]])
    if group.is_root:
        sys.stdout.write(json.dumps(found))


def failing(bad: int) -> None:
    """One item is bad."""
    group = distributed.world()

    def results() -> Iterator[int]:
        for item in dealt(group, range(20), BLOCK):
            if item == bad:
                raise DataError(f"item {item} is bad")
            yield item

    for result in in_order(group, results(), BLOCK):
        sys.stdout.write(f"{result}\n")


if __name__ == "__main__":
    if sys.argv[1] == "counted":
        counted()
    else:
        failing(int(sys.argv[2]))
