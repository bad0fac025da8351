"""transform_param: the transformation of an image on its way from the file to the net."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.errors import DataError, LayerError
from caffe_lite.kernels.image import transform_with_image, transform_with_values
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.files import blob_to_array, read_blob

Array = npt.NDArray[Any]


class DataTransformer:
    """Crops, mirrors, subtracts the mean and scales: y = (x - mean) * scale.

    `crop_size` cuts out a square: at random in phase TRAIN, at the centre in TEST.  `mirror`
    flips the image horizontally with probability 1/2 in both phases, as in Caffe.  The mean is
    one value, one value for each channel, or an image of the size before cropping.  Random
    numbers are drawn from `rng` in Caffe's order: mirror, row, column.  Raises LayerError, with a
    field below ``.transform_param``, for contradictory settings, and DataError for a mean file
    that cannot be used.
    """

    def __init__(
        self, param: caffe_pb2.TransformationParameter, phase: int, rng: Generator
    ) -> None:
        self._scale = param.scale
        self._mirror = param.mirror
        self._crop = param.crop_size
        self._random_crop = phase == caffe_pb2.TRAIN
        self.rng = rng
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
        if self._crop > min(height, width):
            raise LayerError(
                f"crop_size {self._crop} is larger than the image, {height} x {width}",
                ".transform_param.crop_size",
            )
        return (channels, self._crop or height, self._crop or width)

    @property
    def mean(self) -> Array:
        """The mean: an image (channels, height, width), or values (channels or 1, 1, 1)."""
        if self._mean is not None:
            return self._mean
        values = self._values if self._values.size else np.zeros(1, np.float32)
        return values.reshape(-1, 1, 1)

    def apply(self, image: Array, y: Array) -> None:
        """Transform one image (channels, H, W), uint8 or float32, into `y` (channels, h, w)."""
        mirror = self._mirror and bool(self.rng.integers(2))
        row, column = image.shape[1] - y.shape[1], image.shape[2] - y.shape[2]
        if self._random_crop and self._crop:
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

    def apply_all(self, images: Array, y: Array) -> None:
        """Transform images (N, channels, H, W) into y (N, ...), with new random draws for each."""
        for image, row in zip(images, y, strict=True):
            self.apply(image, row)


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
