"""Detections in files, in the formats of PASCAL VOC, COCO and ILSVRC, as SSD writes them."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import reading, states
from caffe_lite.data import images
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.files import read_label_map, write_text
from caffe_lite.states import State

Array = npt.NDArray[Any]

FORMATS = ("VOC", "COCO", "ILSVRC")


@dataclass(frozen=True)
class Picture:
    """An image that was tested: its name and its size before any transformation."""

    name: str
    height: int
    width: int


def read_pictures(path: str) -> list[Picture]:
    """The images of a file with a line ``name height width`` for each.

    Raises DataError, with the line number, for any other line.
    """
    try:
        lines = reading.read_text(path).split("\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    pictures = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        sides = [images.integer(word) or 0 for word in words[1:]]
        if len(words) != 3 or min(sides) < 1:
            raise DataError(f'{path}:{number}: "{line[:60]}" is not "name height width"')
        pictures.append(Picture(words[0], *sides))
    if not pictures:
        raise DataError(f"{path}: names no image")
    return pictures


def read_names(path: str) -> dict[int, str]:
    """The name of each label in a label map; DataError for a label that is in it twice."""
    names: dict[int, str] = {}
    for item in read_label_map(path).item:
        if item.label in names:
            raise DataError(f"{path}: label {item.label} is in it twice")
        names[item.label] = item.name
    return names


def in_pixels(
    boxes: Array, picture: Picture, resize: caffe_pb2.ResizeParameter | None
) -> tuple[Array, Array]:
    """Boxes of a net's input as pixels of the image that was resized to it, and their areas.

    boxes: (M, 4), xmin, ymin, xmax, ymax as fractions of the input.  `resize` is how the image was
    resized, None for WARP.  A box is cut to its image.  The area counts both border pixels, but,
    as in SSD, only one of them after FIT_SMALL_SIZE with a `height_scale`.
    """
    size = np.array([picture.width, picture.height] * 2, boxes.dtype)
    if resize is not None:
        if resize.resize_mode == resize.FIT_LARGE_SIZE_AND_PAD:
            boxes = _without_padding(boxes, picture, resize)
        elif resize.resize_mode == resize.FIT_SMALL_SIZE:
            scale = np.array([resize.width_scale, resize.height_scale] * 2, boxes.dtype)
            if scale.all():
                pixels = np.clip(boxes * scale, 0, size)
                return pixels, _areas(pixels, 0)
    pixels = np.clip(boxes, 0, 1) * size
    border = int(picture.width > 1 or picture.height > 1)
    return pixels, _areas(pixels, border)


def _areas(boxes: Array, border: int) -> Array:
    """0 for a box that is turned inside out."""
    sides = boxes[:, 2:] - boxes[:, :2]
    areas: Array = np.where((sides < 0).any(axis=1), 0, (sides + border).prod(axis=1))
    return areas


def _without_padding(boxes: Array, picture: Picture, resize: caffe_pb2.ResizeParameter) -> Array:
    """Boxes as fractions of the part of the input that shows the image.

    A box that lies in the padding alone is left as it is, as SSD does.
    """
    aspect = picture.width / picture.height
    if aspect > resize.width / resize.height:
        border = (1 - resize.width / aspect / resize.height) / 2
        shown = np.array([0, border, 1, 1 - border], boxes.dtype)
    else:
        border = (1 - resize.height * aspect / resize.width) / 2
        shown = np.array([border, 0, 1 - border, 1], boxes.dtype)
    inside = np.all((boxes[:, :2] < shown[2:]) & (boxes[:, 2:] > shown[:2]), axis=1)
    corner, side = np.tile(shown[:2], 2), np.tile(shown[2:] - shown[:2], 2)
    answer: Array = np.where(inside[:, None], (boxes - corner) / side, boxes)
    return answer


@dataclass(frozen=True)
class Detection:
    """A box in a picture: left, top, width and height in pixels, to two decimals."""

    picture: str
    label: int
    score: float
    box: tuple[float, float, float, float]

    def corners(self) -> str:
        """xmin, ymin, xmax and ymax in whole pixels, cut as SSD cuts them."""
        left, top, width, height = map(int, self.box)
        return f"{left} {top} {left + width} {top + height}"


class DetectionWriter:
    """Collects the detections of a test set, image by image, and writes them after its last.

    `names` has the name of each label that is written.  Each file is written whole or not at all.
    """

    def __init__(
        self,
        settings: caffe_pb2.SaveOutputParameter,
        pictures: Sequence[Picture],
        names: Mapping[int, str],
    ) -> None:
        self._settings = settings
        self._pictures = pictures
        self._names = names
        self._found: list[Detection] = []
        self._done = 0

    def add(self, rows: Array) -> None:
        """Take the detections of the next image: label, score, xmin, ymin, xmax, ymax each."""
        settings = self._settings
        picture = self._pictures[self._done]
        resize = settings.resize_param if settings.HasField("resize_param") else None
        pixels, _ = in_pixels(rows[:, 2:], picture, resize)
        for (label, score), (x0, y0, x1, y1) in zip(rows[:, :2], pixels):
            box = (_round(x0), _round(y0), _round(x1 - x0), _round(y1 - y0))
            self._found.append(Detection(picture.name, int(label), float(score), box))
        self._done += 1
        if self._done == self.images:
            self._write()
            self._found, self._done = [], 0

    def get_state(self) -> State:
        """The detections of the images so far."""
        rows = [[each.picture, each.label, each.score, *each.box] for each in self._found]
        return {"images": self._done, "detections": rows}

    def set_state(self, state: State) -> None:
        """Go on as after `get_state`.  Raises DataError for other values."""
        done = states.integer(state, "images", below=self.images)
        rows = states.take(state, "detections")
        kinds = [str, int, *[float] * 5]
        if not isinstance(rows, list) or not all(
            isinstance(row, list)
            and [type(value) for value in row] == kinds
            and row[1] in self._names
            for row in rows
        ):
            raise states.refuse("detections", rows, "a list of detections")
        self._done = done
        self._found = [
            Detection(row[0], row[1], row[2], (row[3], row[4], row[5], row[6])) for row in rows
        ]

    @property
    def images(self) -> int:
        """How many images the test set has."""
        settings = self._settings
        if settings.HasField("num_test_image"):
            return int(settings.num_test_image)
        return len(self._pictures)

    def _write(self) -> None:
        settings = self._settings
        folder = settings.output_directory
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise CaffeError(f'cannot make the folder "{folder}": {error.strerror}') from None
        for name, content in self._files():
            write_text(self._path(name), content)

    def paths(self) -> list[str]:
        """The files that it will write."""
        return [self._path(name) for name, _ in self._files()]

    def _path(self, name: str) -> str:
        settings = self._settings
        return os.path.join(settings.output_directory, settings.output_name_prefix + name)

    def _files(self) -> Iterator[tuple[str, str]]:
        """The ends of the files' names, and the contents."""
        kind = self._settings.output_format
        if kind == "VOC":
            lines: dict[str, str] = dict.fromkeys(self._names.values(), "")
            for each in self._found:
                name = self._names[each.label]
                lines[name] += f"{each.picture} {each.score:g} {each.corners()}\n"
            yield from ((f"{name}.txt", text) for name, text in lines.items())
        elif kind == "ILSVRC":
            rows = (
                f"{each.picture} {each.label} {each.score:g} {each.corners()}\n"
                for each in self._found
            )
            yield ".txt", "".join(rows)
        else:
            yield ".json", json.dumps([self._coco(each) for each in self._found], indent=4) + "\n"

    def _coco(self, each: Detection) -> dict[str, Any]:
        """An image or a category whose name is a number is written as one."""
        return {
            "image_id": _number(each.picture),
            "category_id": _number(self._names[each.label]),
            "bbox": each.box,
            "score": float(f"{each.score:.9g}"),
        }


def _round(value: Any) -> float:
    """To two decimals, halves up."""
    return math.floor(float(value) * 100 + 0.5) / 100


def _number(name: str) -> int | float | str:
    if re.fullmatch(r"-?[0-9]+", name):
        return int(name)
    return float(name) if re.fullmatch(r"-?[0-9]+\.[0-9]+", name) else name
