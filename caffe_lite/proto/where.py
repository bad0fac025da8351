"""The position of each field of a message in its prototxt, for error messages."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import final

from caffe_lite.errors import Location

_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?\Z", re.ASCII)


class Source:
    """A file's name and text; converts offsets to lines and columns."""

    __slots__ = ("_line_starts", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._line_starts: list[int] = []

    def location(self, offset: int) -> Location:
        """The line and column of the character at `offset`."""
        if not self._line_starts:
            self._line_starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        line = bisect_right(self._line_starts, offset)
        return Location(self.file, line, offset - self._line_starts[line - 1] + 1)


@final
class Where:
    """The position of a message and of each field in it.

    A scalar's position is that of its value; a message's position is that of its field name.
    `fields` maps a field's name to the positions of its values: an offset for a scalar, a `Where`
    for a message.
    """

    __slots__ = ("fields", "offset", "source")

    def __init__(self, source: Source, offset: int) -> None:
        self.source = source
        self.offset = offset
        self.fields: dict[str, list[int | Where]] = {}

    @property
    def location(self) -> Location:
        """The position of the message itself."""
        return self.source.location(self.offset)

    def at(self, path: str) -> Location:
        """The position of a field such as ``"param[1].lr_mult"``; the index defaults to 0.

        For a field that is not written, the position of the message that would contain it.  For
        an index beyond the last value of a repeated field, the position of the last value.
        """
        return self._find(path)[0].location

    def child(self, path: str) -> Where:
        """The positions inside a message field; empty if the field is not written."""
        nearest, exact = self._find(path)
        return nearest if exact else Where(nearest.source, nearest.offset)

    def children(self, name: str) -> list[Where]:
        """The positions inside each message of a repeated field."""
        return [item for item in self.fields.get(name, ()) if isinstance(item, Where)]

    def copy(self) -> Where:
        """A copy for an upgrade to change; the positions inside nested messages are shared."""
        other = Where(self.source, self.offset)
        other.fields = {name: list(positions) for name, positions in self.fields.items()}
        return other

    def put(self, name: str, positions: Sequence[int | Where]) -> None:
        """Set the positions of a field's values; an empty sequence removes the field."""
        if positions:
            self.fields[name] = list(positions)
        else:
            self.fields.pop(name, None)

    def _find(self, path: str) -> tuple[Where, bool]:
        """The position of the longest written part of `path`, and whether that is all of it."""
        here = self
        for step in path.split(".") if path else ():
            match = _STEP.match(step)
            positions = here.fields.get(match[1]) if match else None
            if match is None or not positions:
                return here, False
            index = int(match[2] or 0)
            position = positions[min(index, len(positions) - 1)]
            if isinstance(position, int):
                return Where(here.source, position), True
            if index >= len(positions):
                return position, False
            here = position
        return here, True


def prefix(where: Where | None) -> str:
    """The prefix of a log line: the position and a colon, or nothing."""
    return f"{where.location}: " if where else ""
