"""transform_param: the transformation of an image on its way from the file to the net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data.noise import Noise
from caffe_lite.data.record_streams import RecordStreams
from caffe_lite.data.resizing import RandomResizer, Resizer
from caffe_lite.errors import DataError, LayerError
from caffe_lite.kernels.image import transform_with_image, transform_with_values
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.files import blob_to_array, read_blob

Array = npt.NDArray[Any]


_HEEDED = ("resize_param", "random_resize_param", "noise_param", "crop_h", "crop_w")
OF_FORKS = frozenset(f"transform_param.{name}" for name in _HEEDED)
"""The fields of forks that `DataTransformer` reads."""

FIELD = ".transform_param.resize_param"
NOISE_FIELD = ".transform_param.noise_param"
RANDOM_FIELD = ".transform_param.random_resize_param"


@dataclass(frozen=True)
class Placement:
    """Where an image was cropped, and whether it was mirrored.

    The crop begins at `row` and `column`.  window: (4,) its xmin, ymin, xmax and ymax, as
    fractions of the image.
    """

    row: int
    column: int
    window: Array
    mirror: bool


class DataTransformer:
    """Resizes, crops, mirrors, subtracts the mean and scales: y = (x - mean) * scale.

    Intel's `random_resize_param` resizes first, as `RandomResizer` does, then SSD's
    `resize_param`, as `Resizer` does; `noise_param` changes the pixels, as `Noise` does.
    `crop_size`, or SSD's `crop_h` and `crop_w`, cuts out a part: at random in phase TRAIN, at the
    centre in TEST.  `mirror` flips the image horizontally with probability 1/2 in both phases, as
    in Caffe.  The mean is one value, one value for each channel, or an image of the size before
    cropping.  Random numbers are drawn from `rng`: the interp_mode and the noise, then in Caffe's
    order mirror, row, column.  Raises LayerError, with a field below ``.transform_param``, for
    contradictory settings, and DataError for a mean file that cannot be used.
    """

    def __init__(
        self, param: caffe_pb2.TransformationParameter, phase: int, rng: Generator
    ) -> None:
        self._scale = param.scale
        self._mirror = param.mirror
        self._crop = crop_of(param)
        self._random_resizer = _random_resizer(param)
        self.resizer = _resizer(param)
        self._noise = _noise(param)
        self._random_crop = phase == caffe_pb2.TRAIN
        self._rng = rng
        self.streams: RecordStreams | None = None
        self.color = _color(param)
        self._values = np.array(param.mean_value, np.float32)
        self._mean: Array | None = None
        if param.HasField("mean_file"):
            if param.mean_value:
                raise LayerError(
                    "mean_file and mean_value cannot both be set; remove one",
                    ".transform_param.mean_value",
                )
            self._mean = read_mean(param.mean_file)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """The shape of an image (channels, height, width) after the transformation.

        Raises LayerError if the image is smaller than the crop or does not match the mean.
        """
        channels, height, width = shape
        if self._random_resizer is not None:
            height, width = self._random_resizer.smallest(height, width)
        if self.resizer is not None:
            height, width = self.resizer.size(height, width)
        shape = (channels, height, width)
        if self._mean is not None and self._mean.shape != shape:
            raise LayerError(
                f"the mean's shape {self._mean.shape} is not the image's, {tuple(shape)}",
                ".transform_param.mean_file",
            )
        if self._values.size > 1 and self._values.size != channels:
            raise LayerError(
                f"{self._values.size} mean_value fields for {channels} channels; "
                f"give one, or one for each channel",
                ".transform_param.mean_value",
            )
        crop = self._crop
        if crop[0] > height or crop[1] > width:
            square = crop[0] == crop[1]
            shown = f"crop_size {crop[0]}" if square else f"crop_h {crop[0]}, crop_w {crop[1]}"
            raise LayerError(
                f"{shown} is larger than the image, {height} x {width}",
                f".transform_param.{'crop_size' if square else 'crop_h'}",
            )
        return (channels, crop[0] or height, crop[1] or width)

    @property
    def rng(self) -> Generator:
        """Where random numbers come from: with `streams`, a reader's, that of the record."""
        return self._rng if self.streams is None else self.streams.rng

    @property
    def mean(self) -> Array:
        """The mean: an image (channels, height, width), or values (channels or 1, 1, 1)."""
        if self._mean is not None:
            return self._mean
        values = self._values if self._values.size else np.zeros(1, np.float32)
        return values.reshape(-1, 1, 1)

    def apply(self, image: Array, y: Array) -> Placement:
        """Transform one image (channels, H, W), uint8 or float32, into `y` (channels, h, w)."""
        if self._random_resizer is not None:
            image = self._random_resizer.apply(image, self.rng)
        if self.resizer is not None:
            image = self.resizer.apply(image, self.rng)
        if self._noise is not None:
            image = self._noise.apply(image, self.rng)
        mirror = self._mirror and bool(self.rng.integers(2))
        row, column = image.shape[1] - y.shape[1], image.shape[2] - y.shape[2]
        if self._random_crop and any(self._crop):
            row, column = int(self.rng.integers(row + 1)), int(self.rng.integers(column + 1))
        else:
            row, column = row // 2, column // 2
        if self._mean is not None:
            transform_with_image(image, self._mean, row, column, mirror, self._scale, y)
        else:
            means = np.zeros(len(image), np.float32)
            if self._values.size:
                means[:] = self._values
            transform_with_values(image, means, row, column, mirror, self._scale, y)
        corners = np.array([column, row, column + y.shape[2], row + y.shape[1]], np.float32)
        sizes = np.array([image.shape[2], image.shape[1]] * 2, np.float32)
        return Placement(row, column, corners / sizes, mirror)

    def apply_all(self, images: Array, y: Array) -> None:
        """Transform images (N, channels, H, W) into y (N, ...), with new random draws for each."""
        for image, row in zip(images, y, strict=True):
            self.apply(image, row)


