"""Window files, and batches of windows cropped from images: R-CNN's training data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite import states
from caffe_lite.data import images
from caffe_lite.data.readers import Batch
from caffe_lite.data.record_streams import RecordStreams
from caffe_lite.distributed.share import ALONE
from caffe_lite.errors import DataError, LayerError
from caffe_lite.proto import caffe_pb2
from caffe_lite.states import State

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Window:
    """A box in an image: pixels x1 to x2 and y1 to y2, both inclusive."""

    image: str
    label: int
    overlap: float
    x1: int
    y1: int
    x2: int
    y2: int


def read_windows(path: str) -> tuple[list[Window], int]:
    """The windows of a window file, and the number of channels of its images.

    For each image the file has ``# index path channels height width count`` and then, for each
    window, ``class overlap x1 y1 x2 y2``, separated by any white space.  Raises DataError, with
    the line number, for any other content.
    """
    take = WordReader(path)
    windows: list[Window] = []
    channels = 0
    while take.more():
        take.mark()
        take.integer("the image's number")
        name = take.word("the image's path")
        channels, _, _ = (take.integer(what) for what in ("channels", "height", "width"))
        for _ in range(take.integer("the number of windows")):
            label = take.integer("a window's class")
            overlap = take.real("a window's overlap")
            x1, y1, x2, y2 = (take.integer(corner) for corner in ("x1", "y1", "x2", "y2"))
            windows.append(Window(name, label, overlap, x1, y1, x2, y2))
    return windows, channels


class WordReader:
    """Reads the words of a file one by one; its errors say what was expected."""

    def __init__(self, path: str) -> None:
        lines = images.text_lines(path, "window file")
        self._words = [(number, word) for number, line in lines for word in line.split()]
        self._path = path
        self._at = 0
        if not self._words:
            raise DataError(f'the window file "{path}" is empty')

    def more(self) -> bool:
        """Whether there is another word."""
        return self._at < len(self._words)

    def word(self, expected: str) -> str:
        """The next word."""
        if not self.more():
            raise DataError(f'the window file "{self._path}" ends where {expected} should be')
        self._at += 1
        return self._words[self._at - 1][1]

    def mark(self) -> None:
        """The sign that begins an image."""
        if self.word("#") != "#":
            raise self._error('"#", which begins an image,')

    def integer(self, expected: str) -> int:
        """The next word, a whole number."""
        value = images.integer(self.word(expected))
        if value is None:
            raise self._error(expected)
        return value

    def real(self, expected: str) -> float:
        """A value rounded to float32, because Caffe compares it with float32 thresholds."""
        try:
            with np.errstate(over="ignore"):
                return float(np.float32(self.word(expected)))
        except ValueError:
            raise self._error(expected) from None

    def _error(self, expected: str) -> DataError:
        number, word = self._words[self._at - 1]
        return DataError(f'{self._path}:{number}: {expected} should be here, not "{word[:60]}"')


@dataclass(frozen=True)
class WindowSettings:
    """How windows are chosen and cropped: window_data_param's fields, and the output's size."""

    batch_size: int
    crop_size: int
    mirror: bool
    scale: float
    fg_threshold: float
    bg_threshold: float
    fg_fraction: float
    context_pad: int
    square: bool
    cache_images: bool
    root_folder: str


def window_settings(
    config: caffe_pb2.WindowDataParameter, transform: caffe_pb2.TransformationParameter
) -> WindowSettings:
    """The settings in a layer's two messages.  Raises LayerError for invalid ones."""
    size = transform.crop_size
    if size == 0:
        raise LayerError("crop_size is missing; set it", ".transform_param.crop_size")
    if 2 * config.context_pad >= size:
        raise LayerError(
            f"context_pad {config.context_pad} must be below half of crop_size {size}",
            "context_pad",
        )
    if config.crop_mode not in ("warp", "square"):
        raise LayerError(
            f'unknown crop_mode "{config.crop_mode}"; use "warp" or "square"', "crop_mode"
        )
    if not 0 <= config.fg_fraction <= 1:
        raise LayerError(f"fg_fraction {config.fg_fraction:g} must be from 0 to 1", "fg_fraction")
    return WindowSettings(
        batch_size=config.batch_size,
        crop_size=size,
        mirror=transform.mirror,
        scale=config.scale,
        fg_threshold=config.fg_threshold,
        bg_threshold=config.bg_threshold,
        fg_fraction=config.fg_fraction,
        context_pad=config.context_pad,
        square=config.crop_mode == "square",
        cache_images=config.cache_images,
        root_folder=config.root_folder,
    )


