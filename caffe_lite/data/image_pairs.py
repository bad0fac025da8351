"""Batches of images with a label for each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data import images
from caffe_lite.data.readers import Batch, ImageReader, named
from caffe_lite.data.resizing import interpolate
from caffe_lite.data.transformer import DataTransformer, crop_of
from caffe_lite.errors import DataError, LayerError
from caffe_lite.kernels.image import transform_with_values
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class PairReader(ImageReader):
    """Cycles through the pairs of a list, an image and its label image, on each line.

    A label image is grey, has the size of its image, and is cropped and mirrored like it.  The
    labels of a batch are (N, 1, height, width).
    """

    def _list(self) -> list[tuple[str, Any]]:
        return list(images.read_pairs(self._param.source, "list of images and label images"))

    def _labels(self, label: Any, image: Array) -> Array:
        """The labels (1, height, width) of an image of the list, resized like it."""
        path = self._param.root_folder + label
        found = images.read(path, False)
        if self._param.new_height:
            found = self._resized(found)
        size = self._label_size(image.shape[1:])
        if found.shape[1:] != size:
            raise DataError(
                f'its label image "{path}" has {found.shape[1]} x {found.shape[2]} pixels, not '
                f"{size[0]} x {size[1]}"
            )
        return found

    def _label_size(self, size: Shape) -> Shape:
        """The height and width of the labels of an image of that size."""
        return size

    def _resized(self, labels: Array) -> Array:
        """Labels in their new size: each is that of the nearest pixel."""
        height, width = self._label_size((self._param.new_height, self._param.new_width))
        return interpolate(labels, height, width, caffe_pb2.ResizeParameter.NEAREST)

    def _cropped(self, image: Array) -> Shape:
        """The shape of an image after it was transformed."""
        return self._transformer.output_shape(image.shape)

    def _transform(self, image: Array, labels: Array, y: Array, z: Array) -> None:
        """Write the image to y and its labels (1, H, W) to z, cropped and mirrored alike."""
        place = self._transformer.apply(image, y)
        rows = slice(place.row, place.row + z.shape[1])
        part = labels[:, rows, place.column : place.column + z.shape[2]]
        z[...] = part[:, :, ::-1] if place.mirror else part

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the first batch's arrays."""
        _, image, _ = self._peek()
        shape = self._cropped(image)
        size = self._label_size(shape[1:])
        return [(self._batch_size, *shape), (self._batch_size, 1, *size)]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; reuses the arrays of `old` if they have its shape."""
        batch = None
        for i in self._places():
            name, image, label = self._next()
            with named(name):
                labels, shape = self._labels(label, image), self._cropped(image)
            if batch is None:
                batch = self._batch(old, shape)
            self._require_shape(name, shape, batch)
            with named(name):
                self._transform(image, labels, batch.data[i], batch.labels[i])
                self._note(batch, i, image)
        assert batch is not None  # batch_size is positive
        batch.state = self.get_state()
        return batch

    def _note(self, batch: Batch, item: int, image: Array) -> None:
        """Write what else a batch has of an item."""

    def _batch(self, old: Batch | None, shape: Shape) -> Batch:
        if old is not None and old.data.shape[1:] == shape:
            return old
        size = (self._batch_size, 1, *self._label_size(shape[1:]))
        data = np.empty((self._batch_size, *shape), self._dtype)
        return Batch(data, np.empty(size, self._dtype))


class DenseReader(PairReader):
    """The pairs of SegNet (Badrinarayanan et al. 2015, arXiv:1511.00561) and ENet.

    With crop_height and crop_width a part of each pair is cut out at random, in both phases,
    before it is transformed.  Labels have the size of their image divided by label_divide_factor,
    which excludes crops.
    """

    _param: caffe_pb2.DenseImageDataParameter

    def _label_size(self, size: Shape) -> Shape:
        factor = self._param.label_divide_factor
        return (size[0] // factor, size[1] // factor)

    def _cut(self, size: Shape) -> Shape:
        """The height and width of the part of an image of that size."""
        crop = (self._param.crop_height, self._param.crop_width)
        if crop[0] > size[0] or crop[1] > size[1]:
            raise LayerError(
                f"crop_height {crop[0]}, crop_width {crop[1]} is larger than the image, "
                f"{size[0]} x {size[1]}",
                "crop_height",
            )
        return crop if all(crop) else size

    def _cropped(self, image: Array) -> Shape:
        return self._transformer.output_shape((len(image), *self._cut(image.shape[1:])))

    def _transform(self, image: Array, labels: Array, y: Array, z: Array) -> None:
        height, width = self._cut(image.shape[1:])
        if (height, width) != image.shape[1:]:
            rng = self._transformer.rng
            row = int(rng.integers(image.shape[1] - height + 1))
            column = int(rng.integers(image.shape[2] - width + 1))
            place = np.s_[:, row : row + height, column : column + width]
            image, labels = np.ascontiguousarray(image[place]), labels[place]
        super()._transform(image, labels, y, z)


class EdgeReader(PairReader):
    """The pairs of HED (Xie and Tu 2015, arXiv:1504.06375): an image, and a grey map of its edges.

    A label is 1 where the map, resized bilinearly, is at least 128, else 0.
    """

    def _labels(self, label: Any, image: Array) -> Array:
        edges: Array = (super()._labels(label, image) >= 128).astype(np.uint8)
        return edges

    def _resized(self, labels: Array) -> Array:
        return images.resize(labels, self._param.new_height, self._param.new_width)


class SegmentationReader(PairReader):
    """The images of DeepLab (Chen et al. 2015, arXiv:1412.7062), scaled, padded and cropped.

    As label_type says, the list has a label image for each image, a label for all its pixels, or
    none: then all are ignore_label.  Labels are bytes, so that those below 0 become 0 and those
    above 255 become 255, ignore_label too.  An image is scaled by one of scale_factors in TRAIN,
    drawn at random.  What is smaller than the crop is padded below and to the right, with the mean
    and with ignore_label.  A batch has a third array, (N, 1, 1, 2): the height and width of each
    image, at most the crop's.
    """

    def __init__(
        self,
        param: caffe_pb2.ImageDataParameter,
        transform: caffe_pb2.TransformationParameter,
        phase: int,
        dtype: npt.DTypeLike,
        rng: Generator,
    ) -> None:
        self._kind = param.label_type
        self._ignore = _byte(param.ignore_label)
        self._training = phase == caffe_pb2.TRAIN
        self._factors = list(transform.scale_factors) if self._training else []
        self._mirror = transform.mirror
        self._scale = transform.scale
        self._size = crop_of(transform)
        super().__init__(param, DataTransformer(transform, phase, rng), dtype)

    def _list(self) -> list[tuple[str, Any]]:
        if self._kind == caffe_pb2.ImageDataParameter.PIXEL:
            return super()._list()
        if self._kind == caffe_pb2.ImageDataParameter.IMAGE:
            return list(images.read_list(self._param.source))
        lines = images.text_lines(self._param.source, "image list")
        found = [(line.split()[0], None) for _, line in lines]
        if not found:
            raise DataError(f'the image list "{self._param.source}" is empty')
        return found

    def _labels(self, label: Any, image: Array) -> Array:
        if self._kind == caffe_pb2.ImageDataParameter.PIXEL:
            return super()._labels(label, image)
        value = self._ignore if label is None else _byte(label)
        return np.full((1, *image.shape[1:]), value, np.float32)

    def _cropped(self, image: Array) -> Shape:
        self._means(len(image))
        crop = self._size
        return (len(image), *(crop if all(crop) else image.shape[1:]))

    def _means(self, channels: int) -> Array:
        means = self._transformer.mean.reshape(-1)
        if means.size not in (1, channels):
            raise DataError(f"{means.size} mean_value fields for {channels} channels")
        return np.broadcast_to(means, channels).astype(np.float32)

    def _transform(self, image: Array, labels: Array, y: Array, z: Array) -> None:
        rng, means = self._transformer.rng, self._means(len(image))
        mirror = self._mirror and bool(rng.integers(2))
        factor = self._factors[rng.integers(len(self._factors))] if self._factors else 1
        if factor != 1:
            size = [max(int(side * np.float32(factor)), 1) for side in image.shape[1:]]
            images.check_pixels(size[1], size[0])
            image = images.resize(image, size[0], size[1])
            labels = interpolate(labels, size[0], size[1], caffe_pb2.ResizeParameter.NEAREST)
        spare = [max(old - new, 0) for old, new in zip(image.shape[1:], y.shape[1:], strict=True)]
        if self._training:
            row, column = (int(rng.integers(more + 1)) for more in spare)
        else:
            row, column = (more // 2 for more in spare)
        height = min(image.shape[1] - row, y.shape[1])
        width = min(image.shape[2] - column, y.shape[2])
        y[...], z[...] = 0, self._ignore
        part = np.empty((len(image), height, width), y.dtype)
        transform_with_values(image, means, row, column, False, self._scale, part)
        y[:, :height, :width] = part
        z[:, :height, :width] = labels[:, row : row + height, column : column + width]
        if mirror:
            y[...], z[...] = y[:, :, ::-1].copy(), z[:, :, ::-1].copy()

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the first batch's arrays."""
        return [*super().shapes, (self._batch_size, 1, 1, 2)]

    def _batch(self, old: Batch | None, shape: Shape) -> Batch:
        batch = super()._batch(old, shape)
        if not batch.others:
            batch.others = (np.empty((self._batch_size, 1, 1, 2), self._dtype),)
        return batch

    def _note(self, batch: Batch, item: int, image: Array) -> None:
        batch.others[0][item] = np.minimum(image.shape[1:], batch.data.shape[2:])


