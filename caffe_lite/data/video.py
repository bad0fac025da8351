"""The frames of a video, through OpenCV (an extra: ``pip install caffe_lite[video]``)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import reading, states
from caffe_lite.data import images
from caffe_lite.data.readers import Reader
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.errors import DataError
from caffe_lite.states import State

Array = npt.NDArray[Any]

# A playlist is text that names other files and addresses, which FFmpeg would open.
_FORMATS = (
    "mov,mp4,avi,matroska,webm,mpeg,mpegts,mpegvideo,flv,ogg,asf,mjpeg,m4v,h264,hevc,y4m,gif"
)
_SETTINGS = {
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": f"protocol_whitelist;file|format_whitelist;{_FORMATS}",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # it would print what is reported here
}
_lock = threading.Lock()


class VideoReader(Reader):
    """The frames of a video file in order, each after `skip` that are left out.

    After the last frame there is a DataError.  The labels are 0.
    """

    def __init__(
        self,
        path: str,
        skip: int,
        batch_size: int,
        transformer: DataTransformer,
        dtype: npt.DTypeLike,
    ) -> None:
        super().__init__(batch_size, transformer, dtype)
        self._path = path
        self._skipped = skip
        self._at = 0
        self._capture = _open(path)

    def _peek(self) -> tuple[str, Array, int]:
        first = self._next()
        self._rewind()
        return first

    def _next(self) -> tuple[str, Array, int]:
        for _ in range(self._skipped):
            self._grab()
        self._grab()
        found, frame = self._capture.retrieve()
        if not found:
            raise DataError(f'cannot decode frame {self._at - 1} of "{self._path}"')
        image = np.ascontiguousarray(frame.transpose(2, 0, 1))
        return f'frame {self._at - 1} of "{self._path}"', image, 0

    def _grab(self) -> None:
        if not self._capture.grab():
            raise DataError(f'the video "{self._path}" has ended after {self._at} frames')
        self._at += 1

    def _skip(self, count: int) -> None:
        for _ in range(count * (self._skipped + 1)):
            self._grab()

    def _rewind(self) -> None:
        self._capture.release()
        self._capture, self._at = _open(self._path), 0

    def position(self) -> State:
        """How many frames are read."""
        return {"frame": self._at}

    def move_to(self, state: State) -> None:
        """Read that many frames again, as not every video can be entered anywhere."""
        frame = states.integer(state, "frame")
        self._rewind()
        while self._at < frame:
            self._grab()

    def close(self) -> None:
        """Close the video."""
        self._capture.release()


def _open(path: str) -> Any:
    try:
        import cv2
    except ImportError:
        raise DataError(
            "reading a video needs OpenCV; install it with: pip install 'caffe_lite[video]'"
        ) from None
    try:
        reading.require_regular(path)
    except OSError as error:
        raise DataError(f'cannot read the video "{path}": {error.strerror}') from None
    with _settings(cv2.utils.logging):
        capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    width, height = (
        int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if not capture.isOpened() or min(width, height) < 1:
        raise DataError(f'"{path}" is not a video that OpenCV can read')
    images.check_pixels(width, height)
    return capture


@contextmanager
def _settings(log: Any) -> Iterator[None]:
    """OpenCV's settings for opening a video, which it takes from the environment; its log off."""
    with _lock:
        level = log.setLogLevel(log.LOG_LEVEL_SILENT)
        before = {name: os.environ.get(name) for name in _SETTINGS}
        os.environ.update(_SETTINGS)
        try:
            yield
        finally:
            log.setLogLevel(level)
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
