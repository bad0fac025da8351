"""resize_param: how SSD resizes an image, and what becomes of the boxes in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data import images
from caffe_lite.data.annotation import Annotations
from caffe_lite.errors import DataError, LayerError
from caffe_lite.kernels.image import WEIGHT_BITS, resample, resize_bilinear
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]
Taps = tuple[Array, Array]
"""The input positions (n, k) that each of n output pixels is made of, and their weights (n, k)."""

_PADS = {1: "constant", 2: "reflect", 3: "edge"}  # Pad_mode, in NumPy's words


class Resizer:
    """Resizes images to height x width as resize_mode says, with one of the interp_modes.

    WARP: to that size.  FIT_LARGE_SIZE_AND_PAD: as large as fits, the rest is padded.
    FIT_SMALL_SIZE: as small as covers it.  `prob` has no effect, as in SSD.  Raises LayerError
    for settings that give no size, with a field below ``.transform_param.resize_param``.
    """

    def __init__(self, param: caffe_pb2.ResizeParameter, field: str) -> None:
        self.param = param
        self._field = field
        for name in ("height", "width"):
            if not getattr(param, name):
                raise LayerError(f"{name} must be 1 or more", f"{field}.{name}")
        images.check_pixels(param.width, param.height)

    @property
    def pads(self) -> bool:
        """Whether the image keeps its aspect in a frame of a fixed size."""
        return bool(self.param.resize_mode == self.param.FIT_LARGE_SIZE_AND_PAD)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width that an image of `height` x `width` gets."""
        new = (self.param.height, self.param.width)
        if self.param.resize_mode == self.param.FIT_SMALL_SIZE:
            new = self._fitted(height, width, covering=True)
            images.check_pixels(new[1], new[0])
        return new

    def _fitted(self, height: int, width: int, covering: bool) -> tuple[int, int]:
        """The size of the image itself, without padding, one side of it as given."""
        new_height, new_width = self.param.height, self.param.width
        aspect = np.float32(width) / np.float32(height)
        wider = aspect > np.float32(new_width) / np.float32(new_height)
        if covering:
            wider = aspect >= np.float32(new_width) / np.float32(new_height)
        if wider != covering:
            return max(int(np.float32(new_width) / aspect), 1), new_width
        return new_height, max(int(aspect * np.float32(new_height)), 1)

    def apply(self, image: Array, rng: Generator) -> Array:
        """The image (channels, H, W) uint8, resized.  Draws one of the interp_modes."""
        modes = self.param.interp_mode
        mode = modes[rng.integers(len(modes))] if len(modes) else self.param.LINEAR
        if image.dtype != np.uint8:
            raise DataError("resize_param resizes images of bytes, not of float_data")
        size = self.size(*image.shape[1:])
        if not self.pads:
            return interpolate(image, *size, mode)
        inner = self._fitted(image.shape[1], image.shape[2], covering=False)
        return self._padded(interpolate(image, *inner, mode))

    def _padded(self, image: Array) -> Array:
        channels, height, width = image.shape
        values = np.array(self.param.pad_value or [0])
        if values.size not in (1, channels):
            raise LayerError(
                f"{values.size} pad_value fields for {channels} channels; give one, or one for "
                "each channel",
                f"{self._field}.pad_value",
            )
        more = np.array([self.param.height - height, self.param.width - width])
        before = more // 2
        pads = [(0, 0), *zip(before, more - before, strict=True)]
        mode = _PADS[self.param.pad_mode]
        if mode != "constant":
            return np.pad(image, pads, mode)  # type: ignore[call-overload, no-any-return]
        padded = np.empty((channels, self.param.height, self.param.width), np.uint8)
        padded[...] = np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(-1, 1, 1)
        top, left = before
        padded[:, top : top + height, left : left + width] = image
        return padded

    def move(self, found: Annotations, height: int, width: int) -> Annotations:
        """The boxes of an image of `height` x `width` after it was resized."""
        real = np.float32
        old = np.array([width, height] * 2, real)
        new = np.array([self.param.width, self.param.height], real)
        aspect = real(width) / real(height)
        shown, padding = new.copy(), np.zeros(2, real)
        if self.param.resize_mode == self.param.FIT_SMALL_SIZE:
            axis = int(aspect < new[0] / new[1])  # the one that is longer than asked for
            new[axis] = new[0] / aspect if axis else aspect * new[1]
            shown = new
        elif self.param.resize_mode == self.param.FIT_LARGE_SIZE_AND_PAD:
            axis = int(aspect > new[0] / new[1])  # the one that is padded
            inner = new[0] / aspect if axis else aspect * new[1]
            padding[axis] = (new[axis] - inner) / 2
            shown[axis] = new[axis] - 2 * padding[axis]
        pixels = found.boxes * old * np.tile(shown, 2) / old
        pixels[:, :2] = padding + np.maximum(pixels[:, :2], 0)
        pixels[:, 2:] = padding + np.minimum(pixels[:, 2:], new)
        return found.moved(pixels / np.tile(new, 2))

    def stretch(self, found: Annotations, size: tuple[int, int], window: Array) -> Annotations:
        """Boxes of a window of the resized image in units of height_scale and width_scale.

        Only for FIT_SMALL_SIZE with both; `size` is the image's before.
        """
        param = self.param
        scales = np.array([param.width_scale, param.height_scale], np.float32)
        if param.resize_mode != param.FIT_SMALL_SIZE or not scales.all():
            return found
        height, width = size
        new = np.array([param.width, param.height], np.float32)
        aspect = np.float32(width) / np.float32(height)
        axis = int(aspect < new[0] / new[1])
        new[axis] = new[0] / aspect if axis else new[1] * aspect
        ratio = new * (window[2:] - window[:2]) / scales
        return found.moved(found.boxes * np.tile(ratio, 2))