@dataclass(frozen=True)
class Box:
    """The pixels to crop (both corners inclusive), and their size and offset in the output."""

    x1: int
    y1: int
    x2: int
    y2: int
    height: int
    width: int
    top: int = 0
    left: int = 0


def fit(
    window: Window,
    height: int,
    width: int,
    settings: WindowSettings,
    mirror: bool,
    dtype: npt.DTypeLike = np.float32,
) -> Box:
    """The pixels to crop from a `height` x `width` image, and their position in the output.

    The window is scaled to the square output.  With `context_pad` it is first enlarged, so that
    after scaling it has a border of so many pixels; with `square` it is first enlarged to a square
    about its centre.  The part of the output that corresponds to pixels outside the image stays
    empty.  Coordinates are rounded as in Caffe, computed in `dtype`.
    """
    size = settings.crop_size
    if not (settings.context_pad or settings.square):
        return _inside(Box(window.x1, window.y1, window.x2, window.y2, size, size), height, width)
    real: Any = np.dtype(dtype).type
    grow = real(size) / real(size - 2 * settings.context_pad)
    half_w = real((window.x2 - window.x1 + 1) / 2)
    half_h = real((window.y2 - window.y1 + 1) / 2)
    centre_x, centre_y = real(window.x1) + half_w, real(window.y1) + half_h
    if settings.square:
        half_w = half_h = max(half_w, half_h)
    x = _span(
        _round(centre_x - half_w * grow), _round(centre_x + half_w * grow), width, size, real
    )
    y = _span(
        _round(centre_y - half_h * grow), _round(centre_y + half_h * grow), height, size, real
    )
    left = x.after if mirror else x.before
    box = Box(
        x.first,
        y.first,
        x.last,
        y.last,
        min(y.length, size - y.before),
        min(x.length, size - left),
        y.before,
        left,
    )
    return _inside(box, height, width)


@dataclass(frozen=True)
class _Span:
    """One axis of a window: the pixels inside the image, and lengths in the output."""

    first: int
    last: int
    length: int
    before: int
    after: int


def _span(first: int, last: int, limit: int, size: int, real: Any) -> _Span:
    """Clip first..last to 0..limit - 1, at the scale that maps all of it to `size` pixels."""
    before, after = max(0, -first), max(0, last - limit + 1)
    stretch = real(size) / real(last - first + 1)
    inside = last - after - (first + before) + 1
    return _Span(
        first + before,
        last - after,
        _round(real(inside) * stretch),
        _round(real(before) * stretch),
        _round(real(after) * stretch),
    )