def crop_of(param: caffe_pb2.TransformationParameter) -> tuple[int, int]:
    """The height and width of the crop; zeros where there is none."""
    if param.crop_size:
        return (param.crop_size, param.crop_size)
    return (param.crop_h, param.crop_w) if param.crop_h and param.crop_w else (0, 0)


def _resizer(param: caffe_pb2.TransformationParameter) -> Resizer | None:
    if len(param.resize_param) > 1:
        raise LayerError(
            f"{len(param.resize_param)} resize_param; one is possible here, as in SSD", FIELD
        )
    return Resizer(param.resize_param[0], f"{FIELD}[0]") if param.resize_param else None


def _noise(param: caffe_pb2.TransformationParameter) -> Noise | None:
    if len(param.noise_param) > 1:
        raise LayerError(
            f"{len(param.noise_param)} noise_param; one is possible here, as in SSD", NOISE_FIELD
        )
    return Noise(param.noise_param[0], f"{NOISE_FIELD}[0]") if param.noise_param else None


def _random_resizer(param: caffe_pb2.TransformationParameter) -> RandomResizer | None:
    if not param.HasField("random_resize_param"):
        return None
    if not any(crop_of(param)):
        raise LayerError(
            "random_resize_param needs a crop_size, for images of one size", RANDOM_FIELD
        )
    return RandomResizer(param.random_resize_param, RANDOM_FIELD)


def _color(param: caffe_pb2.TransformationParameter) -> bool | None:
    """Whether to decode images to colour (True), to grey (False) or as stored (None)."""
    if param.force_color and param.force_gray:
        raise LayerError(
            "force_color and force_gray cannot both be set", ".transform_param.force_gray"
        )
    if param.force_color or param.force_gray:
        return bool(param.force_color)
    return None


def read_mean(path: str) -> Array:
    """The mean image in a binaryproto: (channels, height, width) float32."""
    mean = blob_to_array(read_blob(path))
    if mean.ndim == 4 and mean.shape[0] == 1:
        mean = mean[0]
    if mean.ndim != 3:
        raise DataError(
            f'the mean "{path}" must be (1, channels, height, width), not {mean.shape}'
        )
    return np.ascontiguousarray(mean, np.float32)
