"""Readers: batches in order, from a database or an image list.

The thread of a `Prefetcher` calls a reader for one batch at a time.  A reader has no thread of its
own and draws only from its generator, so its batches depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import glog, states
from caffe_lite.data import images
from caffe_lite.data.cursor import Cursor, KeyCursor
from caffe_lite.data.datum import datum_to_array, parse
from caffe_lite.data.db import open_db
from caffe_lite.data.record_streams import RecordStreams
from caffe_lite.data.shuffled import ShuffledCursor
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.distributed.share import ALONE
from caffe_lite.errors import CaffeError, DataError, OutOfMemory
from caffe_lite.proto import caffe_pb2
from caffe_lite.states import State

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

log = glog.logger("caffe_lite.data")


@dataclass
class Batch:
    """Transformed images (N, channels, height, width), their labels, and what else a layer gives.

    `state` is the reader's after it has made them.
    """

    data: Array
    labels: Array
    state: State = field(default_factory=dict)
    others: tuple[Array, ...] = ()

    @property
    def tops(self) -> tuple[Array, ...]:
        """The arrays for the tops of a layer, in their order."""
        return (self.data, self.labels, *self.others)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Errors in the block are DataErrors of the item of that name."""
    try:
        yield
    except OutOfMemory as error:
        raise OutOfMemory(f"{name}: {error.message}") from None
    except CaffeError as error:
        raise DataError(f"{name}: {error.message}") from None


class Reader:
    """Makes batches; the images of one batch have equal shapes.

    `share` is the part of the records that it reads; set it before the first batch.  A subclass
    defines `_next`, `_peek`, `_skip`, `position` and `move_to`.  What concerns the source, such as
    an order, is drawn from `_rng`, and what concerns a record from the transformer's `rng`.
    """

    share = ALONE

    def __init__(
        self, batch_size: int, transformer: DataTransformer, dtype: npt.DTypeLike
    ) -> None:
        self._batch_size = batch_size
        self._transformer = transformer
        self._dtype = dtype
        self._rng = transformer.rng
        self._streams = transformer.streams = RecordStreams(transformer.rng)
        self._first = True  # no batch was made from here on

    def _next(self) -> tuple[str, Array, int]:
        """The next image's name for error messages, the image, and its label."""
        raise NotImplementedError

    def _peek(self) -> tuple[str, Array, int]:
        """The result of the first `_next`, without consuming it."""
        raise NotImplementedError

    def _skip(self, count: int) -> None:
        """Leave out so many images."""
        raise NotImplementedError

    def _begin_batch(self) -> None:
        """Draw what concerns a whole batch, also for one that another rank makes."""

    def _places(self) -> Iterator[int]:
        """The items of a batch, by number, each when the source is at its record.

        Afterwards the source is behind the batch, where records are shared behind that of all
        ranks.
        """
        share, size = self.share, self._batch_size
        for _ in range(share.batches_before(self._first)):
            self._begin_batch()
            self._skip(size)
            self._streams.leave(size)
        self._first = False
        self._begin_batch()
        for item in range(size):
            self._skip(share.before)
            self._streams.go_to(share.row(item))
            yield item
            self._skip(share.after)
        self._streams.leave(share.rows(size))

    @property
    def shape(self) -> Shape:
        """The shape of the first batch's data.

        Raises LayerError if its first image cannot be transformed.
        """
        _, image, _ = self._peek()
        return (self._batch_size, *self._transformer.output_shape(image.shape))

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the first batch's arrays.  Raises LayerError as `shape` does."""
        return [self.shape, (self._batch_size,)]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; reuses the arrays of `old` if they have its shape."""
        batch = None
        for i in self._places():
            name, image, label = self._next()
            with named(name):
                shape = self._transformer.output_shape(image.shape)
            if batch is None:
                batch = self._batch(old, shape)
            self._require_shape(name, shape, batch)
            with named(name):
                self._transformer.apply(image, batch.data[i])
            batch.labels[i] = label
        assert batch is not None  # batch_size is positive
        batch.state = self.get_state()
        return batch

    def get_state(self) -> State:
        """What the next batches depend on: the position in the source, and the random streams."""
        random = {"rng": states.of_generator(self._rng), "records_rng": self._streams.get_state()}
        return {**random, **self.position()}

    def set_state(self, state: State) -> None:
        """Go on as after `get_state`.  Raises DataError if the source has no such position."""
        self.move_to(state)
        states.restore_generator(self._rng, state)
        self._streams.set_state(state, "records_rng")
        self._first = True

    def position(self) -> State:
        """Where the next item is."""
        raise NotImplementedError

    def move_to(self, state: State) -> None:
        """Go to a `position`.  Raises DataError if the source has no such position."""
        raise NotImplementedError

    def _require_shape(self, name: str, shape: Shape, batch: Batch) -> None:
        if shape != batch.data.shape[1:]:
            raise DataError(
                f"{name} has shape {shape}, but the first of its batch has "
                f"{batch.data.shape[1:]}; resize or crop the images, or use batch_size 1"
            )

    def _batch(self, old: Batch | None, shape: Shape) -> Batch:
        if old is not None and old.data.shape[1:] == shape:
            return old
        data = np.empty((self._batch_size, *shape), self._dtype)
        return Batch(data, np.empty(self._batch_size, self._dtype))

    def close(self) -> None:
        """Close the open files."""


class RecordReader(Reader):
    """Cycles through the Datums of a database, or of those of a list, in the order of their keys.

    The first records of all databases of a list must have the same number of channels.  `shuffle`
    draws a new order of the records of one database in each cycle.
    """

    def __init__(
        self,
        param: caffe_pb2.DataParameter,
        transformer: DataTransformer,
        dtype: npt.DTypeLike,
    ) -> None:
        super().__init__(param.batch_size, transformer, dtype)
        self._channels: int | None = None
        backend = caffe_pb2.DataParameter.DB.Name(param.backend).lower()
        cursor = open_db(param.source, backend, self._require_channels)
        self._cursor = self._shuffled(cursor) if param.shuffle else cursor

    def _shuffled(self, cursor: Cursor) -> Cursor:
        """The records in an order that is drawn; refuses a list of databases."""
        if isinstance(cursor, KeyCursor):
            return ShuffledCursor(cursor, self._rng)
        cursor.close()
        raise DataError(
            "shuffle: true needs one database, but this is a list of databases; leave shuffle "
            "out, or write the records to one database"
        )

    def _require_channels(self, value: bytes) -> None:
        """Refuse a record whose image has other channels than the first that was seen."""
        channels = len(datum_to_array(self._datum(value), self._transformer.color))
        if self._channels is None:
            self._channels = channels
        if channels != self._channels:
            raise DataError(
                f"its first image has {channels} channels, but that of the first database of the "
                f"list has {self._channels}"
            )

    def _datum(self, value: bytes) -> caffe_pb2.Datum:
        return parse(value)

    def _peek(self) -> tuple[str, Array, int]:
        first = self._next()
        self._cursor.rewind()
        return first

    def _next(self) -> tuple[str, Array, int]:
        name, value = self._read()
        with named(name):
            datum = parse(value)
            return name, datum_to_array(datum, self._transformer.color), datum.label

    def _skip(self, count: int) -> None:
        while count:
            passed = self._cursor.skip(count)
            if passed < count:
                self._restart()
            count -= passed

    def _restart(self) -> None:
        log.info("Restarting data prefetching from start.")
        self._cursor.begin_round()

    def _read(self) -> tuple[str, bytes]:
        """The next record's name for error messages, and its bytes."""
        record = self._cursor.read()
        if record is None:
            self._restart()
            record = self._cursor.read()
            assert record is not None  # open_db refuses an empty database
        key, value = record
        name = f'record "{key.decode(errors="backslashreplace")}" of "{self._cursor.source}"'
        return name, value

    def position(self) -> State:
        """Where the cursor is."""
        return self._cursor.get_state()

    def move_to(self, state: State) -> None:
        """Go to a place in the databases."""
        self._cursor.set_state(state)

    def close(self) -> None:
        """Close the database."""
        self._cursor.close()


