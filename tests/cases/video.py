"""Cases of VideoData."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles import image as oracle

FRAMES = np.random.default_rng(5).integers(0, 256, (6, 36, 52, 3), np.uint8)
"""Six frames of 36 x 52, BGR; written without loss."""


def write(path: Path, frames: np.ndarray = FRAMES) -> None:
    import cv2

    if path.exists():
        return
    code = cv2.VideoWriter_fourcc(*"FFV1")
    size = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 10, size)
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()


def all_alike(folder: Path) -> None:
    """Frames enough for every check, all the same, so that every forward gives the same result."""
    write(folder / "v.avi", np.repeat(FRAMES[:1], 90, axis=0))


CASES = [
    Case(
        "VideoData",
        [],
        'data_param { batch_size: 2 } video_data_param { video_type: VIDEO video_file: "{folder}/'
        'v.avi" skip_frames: 2 } transform_param { mean_value: 9 crop_h: 6 crop_w: 10 }',
        phase="TEST",
        tops=2,
        files=all_alike,
        expect=lambda: [
            np.stack([oracle.transform(FRAMES[0].transpose(2, 0, 1), 15, 21, (6, 10), 9)] * 2),
            np.zeros(2),
        ],
    ),
]
if importlib.util.find_spec("cv2") is None:  # the extra "video"
    CASES.clear()


def refusal(at: str, says: str, config: str, batch: str = "batch_size: 1") -> Refusal:
    config = f"data_param {{ {batch} }} video_data_param {{ {config} }}"
    return Refusal("VideoData", [], config, at=f".video_data_param.{at}", says=says)


REFUSALS = [
    refusal("video_type", "reads no camera; give video_type: VIDEO", "device_id: 0"),
    refusal("video_file", "names no video file", "video_type: VIDEO"),
    refusal("source", "lists of frames are not supported", 'video_type: VIDEO source: "list.txt"'),
]