class ResizePolicies:
    """Several resize_param, one of which is drawn by `prob` for some batches (MobileNet-YOLO).

    Raises LayerError for settings that give no size, and for a `prob` that is not from 0 to 1 or
    whose sum over all is not 1.
    """

    BATCHES = 10
    """How many batches a policy is for."""

    def __init__(self, params: Sequence[caffe_pb2.ResizeParameter], field: str) -> None:
        self.resizers = [Resizer(each, f"{field}[{i}]") for i, each in enumerate(params)]
        for i, each in enumerate(params):
            if not 0 <= each.prob <= 1:
                raise LayerError(
                    f"prob must be from 0 to 1, not {each.prob:g}", f"{field}[{i}].prob"
                )
        self._shares = np.array([each.prob for each in params], np.float64)
        if abs(self._shares.sum() - 1) > 0.01:
            raise LayerError(
                f"the prob of {len(params)} resize_param must add up to 1, not "
                f"{self._shares.sum():g}",
                f"{field}[0].prob",
            )

    def draw(self, rng: Generator) -> int:
        """The index of a resizer."""
        return int(rng.choice(len(self._shares), p=self._shares / self._shares.sum()))


class RandomResizer:
    """random_resize_param of Intel's Caffe: the shorter side gets a random size, the aspect stays.

    The size is from min_size to max_size; where one of them is 0, the image's shorter or longer
    side takes its place.  Raises LayerError, with a field below
    ``.transform_param.random_resize_param``, for sizes that are not in order.
    """

    def __init__(self, param: caffe_pb2.RandomResizeParameter, field: str) -> None:
        self._param = param
        self._modes = list(param.resize_param.interp_mode) or [caffe_pb2.ResizeParameter.LINEAR]
        if 0 < param.max_size < param.min_size:
            raise LayerError(
                f"max_size {param.max_size} is below min_size {param.min_size}",
                f"{field}.max_size",
            )
        if param.resize_param.resize_mode != caffe_pb2.ResizeParameter.WARP:
            raise LayerError("takes resize_mode WARP only", f"{field}.resize_param.resize_mode")

    def smallest(self, height: int, width: int) -> tuple[int, int]:
        """The smallest size that an image of `height` x `width` may get."""
        return self._size(self._sizes(height, width)[0], height, width)

    def _sizes(self, height: int, width: int) -> tuple[int, int]:
        """The smallest and the largest size of the shorter side."""
        least = self._param.min_size or min(height, width)
        most = self._param.max_size or max(height, width)
        return min(least, most), most

    def _size(self, shorter: int, height: int, width: int) -> tuple[int, int]:
        real = np.float32
        if height < width:
            return shorter, max(int(real(width) / real(height) * real(shorter)), 1)
        return max(int(real(height) / real(width) * real(shorter)), 1), shorter

    def apply(self, image: Array, rng: Generator) -> Array:
        """The image (channels, H, W) uint8, resized.  Draws the size, then the interp_mode."""
        if image.dtype != np.uint8:
            raise DataError("random_resize_param resizes images of bytes, not of float_data")
        height, width = image.shape[1:]
        least, most = self._sizes(height, width)
        size = self._size(least + int(rng.integers(most - least + 1)), height, width)
        images.check_pixels(size[1], size[0])
        mode = self._modes[rng.integers(len(self._modes))]
        return interpolate(image, *size, mode)


