"""Readers: batches in order, from a database or an image list.

The thread of a `Prefetcher` calls a reader for one batch at a time.  A reader has no thread of its
own and draws only from its generator, so its batches depend on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite import glog
from caffe_lite.data import images
from caffe_lite.data.datum import datum_to_array, parse
from caffe_lite.data.db import open_db
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

log = glog.logger("caffe_lite.data")


@dataclass
class Batch:
    """Transformed images (N, channels, height, width) and their labels (N,)."""

    data: Array
    labels: Array


class Reader:
    """Makes batches; the images of one batch have equal shapes.

    A subclass defines `_next` and `_peek`.
    """

    def __init__(
        self, batch_size: int, transformer: DataTransformer, dtype: npt.DTypeLike
    ) -> None:
        self._batch_size = batch_size
        self._transformer = transformer
        self._dtype = dtype

    def _next(self) -> tuple[str, Array, int]:
        """The next image's name for error messages, the image, and its label."""
        raise NotImplementedError

    def _peek(self) -> tuple[str, Array, int]:
        """The result of the first `_next`, without consuming it."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        """The shape of the first batch's data.

        Raises LayerError if its first image cannot be transformed.
        """
        _, image, _ = self._peek()
        return (self._batch_size, *self._transformer.output_shape(image.shape))

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; reuses the arrays of `old` if they have its shape."""
        batch = None
        for i in range(self._batch_size):
            name, image, label = self._next()
            try:
                shape = self._transformer.output_shape(image.shape)
            except CaffeError as error:
                raise DataError(f"{name}: {error.message}") from None
            if batch is None:
                batch = self._batch(old, shape)
            elif shape != batch.data.shape[1:]:
                raise DataError(
                    f"{name} has shape {shape}, but the first of its batch has "
                    f"{batch.data.shape[1:]}; resize or crop the images, or use batch_size 1"
                )
            self._transformer.apply(image, batch.data[i])
            batch.labels[i] = label
        assert batch is not None  # batch_size is positive
        return batch

    def _batch(self, old: Batch | None, shape: Shape) -> Batch:
        if old is not None and old.data.shape[1:] == shape:
            return old
        data = np.empty((self._batch_size, *shape), self._dtype)
        return Batch(data, np.empty(self._batch_size, self._dtype))

    def close(self) -> None:
        """Close the open files."""


class RecordReader(Reader):
    """Cycles through the Datums of a database in the order of their keys."""

    def __init__(
        self,
        param: caffe_pb2.DataParameter,
        transformer: DataTransformer,
        dtype: npt.DTypeLike,
    ) -> None:
        super().__init__(param.batch_size, transformer, dtype)
        self._source = param.source
        backend = caffe_pb2.DataParameter.DB.Name(param.backend).lower()
        self._cursor = open_db(param.source, backend)

    def _peek(self) -> tuple[str, Array, int]:
        first = self._next()
        self._cursor.rewind()
        return first

    def _next(self) -> tuple[str, Array, int]:
        record = self._cursor.read()
        if record is None:
            log.info("Restarting data prefetching from start.")
            self._cursor.rewind()
            record = self._cursor.read()
            assert record is not None  # open_db refuses an empty database
        key, value = record
        name = f'record "{key.decode(errors="backslashreplace")}" of "{self._source}"'
        try:
            datum = parse(value)
            return name, datum_to_array(datum, self._transformer.color), datum.label
        except DataError as error:
            raise DataError(f"{name}: {error.message}") from None

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
        param: caffe_pb2.ImageDataParameter,
        transformer: DataTransformer,
        dtype: npt.DTypeLike,
        rng: Generator,
    ) -> None:
        super().__init__(param.batch_size, transformer, dtype)
        self._param = param
        self._rng = rng
        self._items = images.read_list(param.source)
        log.info("A total of %d images.", len(self._items))
        self._arrange()
        self._at = int(rng.integers(param.rand_skip)) if param.rand_skip else 0
        if self._at >= len(self._items):
            raise DataError(
                f"rand_skip drew {self._at} images to skip, but the list has {len(self._items)}"
            )

    def _arrange(self) -> None:
        if self._param.shuffle:
            self._items = [self._items[i] for i in self._rng.permutation(len(self._items))]

    def _peek(self) -> tuple[str, Array, int]:
        name, label = self._items[self._at]
        path = self._param.root_folder + name
        image = images.read(path, self._param.is_color)
        if self._param.new_height:
            image = images.resize(image, self._param.new_height, self._param.new_width)
        return f'image "{path}"', image, label

    def _next(self) -> tuple[str, Array, int]:
        item = self._peek()
        self._at += 1
        if self._at == len(self._items):
            self._at = 0
            self._arrange()
        return item
