"""The records that Caffe's convert_imageset makes of an image list."""

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
"""The file types an image can be stored as, with Pillow's names for them."""

JPEG_QUALITY = 95  # OpenCV's


@dataclass(frozen=True)
class Settings:
    """What becomes of each image.

    `root` is put before each file name as it is.  `height` and `width` of 0 leave the size.
    `encoding`, of `ENCODINGS`, stores images as files; "guess" takes it from each file's name.
    A file that has that type already, and is not resized, is stored as it is, as in Caffe: in
    colour even if `gray`.  `same_size` refuses an image of another size than the first.
    """

    root: str = ""
    gray: bool = False
    height: int = 0
    width: int = 0
    encoding: str = ""
    same_size: bool = False


@dataclass(frozen=True)
class Record:
    """One image: its key, and its Datum or the reason why there is none."""

    key: bytes
    value: bytes = b""
    shape: tuple[int, ...] = ()
    problem: str = ""


def shuffled(items: list[Item], seed: int) -> list[Item]:
    """The items in an order that the seed alone decides."""
    order = Streams(seed).stream("convert_imageset").permutation(len(items))
    return [items[i] for i in order]


def records(items: Iterable[Item], settings: Settings) -> Iterator[Record]:
    """The record of each (file name, label), in their order, decoded on all processors.

    Keys are "%08d_name".  An image that cannot be read or encoded gives a record with a
    `problem`; its number stays unused.  Raises DataError for an image of another size where
    `same_size` forbids it.
    """
    first: Record | None = None
    for record in _in_parallel(lambda item: _record(*item, settings), enumerate(items)):
        if not record.problem and settings.same_size:
            first = first or record
            if record.shape != first.shape:
                raise DataError(
                    f"image {_name(record)} has shape {record.shape}, but the first, "
                    f"{_name(first)}, {first.shape}"
                )
        yield record


def _name(record: Record) -> str:
    return f'"{record.key.partition(b"_")[2].decode(errors="replace")}"'


def _in_parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`function` of each item, in order, a few ahead of what is asked for."""
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
    """How many processors this process may use."""
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
            raise DataError(f'"{path}": its name does not tell how to encode it')
        if settings.height or ENCODINGS.get(_suffix(path)) != ENCODINGS[encoding]:
            content = encode(image, encoding)
        return caffe_pb2.Datum(data=content, encoded=True), image.shape
    datum = array_to_datum(image)
    datum.encoded = False  # which Caffe says in so many words
    return datum, image.shape


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


def encode(image: Array, encoding: str) -> bytes:
    """The bytes of a file of an image (1 or 3 channels, height, width) uint8, blue first."""
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
