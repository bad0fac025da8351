"""distort_param and expand_param: SSD's random changes of colours, and of the image's size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data import images
from caffe_lite.errors import DataError, LayerError
from caffe_lite.kernels.image import change_hue_and_saturation
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]

_MOST = 1e6  # far above what turns every image black or white
_LEVELS = np.arange(256, dtype=np.float32)
_SAME = np.arange(256, dtype=np.uint8)

DISTORT = ".transform_param.distort_param"
EXPAND = ".transform_param.expand_param"


class Distortion:
    """Changes brightness, contrast, saturation, hue and the order of the channels at random.

    Contrast comes second or last but one, each with probability 1/2.  Raises LayerError for
    bounds that are negative or not in order.
    """

    def __init__(self, param: caffe_pb2.DistortionParameter) -> None:
        self._param = param
        for name in ("brightness_delta", "hue_delta", "contrast_lower", "saturation_lower"):
            if not 0 <= getattr(param, name) <= _MOST:
                raise LayerError(
                    f"{name} must be from 0 to {_MOST:g}, not {getattr(param, name):g}",
                    f"{DISTORT}.{name}",
                )
        for name in ("contrast", "saturation"):
            lower, upper = getattr(param, f"{name}_lower"), getattr(param, f"{name}_upper")
            if not lower <= upper <= _MOST:
                raise LayerError(
                    f"{name}_upper must be from {name}_lower, {lower:g}, to {_MOST:g}, "
                    f"not {upper:g}",
                    f"{DISTORT}.{name}_upper",
                )

    def apply(self, image: Array, rng: Generator) -> Array:
        """A changed copy of the image (3, H, W) uint8, BGR."""
        if image.dtype != np.uint8 or len(image) != 3:
            raise DataError(
                f"distort_param changes images of three channels of bytes, not of {len(image)} "
                f"channels of {image.dtype}"
            )
        early = rng.uniform() > 0.5
        image = self._brightness(image, rng)
        if early:
            image = self._contrast(image, rng)
        image = self._hue(self._saturation(image, rng), rng)
        if not early:
            image = self._contrast(image, rng)
        if rng.uniform() < self._param.random_order_prob:
            image = image[rng.permutation(3)]
        return np.ascontiguousarray(image)

    def _brightness(self, image: Array, rng: Generator) -> Array:
        if rng.uniform() >= self._param.brightness_prob:
            return image
        most = self._param.brightness_delta
        return _table(_LEVELS + np.float32(rng.uniform(-most, most)))[image]

    def _contrast(self, image: Array, rng: Generator) -> Array:
        if rng.uniform() >= self._param.contrast_prob:
            return image
        factor = rng.uniform(self._param.contrast_lower, self._param.contrast_upper)
        return _table(_LEVELS * np.float32(factor))[image]

    def _saturation(self, image: Array, rng: Generator) -> Array:
        if rng.uniform() >= self._param.saturation_prob:
            return image
        factor = rng.uniform(self._param.saturation_lower, self._param.saturation_upper)
        return _recoloured(image, _SAME, _table(_LEVELS * np.float32(factor)))

    def _hue(self, image: Array, rng: Generator) -> Array:
        if rng.uniform() >= self._param.hue_prob:
            return image
        most = self._param.hue_delta
        return _recoloured(image, _table(_LEVELS + np.float32(rng.uniform(-most, most))), _SAME)


def _table(levels: Array) -> Array:
    """Real levels as the nearest bytes."""
    table: Array = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return table


def _recoloured(image: Array, hues: Array, saturations: Array) -> Array:
    changed = np.empty(image.shape, np.uint8)
    change_hue_and_saturation(np.ascontiguousarray(image), hues, saturations, changed)
    return changed


class Expansion:
    """Puts an image somewhere on a larger canvas of the mean's colour, with probability `prob`.

    The canvas is up to max_expand_ratio times as high and wide.  Raises LayerError for a ratio
    below 1.
    """

    def __init__(self, param: caffe_pb2.ExpansionParameter) -> None:
        self._param = param
        if not 1 <= param.max_expand_ratio < np.inf:
            raise LayerError(
                f"max_expand_ratio must be 1 or more, not {param.max_expand_ratio:g}",
                f"{EXPAND}.max_expand_ratio",
            )

    def apply(self, image: Array, mean: Array, rng: Generator) -> tuple[Array, Array] | None:
        """The canvas, and its box (4,) as fractions of the image; None for the image as it is.

        image: (channels, H, W); mean: as many channels, or one, of an image or of values.
        """
        most = self._param.max_expand_ratio
        if rng.uniform() > self._param.prob or abs(most - 1) < 0.01:
            return None
        ratio = rng.uniform(1, most)
        channels, height, width = image.shape
        new = np.array([int(height * ratio), int(width * ratio)])
        images.check_pixels(int(new[1]), int(new[0]))
        top, left = (int(rng.uniform(0, more)) for more in new - image.shape[1:])
        canvas = np.empty((channels, *new), image.dtype)
        fits = mean.shape[1:] in ((1, 1), canvas.shape[1:])
        colour = mean if fits else mean.mean(axis=(1, 2), keepdims=True)
        canvas[...] = colour if image.dtype != np.uint8 else np.clip(np.rint(colour), 0, 255)
        canvas[:, top : top + height, left : left + width] = image
        corners = np.array([-left, -top, new[1] - left, new[0] - top], np.float32)
        return canvas, corners / np.array([width, height] * 2, np.float32)
