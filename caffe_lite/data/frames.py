"""Frames of videos as image files: pieces of a video, cut and mirrored alike.

Of two-stream and temporal segment networks (Wang et al. 2016, arXiv:1608.00859), as yjxiong's
Caffe reads them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data import images
from caffe_lite.data.listed import ListedReader, log
from caffe_lite.data.readers import Batch, named
from caffe_lite.errors import DataError, LayerError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

FLOW = caffe_pb2.VideoDataParameter.FLOW
PATTERNS = {False: "image_%04d.jpg", True: "flow_%c_%04d.jpg"}
"""The names of frames, and of the two images of an optical flow."""
SCALES = (1.0, 0.875, 0.75, 0.66)
NEAR = 3
"""Pixels by which a cut may differ from the output to be taken as it is."""


def read_videos(path: str) -> list[tuple[str, int, int]]:
    """The lines "folder frames label" of a list of videos."""
    found = []
    for number, line in images.text_lines(path, "list of videos"):
        words = line.split()
        if not words:
            continue
        numbers = [images.integer(word) for word in words[1:]]
        if len(numbers) != 2 or None in numbers or (numbers[0] or 0) < 1:
            raise DataError(
                f'{path}:{number}: "folder frames label" should be here, with one frame or more, '
                f'not "{line.strip()[:60]}"'
            )
        found.append((words[0], int(numbers[0] or 0), int(numbers[1] or 0)))
    if not found:
        raise DataError(f'the list of videos "{path}" is empty')
    return found


class FrameReader(ListedReader):
    """Batches of videos: for each `num_segments` pieces of `new_length` frames, one image.

    Each piece begins at random in its part of the video in TRAIN, in its middle in TEST, and at
    the first frame where the parts are too short.
    """

    item = "video"

    def __init__(
        self,
        config: caffe_pb2.VideoDataParameter,
        transform: caffe_pb2.TransformationParameter,
        training: bool,
        dtype: npt.DTypeLike,
        rng: Generator,
    ) -> None:
        self._config = config
        self._transform = transform
        self._training = training
        self._dtype = np.dtype(dtype)
        self._videos = read_videos(config.source)
        count = len(self._videos)
        super().__init__(count, config.batch_size, config.shuffle, config.source, rng)
        log.info("A total of %d videos.", count)
        self._flow = config.modality == FLOW
        self._pattern = config.name_pattern or PATTERNS[self._flow]
        image = self._read(*self._videos[self._order[0]][:2])
        crop = transform.crop_size
        channels, height, width = image.shape
        if crop > min(height, width):
            raise LayerError(
                f"crop_size {crop} is larger than the frames, {height} x {width}",
                ".transform_param.crop_size",
            )
        self._shape = (channels, crop or height, crop or width)
        values = np.array(transform.mean_value or [0], np.float32)
        self._mean = np.resize(values, channels).reshape(-1, 1, 1)

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of a batch's arrays."""
        size = self._config.batch_size
        return [(size, *self._shape), (size,)]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; reuses the arrays of `old`."""
        if old is None:
            data, labels = (np.empty(shape, self._dtype) for shape in self.shapes)
            old = Batch(data, labels)
        for item, index in self._places():
            folder, frames, label = self._videos[index]
            image = self._read(folder, frames)
            with named(f'video "{folder}"'):
                self._apply(image, old.data[item])
            old.labels[item] = label
        old.state = self.get_state()
        return old

    def _read(self, folder: str, frames: int) -> Array:
        """The frames of all pieces as channels: (C, H, W)."""
        parts: list[Array] = []
        for start in self._starts(frames):
            for number in range(start + 1, start + 1 + self._config.new_length):
                for name in self._names(number):
                    path = f"{folder}/{name}"
                    with named(f'frame "{path}"'):
                        part = images.read(path, not (self._flow or self._config.grayscale))
                        if self._config.new_height and self._config.new_width:
                            size = self._config.new_height, self._config.new_width
                            part = images.resize(part, *size)
                    if parts and part.shape[1:] != parts[0].shape[1:]:
                        raise DataError(
                            f'frame "{path}" is {part.shape[1:]}, the first one is '
                            f"{parts[0].shape[1:]}"
                        )
                    parts.append(part)
        return np.concatenate(parts)

    def _starts(self, frames: int) -> list[int]:
        """Frames before each piece."""
        count, length = self._config.num_segments, self._config.new_length
        part = frames // count
        room = part - length + 1
        if room < 1:
            return [0] * count
        if self._training:
            return [i * part + int(self._rng.integers(room)) for i in range(count)]
        return [i * part + room // 2 for i in range(count)]

    def _names(self, number: int) -> list[str]:
        """The files of a frame: one, or those of the flow along x and y."""
        try:
            if self._flow:
                return [self._pattern % (axis, number) for axis in "xy"]
            return [self._pattern % number]
        except (TypeError, ValueError):
            wanted = '"%c" for x and y and one "%d"' if self._flow else 'one "%d"'
            raise LayerError(
                f'name_pattern "{self._pattern}" must have {wanted} for the frame\'s number',
                "name_pattern",
            ) from None

    def _apply(self, image: Array, y: Array) -> None:
        """Cut, mirror, subtract and scale."""
        transform, size = self._transform, self._transform.crop_size
        if size:
            height, width = self._crop_size(*image.shape[1:])
            if height > image.shape[1] or width > image.shape[2]:
                raise DataError(f"frames {image.shape[1:]} are too small for crop_size {size}")
            row, column = self._place(image.shape[1] - height, image.shape[2] - width)
            image = image[:, row : row + height, column : column + width]
            if (height, width) != (size, size):
                image = images.resize(image, size, size)
        if image.shape != y.shape:
            raise DataError(f"frames are {image.shape}, those of the first video {y.shape}")
        values = image.astype(self._dtype)
        if transform.mirror and self._rng.integers(2):
            values = values[:, :, ::-1]
            if transform.is_flow:  # what moved to the left now moves to the right
                values[::2] = 255 - values[::2]
        y[...] = (values - self._mean) * transform.scale

    def _crop_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what is cut out: with `multi_scale` drawn, not too distorted."""
        transform, size = self._transform, self._transform.crop_size
        if not (self._training and transform.multi_scale):
            return size, size
        scales = list(transform.scale_ratios) or SCALES
        sides = [int(min(height, width) * np.float32(scale)) for scale in scales]
        sides = [size if abs(side - size) < NEAR else side for side in sides]
        pairs = [
            (high, wide)
            for i, high in enumerate(sides)
            for j, wide in enumerate(sides)
            if abs(i - j) <= transform.max_distort
        ]
        return pairs[self._rng.integers(len(pairs))]

    def _place(self, rows: int, columns: int) -> tuple[int, int]:
        """How far from the top and left, of so many rows and columns that are left over."""
        if not self._training:
            return rows // 2, columns // 2
        if not self._transform.fix_crop:
            return int(self._rng.integers(rows + 1)), int(self._rng.integers(columns + 1))
        places = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
        if self._transform.more_fix_crop:
            places += [(0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3)]
        down, across = places[self._rng.integers(len(places))]
        return down * (rows // 4), across * (columns // 4)
