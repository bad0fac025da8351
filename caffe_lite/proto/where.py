"""Where each field of a message is written, kept so that errors can point there."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import final

from caffe_lite.errors import Location

_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?\Z", re.ASCII)


class Source:
    """A file's name and text, for turning offsets into lines and columns."""

    __slots__ = ("_line_starts", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._line_starts: list[int] = []

    def location(self, offset: int) -> Location:
        """The line and column of a character."""
        if not self._line_starts:
            self._line_starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        line = bisect_right(self._line_starts, offset)
        return Location(self.file, line, offset - self._line_starts[line - 1] + 1)


@final
class Where:
    """Where a message, and each field in it, is written.

    The place of a scalar is that of its value, the place of a message that of its field name.
    `fields` has, for each field's name, the place of each of its values: an offset, or the
    `Where` of a message.
    """

    __slots__ = ("fields", "offset", "source")

    def __init__(self, source: Source, offset: int) -> None:
        self.source = source
        self.offset = offset
        self.fields: dict[str, list[int | Where]] = {}

    @property
    def location(self) -> Location:
        """The place of the message itself."""
        return self.source.location(self.offset)

    def at(self, path: str) -> Location:
        """The place of a field, as in ``"param[1].lr_mult"``; without an index, of its first.

        What is not written has the place of what it would be in; of a repeated field with fewer
        values, that of the last.
        """
        return self._find(path)[0].location

    def child(self, path: str) -> Where:
        """The places inside a message field; where it is not written, of nothing inside it."""
        nearest, exact = self._find(path)
        return nearest if exact else Where(nearest.source, nearest.offset)

    def children(self, name: str) -> list[Where]:
        """The places of each message of a repeated field."""
        return [place for place in self.fields.get(name, ()) if isinstance(place, Where)]

    def copy(self) -> Where:
        """The same places, to be changed by an upgrade; the messages inside are not copied."""
        other = Where(self.source, self.offset)
        other.fields = {name: list(places) for name, places in self.fields.items()}
        return other

    def put(self, name: str, places: Sequence[int | Where]) -> None:
        """Say where the values of a field are written; no places, and it is not."""
        if places:
            self.fields[name] = list(places)
        else:
            self.fields.pop(name, None)

    def _find(self, path: str) -> tuple[Where, bool]:
        """The nearest place to `path`, and whether all of it was found."""
        here = self
        for step in path.split(".") if path else ():
            match = _STEP.match(step)
            places = here.fields.get(match[1]) if match else None
            if match is None or not places:
                return here, False
            index = int(match[2] or 0)
            place = places[min(index, len(places) - 1)]
            if isinstance(place, int):
                return Where(here.source, place), True
            if index >= len(places):
                return place, False
            here = place
        return here, True


def prefix(where: Where | None) -> str:
    """What a log line begins with: the place and a colon, or nothing."""
    return f"{where.location}: " if where else ""
