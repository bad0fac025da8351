"""The sizes of images by their names, for the files that DetectionOutput reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from caffe_lite.data import images
from caffe_lite.errors import DataError


def read_names(path: str) -> list[str]:
    """The first word of each line of a list; DataError for an empty list."""
    names = [line.split()[0] for _, line in images.text_lines(path, "list")]
    if not names:
        raise DataError(f'the list "{path}" is empty')
    return names


def lines(root: str, names: Iterable[str], ids: str | None = None) -> Iterator[str]:
    """A line ``name height width`` for each image; `root` is a prefix of the files' names.

    The name is without folder and ending.  `ids` is a file with a line ``name id`` for each name:
    then the id is written.  Raises DataError for an image that cannot be read or has no id.
    """
    known = None if ids is None else _read_ids(ids)
    for name in names:
        short = os.path.splitext(os.path.basename(name))[0]
        if known is not None and short not in known:
            raise DataError(f'{ids}: has no id of "{short}"')
        path = root + name
        try:
            height, width = images.size(images.read_bytes(path))
        except DataError as error:
            raise DataError(f'"{path}": {error.message}') from None
        yield f"{known[short] if known is not None else short} {height} {width}\n"


def _read_ids(path: str) -> dict[str, int]:
    ids = {}
    for number, line in images.text_lines(path, "list of ids"):
        words = line.split()
        found = images.integer(words[-1])
        if len(words) != 2 or found is None:
            raise DataError(f'{path}:{number}: "{line[:60]}" is not "name id"')
        ids[words[0]] = found
    return ids
