"""Lists of videos: what is drawn at random, bad lists, states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data.frames import FrameReader, read_videos
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.layers import registry
from caffe_lite.proto import caffe_pb2, text
from tests.cases.data import png

SIZE = (16, 20)


def write(folder: Path, frames: int = 8) -> None:
    """Flow images, the pixels of which say where they are: x the column, y the row."""
    (folder / "v").mkdir()
    rows, columns = (grid.astype(np.uint8) for grid in np.mgrid[: SIZE[0], : SIZE[1]])
    for number in range(1, frames + 1):
        for name, plane in (("x", columns), ("y", rows + 100)):
            (folder / "v" / f"flow_{name}_{number:04d}.jpg").write_bytes(png(plane[None]))
    (folder / "list.txt").write_text(f"{folder}/v {frames} 3\n")


def reader(folder: Path, transform: str, config: str = "", seed: int = 1) -> FrameReader:
    video, given = caffe_pb2.VideoDataParameter(), caffe_pb2.TransformationParameter()
    text.parse(f'source: "{folder}/list.txt" batch_size: 1 {config}', video, "case")
    text.parse(transform, given, "case")
    return FrameReader(video, given, True, np.float32, np.random.default_rng(seed))


def corners(data: np.ndarray) -> tuple[float, float, float, float]:
    """The row and the column of the first pixel, and of the last."""
    x, y = data[0, :2]
    return y[0, 0] - 100, x[0, 0], y[-1, -1] - 100, x[-1, -1]


def test_a_net_says_its_shapes_without_the_videos() -> None:
    param = caffe_pb2.LayerParameter(type="VideoData", top=["data", "label"])
    config = 'source: "nowhere" batch_size: 22 new_length: 10'
    text.parse(
        f"video_data_param {{ {config} }} transform_param {{ crop_size: 224 }}", param, "case"
    )
    cls = registry.describing_class("VideoData")
    assert cls.needs_stand_in(param)
    assert cls.source_shapes(param, {}) == [(22, 20, 224, 224), (22,)]
    param.video_data_param.modality = caffe_pb2.VideoDataParameter.RGB
    assert cls.source_shapes(param, {}) == [(22, 30, 224, 224), (22,)]


def test_fixed_places(tmp_path: Path) -> None:
    write(tmp_path)
    for more, count in (("", 5), ("more_fix_crop: true", 13)):
        source = reader(tmp_path, f"crop_size: 8 fix_crop: true {more}")
        found = {corners(source.fill(None).data)[:2] for _ in range(150)}
        assert len(found) == count
        assert {(0, 0), (0, 12), (8, 0), (8, 12), (4, 6)} <= found
        assert ((2, 9) in found) == bool(more)


def test_cuts_of_several_sizes_are_resized(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "crop_size: 8 multi_scale: true scale_ratios: [1, 0.75, 0.5]")
    shapes = set()
    for _ in range(60):
        top, left, bottom, right = corners(source.fill(None).data)
        # the outer pixels of 8 from n lie (n / 8 - 1) / 2 inside, and are rounded
        sides = (bottom - top) / 7 * 8, (right - left) / 7 * 8
        shapes.add(
            tuple(min((8, 12, 16), key=lambda n, side=side: abs(n - side)) for side in sides)
        )
    assert shapes == {(16, 16), (16, 12), (12, 16), (12, 12), (12, 8), (8, 12), (8, 8)}


def test_a_mirrored_flow_goes_the_other_way(tmp_path: Path) -> None:
    write(tmp_path)
    seen = set()
    for plain, flow in ((False, "is_flow: true"), (True, "")):
        source = reader(tmp_path, f"mirror: true {flow}")
        for _ in range(12):
            x, y = source.fill(None).data[0]
            mirrored = x[0, 0] != 0
            seen.add((plain, mirrored))
            columns = np.arange(20.0)[::-1] if mirrored else np.arange(20.0)
            wanted = 255 - columns if mirrored and not plain else columns
            np.testing.assert_array_equal(x, np.tile(wanted, (16, 1)))
            np.testing.assert_array_equal(y[:, 0], np.arange(100.0, 116))
    assert len(seen) == 4


def test_a_state_goes_on(tmp_path: Path) -> None:
    write(tmp_path)
    transform = "crop_size: 8 mirror: true"
    source = reader(tmp_path, transform, "shuffle: true new_length: 3")
    source.fill(None)
    state = source.get_state()
    wanted = source.fill(None).data.copy()
    other = reader(tmp_path, transform, "shuffle: true new_length: 3", seed=9)
    other.set_state(state)
    np.testing.assert_array_equal(other.fill(None).data, wanted)


@pytest.mark.parametrize("content", ["", "v 3", "v three 4", "v 0 4", "v 3 4 5"])
def test_other_lists_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "l").write_text(content)
    with pytest.raises(DataError, match=r'is empty|:1: "folder frames label" should be here'):
        read_videos(str(tmp_path / "l"))


@pytest.mark.parametrize(
    ("transform", "config", "says"),
    [
        ("crop_size: 17", "", "crop_size 17 is larger than the frames, 16 x 20"),
        ("", 'name_pattern: "f%d"', "must have .* for the frame's number"),
        ("", 'name_pattern: "nothing_%c_%d"', "nothing_x_"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, transform: str, config: str, says: str) -> None:
    write(tmp_path)
    with pytest.raises(CaffeError, match=says):
        reader(tmp_path, transform, config)