def _byte(label: int) -> int:
    return min(max(label, 0), 255)


class ManyLabelsReader(ImageReader):
    """Cycles through the images of a list with several numbers for each, the same count on all.

    The labels of a batch are (N, count).
    """

    def _list(self) -> list[tuple[str, Any]]:
        path = self._param.source
        found: list[tuple[str, Any]] = []
        for number, line in images.text_lines(path, "image list"):
            name, *words = line.split()
            try:
                labels = np.array(words, np.float32)
            except ValueError:
                labels = np.array([], np.float32)
            if not labels.size or not np.isfinite(labels).all():
                raise DataError(
                    f'{path}:{number}: a line must be a file name and numbers, not "{line[:60]}"'
                )
            if found and len(found[0][1]) != labels.size:
                raise DataError(
                    f"{path}:{number}: has {labels.size} labels, but the first line "
                    f"{len(found[0][1])}"
                )
            found.append((name, labels))
        if not found:
            raise DataError(f'the image list "{path}" is empty')
        return found

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the first batch's arrays."""
        return [self.shape, (self._batch_size, len(self._items[0][1]))]

    def _batch(self, old: Batch | None, shape: Shape) -> Batch:
        batch = super()._batch(old, shape)
        if batch is not old:
            batch.labels = np.empty(self.shapes[1], self._dtype)
        return batch
