"""The records that Caffe's convert_imageset writes for an image list."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from caffe_lite.data import images
from caffe_lite.data.datum import array_to_datum
from caffe_lite.distributed.group import Group
from caffe_lite.distributed.order import dealt, in_order
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

BLOCK = 16
"""How many images a rank decodes before the next rank's turn: some megabytes of records."""

JPEG_QUALITY = 95  # OpenCV's default


@dataclass(frozen=True)
class Settings:
    """How each image is converted.

    `root` is a prefix of every file name; no slash is added.  A `height` and `width` of 0 keep
    the size.  `encoding` is the file type in which to store images, a key of `ENCODINGS`, or
    "guess" for the type in each file's name.  As in Caffe, a file that already has this type and
    is not resized is stored unchanged: in colour even if `gray` is set.  `same_size` refuses an
    image whose size differs from the first.  `min_dim` and `max_dim`, of SSD's tools, bound the
    shorter and the longer side instead of `height` and `width`, and keep the aspect.
    """

    root: str = ""
    gray: bool = False
    height: int = 0
    width: int = 0
    encoding: str = ""
    same_size: bool = False
    min_dim: int = 0
    max_dim: int = 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size that an image of `height` x `width` is stored with."""
        if not (self.min_dim or self.max_dim):
            return (self.height, self.width) if self.height and self.width else (height, width)
        scale = np.float32(1)
        if min(height, width) < self.min_dim:
            scale = np.float32(self.min_dim) / np.float32(min(height, width))
        if 0 < self.max_dim < int(scale * np.float32(max(height, width))):
            scale = np.float32(self.max_dim) / np.float32(max(height, width))
        new = [max(int(np.rint(float(scale) * side)), 1) for side in (height, width)]
        images.check_pixels(new[1], new[0])
        return new[0], new[1]


@dataclass(frozen=True)
class Converted:
    """An image as a Datum without a label, its height and width before, and its shape now."""

    datum: caffe_pb2.Datum
    original: tuple[int, int]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """One image: its key, and either its serialized Datum or the problem that prevented it.

    `remarks` say what is odd about an image that is stored all the same.
    """

    key: bytes
    value: bytes = b""
    shape: tuple[int, ...] = ()
    problem: str = ""
    remarks: tuple[str, ...] = ()


def shuffled(items: Sequence[T], seed: int) -> list[T]:
    """The items in a random order that depends only on the seed."""
    order = Streams(seed).stream("convert_imageset").permutation(len(items))
    return [items[i] for i in order]


def records(
    items: Iterable[Item], settings: Settings, group: Group | None = None
) -> Iterator[Record]:
    """The record of each (file name, label), in order, decoded on all processors.

    Keys are "%08d_name".  An image that cannot be read or encoded gives a record with a
    `problem`, and its number is not reused.  Raises DataError for an image of another size if
    `same_size` is set.  The ranks of a `group` each decode a part; all records come at rank 0.
    """
    group = group or Group()
    own = dealt(group, enumerate(items), BLOCK)
    decoded = in_parallel(lambda item: _record(*item, settings), own)
    made = in_order(group, decoded, BLOCK)
    yield from same_sized(made) if settings.same_size else made


def same_sized(records: Iterable[Record]) -> Iterator[Record]:
    """The records; raises DataError for an image whose size differs from the first's."""
    first: Record | None = None
    for record in records:
        if not record.problem:
            first = first or record
            if record.shape != first.shape:
                raise DataError(
                    f"image {_name(record)} has shape {record.shape}, but the first, "
                    f"{_name(first)}, has {first.shape}"
                )
        yield record


def _name(record: Record) -> str:
    return f'"{record.key.partition(b"_")[2].decode(errors="replace")}"'


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
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


def key_of(number: int, name: str) -> bytes:
    """The key of the image of that number and name."""
    return f"{number:08d}_{name}".encode(errors="surrogateescape")


def _record(number: int, item: Item, settings: Settings) -> Record:
    name, label = item
    key = key_of(number, name)
    try:
        made = convert(settings.root + name, settings)
    except DataError as error:
        return Record(key, problem=error.message)
    made.datum.label = label
    return Record(key, made.datum.SerializeToString(), made.shape)


def convert(path: str, settings: Settings) -> Converted:
    """An image file as a Datum.  Raises DataError if it cannot be read or encoded."""
    content = images.read_bytes(path)
    try:
        image = images.decode(content, not settings.gray)
    except DataError as error:
        raise DataError(f'"{path}": {error.message}') from None
    original: tuple[int, int] = image.shape[1:]
    size = settings.size(*original)
    image = images.resize(image, *size)
    if not settings.encoding:
        datum = array_to_datum(image)
        datum.encoded = False  # the default, but Caffe writes it
        return Converted(datum, original, image.shape)
    encoding = _suffix(path) if settings.encoding == "guess" else settings.encoding
    if encoding not in ENCODINGS:
        raise DataError(f'"{path}": the file name gives no encoding; set encode_type')
    resizes = settings.height or settings.min_dim or settings.max_dim
    if resizes or ENCODINGS.get(_suffix(path)) != ENCODINGS[encoding]:
        content = encode(image, encoding)
    return Converted(caffe_pb2.Datum(data=content, encoded=True), original, image.shape)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


def encode(image: Array, encoding: str, quality: int = JPEG_QUALITY) -> bytes:
    """The bytes of an image file; `image`: (1 or 3 channels, height, width) uint8, BGR."""
    from PIL import Image

    pixels = image[0] if len(image) == 1 else image[::-1].transpose(1, 2, 0)
    file = io.BytesIO()
    kind = ENCODINGS[encoding]
    options = {"quality": quality} if kind == "JPEG" else {}
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, kind, **options)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be encoded as {kind}: {error}") from None
    return file.getvalue()
