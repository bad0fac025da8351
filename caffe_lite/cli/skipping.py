"""Images that a command leaves out of a database, because they cannot be read."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from caffe_lite.cli.progress import note
from caffe_lite.errors import DataError

if TYPE_CHECKING:
    from caffe_lite.data.imageset import Record


class Skips:
    """Reports the images that are left out, of `total`; `count` is their number."""

    def __init__(self, args: argparse.Namespace, total: int) -> None:
        self._args = args
        self._total = total
        self.count = 0

    def stored(self, records: Iterable[Record]) -> Iterator[tuple[bytes, bytes]]:
        """The keys and values of the records without a problem.

        Prints the others' problems, and all remarks.  Raises DataError if none is left.
        """
        for record in records:
            for remark in record.remarks:
                note(f"note: {remark}")
            if record.problem:
                self.count += 1
                note(f"skipped: {record.problem}")
            else:
                yield record.key, record.value
        if self.count == self._total:
            root = self._args.root
            hint = "" if root.endswith("/") else f"; did you mean {root}/?"
            raise DataError(
                f"none of the {self.count} images could be stored; {self._args.db} is not "
                f"created{hint}"
            )