class ImageReader(Reader):
    """Cycles through the images of a list, resized if a size is given.

    `shuffle` draws a new order in each cycle.  In the first cycle a random number of images below
    `rand_skip` is skipped.
    """

    def __init__(
        self,
        param: caffe_pb2.ImageDataParameter | caffe_pb2.DenseImageDataParameter,
        transformer: DataTransformer,
        dtype: npt.DTypeLike,
    ) -> None:
        super().__init__(param.batch_size, transformer, dtype)
        self._param = param
        self._items = self._list()
        log.info("A total of %d images.", len(self._items))
        self._arrange()
        self._at = int(self._rng.integers(param.rand_skip)) if param.rand_skip else 0
        if self._at >= len(self._items):
            raise DataError(
                f"rand_skip drew {self._at} images to skip, but the list has {len(self._items)}"
            )

    def _list(self) -> Sequence[tuple[str, Any]]:
        """The images' names, each with what the list says of it."""
        return images.read_list(self._param.source)

    def _arrange(self) -> None:
        self._before_order = states.of_generator(self._rng) if self._param.shuffle else None
        count = len(self._items)
        self._order = self._rng.permutation(count) if self._param.shuffle else range(count)

    def position(self) -> State:
        """How many images of this cycle are read, and the random stream before it was shuffled."""
        return {"image": self._at, "images": len(self._items), "order": self._before_order}

    def move_to(self, state: State) -> None:
        """Shuffle as that cycle was shuffled, and go to its image."""
        self._at = states.integer(state, "image", below=len(self._items))
        if self._param.shuffle:
            states.restore_generator(self._rng, state, "order")
        self._arrange()
        states.note_change(state, "images", len(self._items), self._param.source)

    def _peek(self) -> tuple[str, Array, Any]:
        name, label = self._items[self._order[self._at]]
        path = self._param.root_folder + name
        return f'image "{path}"', self._image(path), label

    def _image(self, path: str) -> Array:
        """The image in a file, resized."""
        image = images.read(path, self._param.is_color)
        if self._param.new_height:
            image = images.resize(image, self._param.new_height, self._param.new_width)
        return image

    def _next(self) -> tuple[str, Array, Any]:
        item = self._peek()
        self._skip(1)
        return item

    def _skip(self, count: int) -> None:
        while count:
            passed = min(count, len(self._items) - self._at)
            self._at += passed
            count -= passed
            if self._at == len(self._items):
                self._at = 0
                self._arrange()
