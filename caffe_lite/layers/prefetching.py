"""What layers share whose batches a thread of its own prepares from files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import ClassVar

from caffe_lite import glog
from caffe_lite.blob import Blob, Shape
from caffe_lite.data import images
from caffe_lite.data.detection_scenes import DetectionReader, EvalReader
from caffe_lite.data.frames import FrameReader
from caffe_lite.data.image_gt import ImageGtReader
from caffe_lite.data.prefetch import Prefetcher
from caffe_lite.data.readers import Batch, Reader
from caffe_lite.data.transformer import DataTransformer, crop_of, read_mean
from caffe_lite.data.windows import WindowReader
from caffe_lite.errors import DataError, OutOfMemory
from caffe_lite.layers.base import Source, TakesShare
from caffe_lite.layers.declarations import Count
from caffe_lite.proto import caffe_pb2
from caffe_lite.states import State

log = glog.logger("caffe_lite.data")


def missing(path: str) -> bool:
    """Whether there is no such file or folder."""
    return not path or not os.path.exists(path)


class Prefetching(TakesShare, Source):
    """A source whose batches a thread of its own prepares, ``data_param.prefetch`` ahead at most.

    A subclass gives `_open`.  top[0]: (N, channels, height, width); top[1]: labels (N,).
    """

    config_field: ClassVar[str]
    source_field: ClassVar[str] = "source"
    tops: ClassVar[Count] = 2
    takes_turns = True
    dynamic = True
    heeds = frozenset({"data_param"})
    _prefetcher: Prefetcher[Batch] | None = None
    _state: State

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Where its source is missing."""
        return missing(getattr(param, cls.config_field).source)

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """From batch_size, transform_param, the mean file and the type's own fields."""
        batch_size = getattr(param, cls.config_field).batch_size
        item = items.get(param.top[0]) if param.top else None
        if item is None and batch_size:
            item = cls._declared_item(param, channels)
        if item is None:
            return None
        image = (batch_size, *item)
        labels, count = cls._label_shapes(param, image), len(param.top) - 1
        if labels is None or len(labels) < count:  # a layer that is opened says what it takes
            return None
        return [image, *labels[:count]]

    @classmethod
    def _label_shapes(cls, param: caffe_pb2.LayerParameter, image: Shape) -> list[Shape] | None:
        """Of the tops after the images, for a batch (N, …) of them; None if only data say it."""
        return [image[:1]] * (len(param.top) - 1)

    @classmethod
    def _declared_item(cls, param: caffe_pb2.LayerParameter, channels: int | None) -> Shape | None:
        """(channels, height, width) of one image after transform_param."""
        transform = param.transform_param
        mean: Shape | None = None
        if transform.mean_file and os.path.exists(transform.mean_file):
            mean = read_mean(transform.mean_file).shape
        depth = mean[0] if mean else cls._declared_channels(param) or channels
        crop = crop_of(transform)
        resizes = transform.resize_param
        if all(crop):
            size: Shape = crop
        elif resizes:
            one = max(resizes, key=lambda each: each.height * each.width)
            size = (0, 0) if one.resize_mode == one.FIT_SMALL_SIZE else (one.height, one.width)
        else:
            size = mean[1:] if mean else cls._declared_size(param)
        return (depth, *size) if depth and all(size) else None

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int | None:
        """The channels that the fields imply, without a mean file."""
        transform = param.transform_param
        if transform.force_color:
            return 3
        if transform.force_gray:
            return 1
        return len(transform.mean_value) if len(transform.mean_value) > 1 else None

    @classmethod
    def _declared_size(cls, param: caffe_pb2.LayerParameter) -> Shape:
        """Height and width of an image that is not cropped; zeros where it has its own."""
        return (0, 0)

    def _require_source(self) -> None:
        self.require(bool(self.config.source), "source", "names no source")

    def _open(
        self,
    ) -> Reader | WindowReader | ImageGtReader | FrameReader | DetectionReader | EvalReader:
        """Check the configuration and open the source."""
        raise NotImplementedError

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Open the source; its first item gives the tops their shapes."""
        prefetch = self.param.data_param.prefetch
        self.require(prefetch > 0, ".data_param.prefetch", "prefetch must be 1 or more, not 0")
        self._require_source()
        self.require(self.config.batch_size > 0, "batch_size", "batch_size must be 1 or more")
        try:
            self._reader = reader = self._open()
        except DataError as error:
            error.field = error.field or self.source_field
            raise
        self._prefetcher = Prefetcher(reader.fill, prefetch, reader.close)
        shapes = reader.shapes
        shape = shapes[0]
        self._state = reader.get_state()
        waiting = (prefetch + 1) * math.prod(shape) * self.dtype.itemsize
        try:
            self.budget.ask((self, "batches"), waiting, f"{prefetch} batches {shape} read ahead")
        except OutOfMemory as error:
            error.field = ".data_param.prefetch" if prefetch > shape[0] else "batch_size"
            raise
        for blob, its_shape in zip(top, shapes):
            blob.reshape(*its_shape)
        log.info("output data size: %s", ",".join(map(str, shape)))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the next batch, of whatever shape, into the tops."""
        assert self._prefetcher is not None
        self._reader.share = self.share
        batch = self._prefetcher.next()
        self._state = batch.state  # the reader itself is ahead
        for blob, array in zip(top, batch.tops):
            blob.reshape(*array.shape)
            blob.data[...] = array
        self._prefetcher.recycle(batch)

    def get_state(self) -> State:
        """The reader's, as it was after the last batch that forward has copied."""
        return self._state

    def set_state(self, state: State) -> None:
        """Drop what was read ahead, and read on from there."""
        assert self._prefetcher is not None
        self._prefetcher.restart(lambda: self._reader.set_state(state))
        self._state = self._reader.get_state()

    def close(self) -> None:
        """End the thread and close the source."""
        if self._prefetcher is not None:
            self._prefetcher.close()

    def _transformer(self, mirror: bool = False) -> DataTransformer:
        """That of transform_param; `mirror` is another field that may ask for mirroring."""
        transform = self._transform_param()
        transform.mirror = transform.mirror or mirror
        try:
            return DataTransformer(transform, self.phase, self.rng)
        except DataError as error:
            error.field = ".transform_param.mean_file"
            raise

    def _transform_param(self) -> caffe_pb2.TransformationParameter:
        """A copy of the layer's."""
        transform = caffe_pb2.TransformationParameter()
        transform.CopyFrom(self.param.transform_param)
        return transform

    def require_new_size(self) -> None:
        """Refuse a new_height without a new_width, and images that are too large."""
        size = (self.config.new_height, self.config.new_width)
        self.require(
            all(size) or not any(size),
            "new_width" if size[0] else "new_height",
            f"new_height {size[0]} and new_width {size[1]} must both be given, or neither",
        )
        images.check_pixels(size[1], size[0])
