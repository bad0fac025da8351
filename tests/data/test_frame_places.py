"""Which frames of a video are read, what part of them is taken, and what its values become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data.frames import FrameReader, read_videos
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.proto import caffe_pb2, text
from tests.cases.data import png
from tests.data.test_frames import SIZE, corners, write

ROWS, COLUMNS = SIZE


def reader(
    folder: Path, transform: str = "", config: str = "", training: bool = True, seed: int = 1
) -> FrameReader:
    video, given = caffe_pb2.VideoDataParameter(), caffe_pb2.TransformationParameter()
    text.parse(f'source: "{folder}/list.txt" batch_size: 1 {config}', video, "case")
    text.parse(transform, given, "case")
    return FrameReader(video, given, training, np.float32, np.random.default_rng(seed))


def write_colours(folder: Path, frames: int, label: int = 3, size: tuple[int, int] = SIZE) -> None:
    """Colour images whose channels, blue, green and red, are 10 times the frame's number and 0, 1
    and 2 more.
    """
    (folder / "v").mkdir(exist_ok=True)
    for number in range(1, frames + 1):
        pixels = np.broadcast_to(np.arange(3)[:, None, None] + 10 * number, (3, *size))
        (folder / "v" / f"image_{number:04d}.jpg").write_bytes(png(pixels.astype(np.uint8)))
    (folder / "list.txt").write_text(f"{folder}/v {frames} {label}\n")


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ("", {(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)}),
        (
            "more_fix_crop: true",
            {(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (0, 2), (4, 2), (2, 0), (2, 4)}
            | {(1, 1), (1, 3), (3, 1), (3, 3)},
        ),
    ],
)
def test_each_of_the_fixed_places(tmp_path: Path, more: str, steps: set) -> None:
    """Quarters of the 8 rows and 12 columns that are left over."""
    write(tmp_path)
    source = reader(tmp_path, f"crop_size: 8 fix_crop: true {more}")
    found = {corners(source.fill(None).data)[:2] for _ in range(160)}
    assert found == {(2 * down, 3 * across) for down, across in steps}


def test_quarters_are_rounded_down(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "crop_size: 9 fix_crop: true")  # 7 rows and 11 columns are left
    found = {corners(source.fill(None).data)[:2] for _ in range(80)}
    assert found == {(0, 0), (0, 8), (4, 0), (4, 8), (2, 4)}


def test_any_place_inside_may_be_drawn_in_train(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "crop_size: 12")
    found = {corners(source.fill(None).data)[:2] for _ in range(500)}
    assert found == {(row, column) for row in range(5) for column in range(9)}


@pytest.mark.parametrize(("size", "place"), [(12, (2, 4)), (11, (2, 4)), (16, (0, 2))])
def test_the_middle_is_taken_in_test(tmp_path: Path, size: int, place: tuple[int, int]) -> None:
    write(tmp_path)
    drawn = f"crop_size: {size} fix_crop: true multi_scale: true scale_ratios: 0.5"
    for transform in (f"crop_size: {size}", drawn):
        data = reader(tmp_path, transform, training=False).fill(None).data
        assert corners(data)[:2] == place
        assert data.shape == (1, 2, size, size)


@pytest.mark.parametrize(
    ("ratios", "distort", "sides"),
    [  # of the shorter side, 16; 13 and 11 are near enough to 12 to be it, 15 and 9 are not
        ([1.0, 0.95], 1, {(16, 16), (16, 15), (15, 16), (15, 15)}),
        ([0.8125, 0.6875], 1, {(12, 12)}),
        ([0.5625, 0.625], 1, {(9, 9), (9, 12), (12, 9), (12, 12)}),
        ([1.0, 0.75, 0.5], 0, {(16, 16), (12, 12), (8, 8)}),
        ([1.0, 0.5, 0.25], 2, {(a, b) for a in (16, 8, 4) for b in (16, 8, 4)}),
        ([1.0, 0.5, 0.25], 1, {(16, 16), (16, 8), (8, 16), (8, 8), (8, 4), (4, 8), (4, 4)}),
        ([], 1, {(16, 16), (16, 12), (12, 16), (12, 12)}),  # 16, 14, 12, 10
    ],
)
def test_sizes_of_cuts(tmp_path: Path, ratios: list[float], distort: int, sides: set) -> None:
    write(tmp_path)
    words = " ".join(f"scale_ratios: {ratio}" for ratio in ratios)
    source = reader(tmp_path, f"crop_size: 12 multi_scale: true max_distort: {distort} {words}")
    found = {source._crop_size(*SIZE) for _ in range(200)}
    assert found == sides
    assert {source._crop_size(20, 16) for _ in range(200)} == sides


@pytest.mark.parametrize(
    ("frames", "segments", "length", "starts"),
    [
        (9, 1, 1, [range(9)]),
        (9, 1, 3, [range(7)]),
        (9, 2, 2, [range(3), range(4, 7)]),
        (9, 3, 3, [range(1), range(3, 4), range(6, 7)]),
        (8, 3, 3, [range(1)] * 3),  # parts of 2 frames are too short
        (3, 1, 3, [range(1)]),
    ],
)
def test_where_pieces_begin(tmp_path: Path, frames, segments, length, starts) -> None:
    write_colours(tmp_path, 12)
    config = f"modality: RGB num_segments: {segments} new_length: {length}"
    source = reader(tmp_path, config=config)
    drawn = [source._starts(frames) for _ in range(120)]
    assert [set(each) for each in zip(*drawn, strict=True)] == [set(each) for each in starts]
    source = reader(tmp_path, config=config, training=False)
    middles = [each.start + len(each) // 2 for each in starts]
    assert source._starts(frames) == middles


def test_the_frames_of_pieces_are_channels(tmp_path: Path) -> None:
    write_colours(tmp_path, 9, label=7)
    config = "modality: RGB num_segments: 2 new_length: 2"
    batch = reader(tmp_path, config=config, training=False).fill(None)
    assert batch.data.shape == (1, 12, ROWS, COLUMNS)
    numbers = [2, 3, 6, 7]  # two frames from the second on: 1 of the 3 places before is passed
    wanted = [10 * number + channel for number in numbers for channel in range(3)]
    np.testing.assert_array_equal(batch.data[0, :, 5, 7], wanted)
    assert batch.labels.tolist() == [7]


def test_gray_frames_have_a_channel_each(tmp_path: Path) -> None:
    write_colours(tmp_path, 4)
    config = "modality: RGB grayscale: true new_length: 3"
    data = reader(tmp_path, config=config, training=False).fill(None).data
    assert data.shape == (1, 3, ROWS, COLUMNS)
    np.testing.assert_allclose(data[0, :, 0, 0], [21, 31, 41], atol=1)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ("", (ROWS, COLUMNS)),
        ("new_height: 10", (ROWS, COLUMNS)),
        ("new_width: 10", (ROWS, COLUMNS)),
        ("new_height: 10 new_width: 14", (10, 14)),
    ],
)
def test_frames_are_resized_to_two_sides(tmp_path: Path, config: str, size) -> None:
    write_colours(tmp_path, 2)
    source = reader(tmp_path, config=f"modality: RGB {config}")
    assert source.shapes == [(1, 3, *size), (1,)]
    assert source.fill(None).data.shape == (1, 3, *size)


def test_values_less_means_and_scaled(tmp_path: Path) -> None:
    write_colours(tmp_path, 3)
    config = "modality: RGB new_length: 2"
    source = reader(tmp_path, "mean_value: [1, 2, 4] scale: 0.5", config, training=False)
    data = source.fill(None).data  # of frames 2 and 3, of the first two places the second
    wanted = (np.array([20, 21, 22, 30, 31, 32]) - [1, 2, 4, 1, 2, 4]) * 0.5
    np.testing.assert_allclose(data[0, :, 3, 4], wanted)
    source = reader(tmp_path, "mean_value: 6", config, training=False)
    np.testing.assert_allclose(source.fill(None).data[0, :, 3, 4], [14, 15, 16, 24, 25, 26])


def test_half_of_the_videos_are_mirrored_if_it_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path)
    for transform, least, most in (("", 0, 0), ("mirror: true", 30, 70)):
        source = reader(tmp_path, transform)
        count = sum(source.fill(None).data[0, 0, 0, 0] != 0 for _ in range(100))
        assert least <= count <= most


def test_frames_of_other_sizes_are_refused(tmp_path: Path) -> None:
    write_colours(tmp_path, 3)
    config = "modality: RGB new_length: 2"
    source = reader(tmp_path, config=config, training=False)
    dark = np.zeros((3, ROWS, COLUMNS - 1), np.uint8)
    (tmp_path / "v" / "image_0003.jpg").write_bytes(png(dark))
    with pytest.raises(DataError, match=r"image_0003.jpg.* is \(16, 19\), the first one is "):
        source.fill(None)
    (tmp_path / "v" / "image_0002.jpg").write_bytes(png(dark))
    with pytest.raises(DataError, match=r"frames are .*19\), those of the first video .*20\)"):
        source.fill(None)
    small = reader(tmp_path, "crop_size: 16", config, training=False)
    for number in (2, 3):
        (tmp_path / "v" / f"image_000{number}.jpg").write_bytes(png(dark[:, 1:]))
    with pytest.raises(DataError, match=r"frames \(15, 19\) are too small for crop_size 16"):
        small.fill(None)


@pytest.mark.parametrize(("crop", "is_allowed"), [(16, True), (17, False)])
def test_a_crop_may_be_as_large_as_the_shorter_side(tmp_path: Path, crop, is_allowed) -> None:
    write(tmp_path)
    if is_allowed:
        assert reader(tmp_path, f"crop_size: {crop}").shapes[0] == (1, 2, crop, crop)
    else:
        with pytest.raises(CaffeError, match="is larger than the frames, 16 x 20"):
            reader(tmp_path, f"crop_size: {crop}")


def test_a_list_of_videos(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("a/b 3 0\n\n c 1 -2 \n")
    assert read_videos(str(tmp_path / "l")) == [("a/b", 3, 0), ("c", 1, -2)]
    (tmp_path / "l").write_text("a 3 0\n\nb -1 0\n")
    with pytest.raises(DataError, match=r":3: .* not \"b -1 0\""):
        read_videos(str(tmp_path / "l"))


def test_a_name_of_one_s_own(tmp_path: Path) -> None:
    write_colours(tmp_path, 1)
    (tmp_path / "v" / "image_0001.jpg").rename(tmp_path / "v" / "f1.png")
    source = reader(tmp_path, config='modality: RGB name_pattern: "f%d.png"')
    assert source.fill(None).data[0, 0, 0, 0] == 10
    with pytest.raises(CaffeError, match=r'must have one "%d" for the frame'):
        reader(tmp_path, config='modality: RGB name_pattern: "f.png"')
    with pytest.raises(CaffeError, match=r'"%c" for x and y and one "%d" for the frame'):
        reader(tmp_path, config='name_pattern: "f%d.png"')