def _round(value: Any) -> int:
    """The nearest integer; halves are rounded away from zero, as by C's `round`."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))


def _inside(box: Box, height: int, width: int) -> Box:
    if not (0 <= box.x1 <= box.x2 < width and 0 <= box.y1 <= box.y2 < height):
        raise DataError(
            f"the window x {box.x1} to {box.x2}, y {box.y1} to {box.y2} is not inside the image, "
            f"{width} wide and {height} high"
        )
    if box.height < 1 or box.width < 1:
        raise DataError(
            f"only {box.x2 - box.x1 + 1} x {box.y2 - box.y1 + 1} pixels of the window are inside "
            f"the image, too few to resize"
        )
    return box


class WindowReader:
    """Batches of windows drawn at random and warped to squares, background before foreground.

    A window whose overlap with an object is at least `fg_threshold` is foreground; one below
    `bg_threshold` is background and has label 0; others are not used.  `mean` is (channels, 1, 1),
    or an image whose centre is subtracted.  `share` is that of a `Reader`.
    """

    share = ALONE

    def __init__(
        self,
        source: str,
        settings: WindowSettings,
        mean: Array,
        dtype: npt.DTypeLike,
        rng: Generator,
    ) -> None:
        windows, channels = read_windows(source)
        self._source = source
        limit = min(settings.bg_threshold, settings.fg_threshold)
        self._settings = settings
        self._dtype = np.dtype(dtype)
        self._scale = np.asarray(settings.scale, dtype)
        self._streams = RecordStreams(rng)
        self._first = True  # no batch was made from here on
        self._foreground = [w for w in windows if w.overlap >= settings.fg_threshold]
        self._background = [w for w in windows if w.overlap < limit]
        self._check(source)
        self.shape = (settings.batch_size, channels, settings.crop_size, settings.crop_size)
        self._mean = self._centre(mean)
        self._cache: dict[str, bytes] = {}

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of a batch's arrays."""
        return [self.shape, self.shape[:1]]

    def _backgrounds(self, size: int) -> int:
        """How many windows of a batch are background."""
        # Caffe multiplies in float32 and truncates: 0.7 of 10 windows is 7
        return size - int(np.float32(size) * np.float32(self._settings.fg_fraction))

    def _check(self, source: str) -> None:
        settings = self._settings
        for window in self._foreground:
            if window.label < 1:
                raise DataError(
                    f'"{source}": a foreground window of "{window.image}" has class '
                    f"{window.label}; it must be at least 1, as 0 is the background"
                )
        backgrounds = self._backgrounds(settings.batch_size)
        if backgrounds < settings.batch_size and not self._foreground:
            raise DataError(
                f'"{source}" has no foreground window: none overlaps by fg_threshold '
                f"{settings.fg_threshold:g} or more"
            )
        if backgrounds and not self._background:
            raise DataError(
                f'"{source}" has no background window: none overlaps by less than bg_threshold '
                f"{settings.bg_threshold:g}"
            )

    def _centre(self, mean: Array) -> Array:
        """The centre (channels, crop_size, crop_size) of a mean image; mean values unchanged."""
        channels, size = self.shape[1:3]
        if mean.shape[0] not in (1, channels):
            raise DataError(f"the mean has {mean.shape[0]} channels, but the images {channels}")
        if mean.shape[1:] == (1, 1):
            return mean
        start = (mean.shape[2] - size) // 2  # Caffe takes the width's offset for both axes
        if start < 0 or start + size > mean.shape[1]:
            raise DataError(
                f"the mean {mean.shape} is too small for its central square of crop_size {size}"
            )
        return mean[:, start : start + size, start : start + size]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; overwrites `old` if it is given."""
        if old is None:
            old = Batch(np.empty(self.shape, self._dtype), np.empty(self.shape[0], self._dtype))
        old.data[...] = 0
        share, size = self.share, self.shape[0]
        self._streams.leave(size * share.batches_before(self._first))
        self._first = False
        backgrounds = self._backgrounds(share.rows(size))
        for i in range(size):
            self._streams.go_to(share.row(i))
            rng = self._streams.rng
            background = share.row(i) < backgrounds
            windows = self._background if background else self._foreground
            window = windows[rng.integers(len(windows))]
            mirror = self._settings.mirror and bool(rng.integers(2))
            try:
                self._cut(window, mirror, old.data[i])
            except DataError as error:
                raise DataError(f'a window of "{window.image}": {error.message}') from None
            old.labels[i] = 0 if background else window.label
        self._streams.leave(share.rows(size))
        old.state = self.get_state()
        return old

    def get_state(self) -> State:
        """The random stream, which chooses the windows, and how many there are."""
        count = len(self._foreground) + len(self._background)
        return {"rng": self._streams.get_state(), "windows": count}

    def set_state(self, state: State) -> None:
        """Go on as after `get_state`."""
        self._streams.set_state(state, "rng")
        self._first = True
        now = len(self._foreground) + len(self._background)
        states.note_change(state, "windows", now, self._source)

    def _cut(self, window: Window, mirror: bool, y: Array) -> None:
        """Write one window to y (channels, crop_size, crop_size), which must be zero."""
        image = self._image(window.image)
        if len(image) != len(y):
            raise DataError(f"the image has {len(image)} channels, the window file says {len(y)}")
        height, width = image.shape[1:]
        box = fit(window, height, width, self._settings, mirror, self._dtype)
        part = image[:, box.y1 : box.y2 + 1, box.x1 : box.x2 + 1]
        warped = images.resize(part, box.height, box.width)
        if mirror:
            warped = warped[:, :, ::-1]
        target = np.s_[:, box.top : box.top + box.height, box.left : box.left + box.width]
        mean = self._mean if self._mean.shape[1:] == (1, 1) else self._mean[target]
        y[target] = (warped.astype(self._dtype) - mean) * self._scale

    def _image(self, name: str) -> Array:
        path = self._settings.root_folder + name
        if not self._settings.cache_images:
            return images.read(path)
        if path not in self._cache:
            self._cache[path] = images.read_bytes(path)
        return images.decode(self._cache[path])

    def close(self) -> None:
        """Do nothing: no file stays open."""
