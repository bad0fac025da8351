"""From a picture to a net's input: resized, cropped at the centre, x = (pixel - mean) * scale."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments, io
from caffe_lite.data import images
from caffe_lite.data.mean import read_mean
from caffe_lite.errors import CaffeError
from caffe_lite.pictures import sources

Array = npt.NDArray[Any]
Size = tuple[int, int]
"""Height and width."""

Mean = float | Sequence[float] | Array | str | os.PathLike[str] | None
Scale = float | Sequence[float]


@dataclass(frozen=True)
class Frame:
    """Where a net's input lies in its picture, so that what the net finds can be shown there."""

    picture: Size
    resized: Size
    corner: Size
    """The row and the column of the input's first pixel in the resized picture."""
    input: Size

    def boxes(self, fractions: Array) -> Array:
        """Boxes (M, 4) xmin, ymin, xmax, ymax: fractions of the input, as pixels of the picture.

        They are cut to the picture.
        """
        size, corner, resized, whole = (
            np.array([column, row] * 2, np.float64)
            for row, column in (self.input, self.corner, self.resized, self.picture)
        )
        pixels = (fractions.astype(np.float64) * size + corner) * whole / resized
        cut: Array = np.clip(pixels, 0, whole)
        return cut

    def labels(self, labels: Array, outside: int) -> Array:
        """A map of labels (h, w) over the input, as one over the picture.

        Each pixel has the label of the nearest place.  `outside` is the label of pixels that the
        input does not show.
        """
        shown = []
        for axis in (0, 1):
            centre = (np.arange(self.picture[axis]) + 0.5) * self.resized[axis]
            centre = centre / self.picture[axis] - self.corner[axis]
            shown.append(np.floor(centre * labels.shape[axis] / self.input[axis]).astype(int))
        rows, columns = shown
        inside = [
            (index >= 0) & (index < size) for index, size in zip(shown, labels.shape, strict=True)
        ]
        rows, columns = (
            index.clip(0, size - 1) for index, size in zip(shown, labels.shape, strict=True)
        )
        found: Array = labels[np.ix_(rows, columns)]
        found[~np.logical_and.outer(*inside)] = outside
        return found


