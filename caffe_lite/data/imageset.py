"""The records that Caffe's convert_imageset writes for an image list."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from caffe_lite.data import images
from caffe_lite.data.datum import array_to_datum
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2
from caffe_lite.rng import Streams

Array = npt.NDArray[Any]
Item = tuple[str, int]
T = TypeVar("T")
R = TypeVar("R")

ENCODINGS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "png": "PNG",
    "bmp": "BMP",
    "tif": "TIFF",
    "tiff": "TIFF",
}
"""The file types in which an image can be stored, with Pillow's names for them."""

JPEG_QUALITY = 95  # OpenCV's default


@dataclass(frozen=True)
class Settings:
    """How each image is converted.

    `root` is a prefix of every file name; no slash is added.  A `height` and `width` of 0 keep
    the size.  `encoding` is the file type in which to store images, a key of `ENCODINGS`, or
    "guess" for the type in each file's name.  As in Caffe, a file that already has this type and
    is not resized is stored unchanged: in colour even if `gray` is set.  `same_size` refuses an
    image whose size differs from the first.
    """

    root: str = ""
    gray: bool = False
    height: int = 0
    width: int = 0
    encoding: str = ""
    same_size: bool = False


@dataclass(frozen=True)
class Record:
    """One image: its key, and either its serialized Datum or the problem that prevented it."""

    key: bytes
    value: bytes = b""
    shape: tuple[int, ...] = ()
    problem: str = ""


def shuffled(items: list[Item], seed: int) -> list[Item]:
    """The items in a random order that depends only on the seed."""
    order = Streams(seed).stream("convert_imageset").permutation(len(items))
    return [items[i] for i in order]


def records(items: Iterable[Item], settings: Settings) -> Iterator[Record]:
    """The record of each (file name, label), in order, decoded on all processors.

    Keys are "%08d_name".  An image that cannot be read or encoded gives a record with a
    `problem`, and its number is not reused.  Raises DataError for an image of another size if
    `same_size` is set.
    """
    first: Record | None = None
    for record in _in_parallel(lambda item: _record(*item, settings), enumerate(items)):
        if not record.problem and settings.same_size:
            first = first or record
            if record.shape != first.shape:
                raise DataError(
                    f"image {_name(record)} has shape {record.shape}, but the first, "
                    f"{_name(first)}, has {first.shape}"
                )
        yield record


def _name(record: Record) -> str:
    return f'"{record.key.partition(b"_")[2].decode(errors="replace")}"'


def _in_parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`function` of each item, in order, computed a few items in advance."""
    threads = _threads()
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _threads() -> int:
    """The number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _record(number: int, item: Item, settings: Settings) -> Record:
    name, label = item
    key = f"{number:08d}_{name}".encode(errors="surrogateescape")
    try:
        datum, shape = _datum(settings.root + name, settings)
    except DataError as error:
        return Record(key, problem=error.message)
    datum.label = label
    return Record(key, datum.SerializeToString(), shape)


def _datum(path: str, settings: Settings) -> tuple[caffe_pb2.Datum, tuple[int, ...]]:
    """The Datum of an image file, without its label, and the image's shape."""
    content = images.read_bytes(path)
    try:
        image = images.decode(content, not settings.gray)
    except DataError as error:
        raise DataError(f'"{path}": {error.message}') from None
    if settings.height and settings.width:
        image = images.resize(image, settings.height, settings.width)
    if settings.encoding:
        encoding = _suffix(path) if settings.encoding == "guess" else settings.encoding
        if encoding not in ENCODINGS:
            raise DataError(f'"{path}": the file name gives no encoding; set encode_type')
        if settings.height or ENCODINGS.get(_suffix(path)) != ENCODINGS[encoding]:
            content = encode(image, encoding)
        return caffe_pb2.Datum(data=content, encoded=True), image.shape
    datum = array_to_datum(image)
    datum.encoded = False  # the default, but Caffe writes it
    return datum, image.shape


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


def encode(image: Array, encoding: str) -> bytes:
    """The bytes of an image file; `image`: (1 or 3 channels, height, width) uint8, BGR."""
    from PIL import Image

    pixels = image[0] if len(image) == 1 else image[::-1].transpose(1, 2, 0)
    file = io.BytesIO()
    kind = ENCODINGS[encoding]
    options = {"quality": JPEG_QUALITY} if kind == "JPEG" else {}
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, kind, **options)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be encoded as {kind}: {error}") from None
    return file.getvalue()
