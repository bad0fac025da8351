"""Cases of VideoData."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.cases.data import png
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


RATES = np.random.default_rng(6).integers(0, 256, (3, 6, 5, 7, 3), np.uint8)
"""Three videos of six frames of 5 x 7, BGR; the flow is their first two channels."""


def listed(folder: Path) -> None:
    """Folders of frames, and the list of them."""
    if (folder / "list.txt").exists():  # a reader may be using it
        return
    for video, frames in enumerate(RATES):
        (folder / f"v{video}").mkdir(exist_ok=True)
        for number, frame in enumerate(frames, 1):
            image = frame.transpose(2, 0, 1)
            (folder / f"v{video}" / f"f{number}.png").write_bytes(png(image))
            for axis, name in enumerate("xy"):
                path = folder / f"v{video}" / f"flow_{name}_{number}.png"
                path.write_bytes(png(image[axis : axis + 1]))
    lines = [f"{folder}/v{video} {6 - video} {3 * video + 1}" for video in range(3)]
    (folder / "list.txt").write_text("\n".join(lines) + "\n")


def pieces(config: str, expect, transform: str = "", **more) -> Case:
    source = 'source: "{folder}/list.txt" batch_size: 3'
    text = f"video_data_param {{ {source} {config} }} transform_param {{ {transform} }}"
    return Case("VideoData", [], text, expect, tops=2, files=listed, **more)


def chosen(starts, length, channels, crop=None, mean=0.0, scale=1.0):
    """The frames after these, for each video, as channels; and the labels."""
    images = [
        np.concatenate(
            [
                frames[start + i].transpose(2, 0, 1)[:channels].astype(np.float64)
                for start in each
                for i in range(length)
            ]
        )
        for frames, each in zip(RATES, starts)
    ]
    top = (np.stack(images) - mean) * scale
    return [top if crop is None else top[:, :, crop[0], crop[1]], np.array([1.0, 4, 7])]


FROM_LISTS = [
    pieces(
        'modality: RGB new_length: 2 num_segments: 2 name_pattern: "f%d.png"',
        # parts of 3, 2 and 2 frames
        lambda: chosen([(1, 4), (0, 2), (0, 2)], 2, 3, np.s_[1:4, 2:5], 9.0, 0.5),
        "crop_size: 3 mean_value: 9 scale: 0.5",
        phase="TEST",
    ),
    pieces(
        'new_length: 5 name_pattern: "flow_%c_%d.png"',  # the last has only four frames
        lambda: chosen([(1,), (0,), (0,)], 5, 2),
        "is_flow: true",
        phase="TEST",
    ),
    pieces(
        'new_length: 2 name_pattern: "flow_%c_%d.png" shuffle: true',
        None,
        "crop_size: 3 mirror: true multi_scale: true fix_crop: true is_flow: true",
        random=True,
    ),
]
OF_FILES = [
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
    OF_FILES.clear()
CASES = [*OF_FILES, *FROM_LISTS]


def refusal(at: str, says: str, config: str, batch: str = "batch_size: 1") -> Refusal:
    config = f"data_param {{ {batch} }} video_data_param {{ {config} }}"
    return Refusal("VideoData", [], config, at=f".video_data_param.{at}", says=says)


def not_listed(config: str, at: str, says: str, transform: str = "") -> Refusal:
    config = f'video_data_param {{ source: "x" batch_size: 1 {config} }}'
    text = f"{config} transform_param {{ {transform} }}"
    return Refusal("VideoData", [], text, at=at, says=says)


REFUSALS = [
    refusal("video_type", "reads no camera; give video_type: VIDEO", "device_id: 0"),
    refusal("video_file", "names no video file", "video_type: VIDEO"),
    refusal("new_length", "is not of SSD's .* has a source", "video_type: VIDEO new_length: 3"),
    not_listed("new_length: 0", "new_length", "1 or more, not 0"),
    not_listed("num_segments: 0", "num_segments", "1 or more, not 0"),
    not_listed("step: 2", "step", "another fork's"),
    not_listed("new_width: 3", "new_height", "must both be given"),
    not_listed("", ".transform_param.mean_file", "no mean_file", 'mean_file: "m"'),
    not_listed("", ".transform_param.max_distort", "not be below 0, not -1", "max_distort: -1"),
    not_listed("", ".transform_param.scale_ratios[0]", "at most 1, not 1.5", "scale_ratios: 1.5"),
]