class Preprocessing:
    """What is done to pictures before a net takes them.

    `shape` is that of the net's input, (batch, channels, height, width).  See
    `caffe_lite.load` for the other arguments.  Raises CaffeError for what does not fit the input.
    """

    def __init__(
        self,
        shape: Sequence[int],
        mean: Mean = None,
        scale: Scale = 1,
        resize: int | Sequence[int] | None = None,
        input_size: Sequence[int] | str | None = None,
        order: str = "BGR",
        array_order: str = "RGB",
    ) -> None:
        if len(shape) != 4 or shape[1] not in (1, 3):
            raise CaffeError(
                f"the net's input is {tuple(shape)}, but pictures need (N, 1 or 3, height, width)"
            )
        self.channels = int(shape[1])
        self.order = sources.check_order(order, "order")
        self.array_order = sources.check_order(array_order, "array_order")
        self.size: Size | None = (int(shape[2]), int(shape[3]))
        """The height and width that pictures are brought to; None for their own."""
        if isinstance(input_size, str):
            if input_size != "any":
                raise CaffeError(
                    f'input_size must be (height, width) or "any", not "{input_size}"'
                )
            self.size = None
        elif input_size is not None:
            self.size = _size(input_size, "input_size")
        self.shorter: int | None = None
        self.resize: Size | None = None
        if isinstance(resize, (int, np.integer)):
            self.shorter = arguments.integer(resize, "resize", 1)
        elif resize is not None:
            self.resize = _size(resize, "resize")
        self.mean = self._mean(mean)
        self.scale = self._per_channel(scale, "scale")

    def _mean(self, mean: Mean) -> Array | None:
        """The mean, (channels or 1, 1, 1) or (channels or 1, height, width), float32."""
        if mean is None:
            return None
        what = "mean"
        if isinstance(mean, (str, os.PathLike)):
            path = arguments.path(mean, "mean")
            what = f'the mean "{path}"'
            mean = read_mean(path)
        values = arguments.numbers(mean, "mean")
        if values.ndim < 2:
            return self._per_channel(values, what)
        values = values[np.newaxis] if values.ndim == 2 else values
        values = values[0] if values.ndim == 4 and len(values) == 1 else values
        if values.ndim != 3 or len(values) not in (1, self.channels) or not values.size:
            raise CaffeError(
                f"{what} has shape {values.shape}, but the net takes {_channels(self.channels)}"
            )
        return values.astype(np.float32)

    def _per_channel(self, values: Any, what: str) -> Array:
        """One value, or one for each channel, as (channels or 1, 1, 1)."""
        numbers = arguments.numbers(values, what).reshape(-1)
        if numbers.size not in (1, self.channels):
            raise CaffeError(
                f"{what} has {numbers.size} values, the net takes {_channels(self.channels)}"
            )
        return numbers.astype(np.float32).reshape(-1, 1, 1)

    def prepare(self, picture: sources.Picture) -> tuple[Array, Frame]:
        """A net's input of a picture, (channels, height, width) float32, and where it lies.

        uint8 pixels are resized as OpenCV does it, and so are files; floats as
        `caffe_lite.io.resize_image` does it.  Raises CaffeError, with the name of the file.
        """
        planes = sources.read(picture, self.channels == 3, self.array_order)
        whole = planes.shape[1:]
        resized = self._resized(whole)
        planes = _resize(planes, *resized)
        size = self.size or resized
        if size[0] > resized[0] or size[1] > resized[1]:
            raise CaffeError(
                f'"{picture.name}" is resized to {resized[0]}x{resized[1]}, which is smaller than '
                f"the input of {size[0]}x{size[1]}; resize to more"
            )
        top, left = (resized[0] - size[0]) // 2, (resized[1] - size[1]) // 2
        planes = planes[:, top : top + size[0], left : left + size[1]]
        if self.order == "RGB":
            planes = planes[::-1]
        x = planes.astype(np.float32)
        if planes.dtype != np.uint8:
            x *= np.float32(255)
        if self.mean is not None:
            x -= self._mean_of(resized, (top, left), size)
        x *= self.scale
        return x, Frame(whole, resized, (top, left), size)

    def _resized(self, whole: Size) -> Size:
        """The size that a picture of a size is resized to, before the crop."""
        if self.resize is not None:
            return self.resize
        if self.shorter is None:
            return self.size or whole
        short, long = sorted(whole)
        longer = max(1, self.shorter * long // short)
        return (self.shorter, longer) if whole[0] <= whole[1] else (longer, self.shorter)

    def _mean_of(self, resized: Size, corner: Size, size: Size) -> Array:
        """The mean of the input's pixels.

        A mean image of the size before the crop is cropped with the picture, as by Caffe's data
        layers; one of the input's size is taken as it is; any other is resized, as by pycaffe's
        Transformer.
        """
        mean = self.mean
        assert mean is not None
        if mean.shape[1:] == (1, 1) or mean.shape[1:] == size:
            return mean
        if mean.shape[1:] == resized:
            (top, left), (height, width) = corner, size
            cropped: Array = mean[:, top : top + height, left : left + width]
            return cropped
        return _resize(mean, *size)


def _resize(planes: Array, height: int, width: int) -> Array:
    """Planes (channels, H, W) as (channels, height, width)."""
    images.check_pixels(width, height)
    if planes.dtype == np.uint8:
        return images.resize(planes, height, width)
    resized: Array = io.resize_image(planes.transpose(1, 2, 0), (height, width))
    return np.moveaxis(resized, 2, 0)


def _size(value: Any, what: str) -> Size:
    height, width = arguments.sizes(value, what, 2)
    return height, width


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
