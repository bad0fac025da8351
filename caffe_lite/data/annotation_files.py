"""Annotations as people make them: the XML of PASCAL VOC, the JSON of COCO, and text.

A document type in an XML is refused: it may define entities that grow without bound, or that name
other files.  Nothing here opens a file but the one that it is given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from caffe_lite import reading
from caffe_lite.data import images
from caffe_lite.errors import DataError

KINDS = ("xml", "json", "txt")

LARGEST = 64 << 20
"""The most bytes of the annotations of one image.  A whole set in one JSON may have
`reading.LARGEST_TEXT`."""

_LARGEST_SIDE = 1 << 31  # pixels
_DEEPEST = 50  # elements within elements; VOC's parts are five deep


@dataclass(frozen=True)
class Drawn:
    """An object in an image: its label, and its box xmin, ymin, xmax, ymax in pixels."""

    label: int
    box: tuple[float, float, float, float]
    difficult: bool = False


@dataclass(frozen=True)
class Described:
    """The objects of an image, and its height and width if the annotations have them."""

    objects: list[Drawn] = field(default_factory=list)
    size: tuple[int, int] | None = None


def read_xml(path: str, labels: Mapping[str, int]) -> Described:
    """The objects in an XML of PASCAL VOC or ILSVRC.

    labels: the label of each name.  Raises DataError, with the line number, for an unknown name, a
    box that is none, and anything that is not such an XML.
    """
    root = _Elements(path).read()
    if root.name != "annotation":
        raise _at(path, root.line, f'is "{root.name}", not "annotation"')
    objects = []
    for each in root.all("object"):
        name = each.one("name", path)
        if name.text not in labels:
            raise _at(path, name.line, f'the label map has no "{name.text}"')
        box = each.one("bndbox", path)
        corners = [box.one(side, path) for side in ("xmin", "ymin", "xmax", "ymax")]
        numbers = [_number(corner.text) for corner in corners]
        for corner, number in zip(corners, numbers, strict=True):
            if number is None:
                raise _at(path, corner.line, f'{corner.name} is "{corner.text}", not a number')
        difficult = [part.text for part in each.all("difficult")] == ["1"]
        x0, y0, x1, y1 = (float(number or 0) for number in numbers)
        objects.append(Drawn(labels[name.text], (x0, y0, x1, y1), difficult))
    sizes = [_number(part.text) for size in root.all("size") for part in size.pair()]
    return Described(objects, _size(sizes))


def read_text(path: str) -> Described:
    """The objects of a file with a line ``label xmin ymin xmax ymax`` for each, in pixels."""
    objects = []
    for index, line in enumerate(_content(path, LARGEST).decode(errors="replace").split("\n"), 1):
        words = line.split()
        if not words:
            continue
        label, numbers = images.integer(words[0]), [_number(word) for word in words[1:]]
        if label is None or len(numbers) != 4 or None in numbers:
            raise _at(path, index, f'"{line[:60]}" is not "label xmin ymin xmax ymax"')
        x0, y0, x1, y1 = (float(number or 0) for number in numbers)
        objects.append(Drawn(label, (x0, y0, x1, y1)))
    return Described(objects)


class CocoFile:
    """A JSON of COCO: of one image, as SSD splits COCO's, or of a whole set.

    Of one image: {"image": {...}, "annotation": [{...}, ...]}.  Of a set: {"images": [...],
    "annotations": [...], "categories": [...]}.  An object's category_id, or the name of that
    category, is a name in the label map.  Raises DataError for any other file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            found = json.loads(_content(path, reading.LARGEST_TEXT))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
        except (ValueError, RecursionError, UnicodeDecodeError):
            raise DataError(f"{path}: not JSON") from None
        self._categories: dict[str, str] = {}
        self._objects: dict[str, list[Any]] = {}
        self._images: dict[str, list[dict[str, Any]]] = {}
        self._only: dict[str, Any] | None = None
        if not isinstance(found, dict):
            raise self._error("it is not an object with images and annotations")
        if "annotation" in found:
            self._only = self._mapping(found.get("image", {}))
            self._only_objects = self._list(found["annotation"])
            return
        for each in self._list(found.get("categories", [])):
            category = self._mapping(each)
            self._categories[str(category.get("id"))] = str(category.get("name"))
        for each in self._list(found.get("annotations")):
            self._objects.setdefault(str(self._mapping(each).get("image_id")), []).append(each)
        for each in self._list(found.get("images")):
            name = os.path.basename(str(self._mapping(each).get("file_name")))
            self._images.setdefault(name, []).append(each)

    def of_image(self, name: str, labels: Mapping[str, int]) -> Described:
        """The objects of the image of that name, which may end in the set's name for it."""
        if self._only is not None:
            image, objects = self._only, self._only_objects
        else:
            named = [
                each
                for each in self._images.get(os.path.basename(name), [])
                if f"/{name}".endswith(f"/{each.get('file_name')}")
            ]
            if len(named) != 1:
                raise self._error(f'it has {len(named)} images of the name "{name}", not one')
            image = named[0]
            objects = self._objects.get(str(image.get("id")), [])
        sizes = [_value(image.get(side)) for side in ("width", "height")]
        return Described([self._drawn(each, labels) for each in objects], _size(sizes))

    def _drawn(self, found: Any, labels: Mapping[str, int]) -> Drawn:
        each = self._mapping(found)
        number = str(each.get("category_id"))
        name = number if number in labels else self._categories.get(number, number)
        if name not in labels:
            raise self._error(f'the label map has no "{name}" (category_id {number})')
        box = [_value(side) for side in self._list(each.get("bbox"))]
        if len(box) != 4 or None in box:
            shown = json.dumps(each.get("bbox"))[:60]
            raise self._error(f"a bbox is {shown}, not x, y, width and height")
        x, y, width, height = (float(side or 0) for side in box)
        return Drawn(labels[name], (x, y, x + width, y + height), bool(each.get("iscrowd", 0)))

    def _mapping(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{json.dumps(value)[:60]} is not an object")
        return value

    def _list(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self._error(f"{json.dumps(value)[:60]} is not a list")
        return value

    def _error(self, message: str) -> DataError:
        return DataError(f"{self._path}: {message}")


@dataclass
class _Element:
    """An element of an XML, its text and its line."""

    name: str
    line: int
    text: str = ""
    parts: list[_Element] = field(default_factory=list)

    def all(self, name: str) -> list[_Element]:
        return [part for part in self.parts if part.name == name]

    def one(self, name: str, path: str) -> _Element:
        found = self.all(name)
        if len(found) != 1:
            raise _at(path, self.line, f'"{self.name}" has {len(found)} "{name}", not one')
        return found[0]

    def pair(self) -> list[_Element]:
        """Its width and height."""
        return [part for name in ("width", "height") for part in self.all(name)[:1]]


class _Elements:
    """The elements of an XML file.  Raises DataError, with the line number, for another file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: list[_Element] = []
        self._roots: list[_Element] = []
        self._parser = parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.buffer_text = True

    def read(self) -> _Element:
        """The root."""
        content = _content(self._path, LARGEST)
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise _at(self._path, error.lineno, f"not XML: {reason}") from None
        except (ValueError, LookupError):  # an encoding that Python does not know
            raise DataError(f"{self._path}: not XML that can be read") from None
        return self._roots[0]  # expat refuses an XML without an element

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self._parser.CurrentLineNumber
        if len(self._open) >= _DEEPEST:
            raise _at(self._path, line, f"elements are more than {_DEEPEST} deep")
        element = _Element(name, line)
        (self._open[-1].parts if self._open else self._roots).append(element)
        self._open.append(element)

    def _end(self, name: str) -> None:
        element = self._open.pop()
        element.text = element.text.strip()

    def _text(self, text: str) -> None:
        if not self._open[-1].parts:
            self._open[-1].text += text

    def _refuse(self, *_: object) -> None:
        line = self._parser.CurrentLineNumber
        raise _at(self._path, line, "has a document type (DOCTYPE); remove it")


def _content(path: str, limit: int) -> bytes:
    try:
        return reading.read_bytes(path, limit)
    except OSError as error:
        raise DataError(f'cannot read the annotations "{path}": {error.strerror}') from None


def _at(path: str, line: int, message: str) -> DataError:
    return DataError(f"{path}:{line}: {message}")


def _number(text: str) -> float | None:
    """The number of pixels that a text is, if it is one."""
    try:
        return _value(float(text))
    except ValueError:
        return None


def _value(value: Any) -> float | None:
    """A number of pixels, if the value is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < _LARGEST_SIDE else None


def _size(sides: list[float | None]) -> tuple[int, int] | None:
    """Height and width, of a width and a height; None if they are no size."""
    if len(sides) != 2 or not all(side and side >= 1 for side in sides):
        return None
    width, height = (int(side or 0) for side in sides)
    return height, width
