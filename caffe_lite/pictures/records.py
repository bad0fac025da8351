"""The answers for many pictures as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.errors import one_line
from caffe_lite.pictures.answers import ClassScore, Detection, name_of
from caffe_lite.pictures.preprocessing import Size

Array = npt.NDArray[Any]
Row = tuple[Any, ...]

CLASSES = ("class", "label", "score")
DETECTIONS = ("class", "label", "score", "xmin", "ymin", "xmax", "ymax")
REGIONS = ("class", "label", "pixels", "share")


class Records:
    """Rows for each picture, with the names of their columns; `kind` is their name in JSON."""

    def __init__(self, kind: str, columns: Sequence[str]) -> None:
        self.kind = kind
        self.columns = tuple(columns)
        self._pictures: list[tuple[str, Size, list[Row]]] = []

    def add(self, name: str, size: Size, rows: Sequence[Row]) -> None:
        """Take the rows of the next picture, which has this name, height and width."""
        self._pictures.append((name, size, list(rows)))

    def to_json(self) -> str:
        """A list with an object for each picture; what is not finite is null."""
        found = []
        for name, (height, width), rows in self._pictures:
            items = [dict(zip(self.columns, map(_plain, row), strict=True)) for row in rows]
            found.append({"image": name, "height": height, "width": width, self.kind: items})
        return json.dumps(found, indent=1) + "\n"

    def to_csv(self) -> str:
        """A line for each row, with the picture in its first column."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["image", *self.columns])
        for name, _, rows in self._pictures:
            lines.writerows([name, *map(_plain, row)] for row in rows)
        return text.getvalue()

    def to_lines(self) -> list[str]:
        """A table for people; a picture without rows has a line of its own."""
        shown: list[list[str]] = [["image", *self.columns]]
        for path, _, rows in self._pictures:
            name = one_line(path)
            for row in rows or [("-",) * len(self.columns)]:
                shown.append([name, *map(_shown, self.columns, row)])
                name = ""
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        return [
            "  ".join(
                cell.ljust(width) if index < 2 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in shown
        ]


def class_rows(found: Sequence[ClassScore]) -> list[Row]:
    """Rows of `CLASSES`."""
    return [(each.name, each.label, each.score) for each in found]


def detection_rows(found: Sequence[Detection]) -> list[Row]:
    """Rows of `DETECTIONS`."""
    return [(each.name, each.label, each.score, *each.box) for each in found]


def region_rows(labels: Array, names: list[str] | dict[int, str] | None) -> list[Row]:
    """Rows of `REGIONS` for a map of labels, the largest first."""
    numbers, counts = np.unique(labels, return_counts=True)
    rows = [
        (name_of(names, int(number)), int(number), int(count), count / labels.size)
        for number, count in zip(numbers, counts, strict=True)
    ]
    return sorted(rows, key=lambda row: -row[2])


def _plain(value: Any) -> Any:
    """Fractions to six digits."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _shown(column: str, value: Any) -> str:
    """Pixels to a tenth, scores and shares to four digits."""
    if isinstance(value, float):
        return f"{value:.1f}" if column in DETECTIONS[3:] else f"{value:.4f}"
    return one_line(str(value))