def interpolate(image: Array, height: int, width: int, mode: int) -> Array:
    """The image (channels, H, W) uint8 as (channels, height, width), as OpenCV resizes it.

    `mode` is an Interp_mode of ResizeParameter.  NEAREST and LINEAR are OpenCV's to the bit, the
    others differ by 1 at most.
    """
    old_height, old_width = image.shape[1:]
    if (old_height, old_width) == (height, width):
        return image
    if mode == caffe_pb2.ResizeParameter.LINEAR:
        return images.resize(image, height, width)
    if mode == caffe_pb2.ResizeParameter.NEAREST:
        rows, columns = _nearest(old_height, height), _nearest(old_width, width)
        return np.ascontiguousarray(image[:, rows[:, None], columns])
    resized = np.empty((len(image), height, width), np.uint8)
    source = np.ascontiguousarray(image)
    shrinks = height <= old_height and width <= old_width
    if mode == caffe_pb2.ResizeParameter.AREA and not shrinks:
        pairs = _area_enlarged(old_height, height), _area_enlarged(old_width, width)
        resize_bilinear(source, *pairs[0], *pairs[1], resized)
        return resized
    taps = _TAPS[mode]
    line = np.empty(old_width, np.float32)
    resample(source, *taps(old_height, height), *taps(old_width, width), line, resized)
    return resized


def _step(size: int, count: int) -> float:
    """Input pixels for each output pixel, rounded as in OpenCV."""
    return 1 / (count / size)


def _nearest(size: int, count: int) -> Array:
    positions: Array = np.minimum(np.floor(np.arange(count) * _step(size, count)), size - 1)
    return positions.astype(np.intp)


def _around(size: int, count: int, reach: int) -> tuple[Array, Array]:
    """The 2 `reach` positions around each output pixel's centre, and the centre's distances."""
    centres = (np.arange(count) + 0.5) * (size / count) - 0.5
    positions = np.floor(centres)[:, None] + np.arange(1 - reach, reach + 1)
    return positions, centres[:, None] - positions


def _taps(positions: Array, weights: Array, size: int) -> Taps:
    clipped = np.clip(positions, 0, size - 1).astype(np.int64)
    return clipped, weights.astype(np.float32)


def _cubic(size: int, count: int) -> Taps:
    """Keys's cubic convolution with a = -0.75."""
    positions, distances = _around(size, count, 2)
    a, d = -0.75, np.abs(distances)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return _taps(positions, np.where(d <= 1, near, far), size)


def _lanczos(size: int, count: int) -> Taps:
    """Lanczos's window over four pixels to each side, its weights scaled to a sum of 1."""
    positions, distances = _around(size, count, 4)
    weights = np.sinc(distances) * np.sinc(distances / 4)
    return _taps(positions, weights / weights.sum(axis=1, keepdims=True), size)


def _area(size: int, count: int) -> Taps:
    """The share of each input pixel in the part of the axis that an output pixel covers."""
    step = _step(size, count)
    starts = np.arange(count)[:, None] * step
    positions = np.floor(starts) + np.arange(int(np.ceil(step)) + 1)
    shares = np.minimum(positions + 1, starts + step) - np.maximum(positions, starts)
    return _taps(positions, np.maximum(shares, 0) / step, size)


def _area_enlarged(size: int, count: int) -> Taps:
    """Each output pixel lies in one input pixel, or is mixed where it reaches into the next.

    Positions and weights as `resize_bilinear` takes them.
    """
    step, inverse = _step(size, count), count / size
    before = np.floor(np.arange(count) * step)
    into = np.arange(1, count + 1) - (before + 1) * inverse
    part = np.where(into <= 0, 0, into - np.floor(into))[:, None]
    positions = np.clip(before[:, None] + np.arange(2), 0, size - 1)
    weights = np.rint(np.concatenate([1 - part, part], axis=1) * (1 << WEIGHT_BITS))
    return positions.astype(np.uint32), weights.astype(np.int32)


_TAPS = {
    caffe_pb2.ResizeParameter.AREA: _area,
    caffe_pb2.ResizeParameter.CUBIC: _cubic,
    caffe_pb2.ResizeParameter.LANCZOS4: _lanczos,
}
