"""Window files, and windows cut out of images."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_lite.data.windows import (
    Box,
    Window,
    WindowReader,
    WindowSettings,
    fit,
    read_windows,
)
from caffe_lite.errors import DataError

PIXELS = np.random.default_rng(6).integers(0, 256, (20, 30, 3), np.uint8)  # RGB
IMAGE = PIXELS[:, :, ::-1].transpose(2, 0, 1)
SETTINGS = WindowSettings(
    batch_size=4,
    crop_size=16,
    mirror=False,
    scale=1.0,
    fg_threshold=0.5,
    bg_threshold=0.5,
    fg_fraction=0.25,
    context_pad=0,
    square=False,
    cache_images=False,
    root_folder="",
)
WINDOW = Window("i.png", 1, 1.0, 2, 3, 11, 8)  # 10 wide, 6 high, centre (7, 6)
NO_MEAN = np.zeros((1, 1, 1), np.float32)


def placed(mirror: bool = False, window: Window = WINDOW, **changes: object) -> Box:
    return fit(window, 20, 30, replace(SETTINGS, **changes), mirror)  # type: ignore[arg-type]


def test_stretched() -> None:
    assert placed() == Box(2, 3, 11, 8, height=16, width=16)


def test_grown_to_a_square() -> None:
    # half of 10 about the centre: x 2 to 12, y 1 to 11
    assert placed(square=True) == Box(2, 1, 12, 11, height=16, width=16)


def test_grown_by_its_context() -> None:
    # 4 of 16 pixels on each side double it: x -3 to 17, y 0 to 12; 3 of 21 columns are outside
    # and take round(3 * 16 / 21) = 2 of 16 pixels, the others round(18 * 16 / 21) = 14
    wanted = Box(0, 0, 17, 12, height=16, width=14, top=0, left=2)
    assert placed(context_pad=4) == wanted
    assert placed(context_pad=4, mirror=True) == replace(wanted, left=0)


def test_mirrored_padding_of_the_right_side() -> None:
    window = Window("i.png", 1, 1.0, 18, 3, 27, 8)  # 10 wide, centre 23: x 13 to 33, 4 outside
    plain = placed(context_pad=4, window=window)
    assert (plain.x1, plain.x2, plain.left, plain.width) == (13, 29, 0, 13)
    assert placed(context_pad=4, window=window, mirror=True) == replace(plain, left=3)


def test_what_rounding_makes_too_large_is_cut() -> None:
    # x -5 to 15, 5 of 21 columns outside: round(3.8) = 4, round(16 * 16 / 21 = 12.19) = 12
    # y -5 to 15 of a square window in 20 rows, alike
    box = placed(context_pad=4, window=Window("i.png", 1, 1.0, 0, 0, 9, 9))
    assert (box.left, box.width, box.top, box.height) == (4, 12, 4, 12)
    wide = fit(Window("i", 1, 1.0, 0, 0, 4, 4), 9, 9, replace(SETTINGS, context_pad=4), False)
    assert wide.left + wide.width <= 16


@pytest.mark.parametrize(
    ("window", "pad"),
    [
        (Window("i", 1, 1.0, 5, 5, 30, 8), 0),
        (Window("i", 1, 1.0, -1, 5, 9, 8), 0),
        (Window("i", 1, 1.0, 8, 5, 4, 8), 0),
        (Window("i", 1, 1.0, 90, 5, 95, 8), 4),
    ],
)
def test_window_outside_the_image(window: Window, pad: int) -> None:
    with pytest.raises(DataError, match="is not inside the image, 30 wide and 20 high"):
        placed(window=window, context_pad=pad)


@pytest.fixture
def source(tmp_path: Path) -> str:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    (tmp_path / "i.png").write_bytes(file.getvalue())
    (tmp_path / "windows.txt").write_text(
        "# 0\ni.png\n3\n20\n30\n4\n"
        "5 0.8 2 3 17 18\n"  # foreground, 16 x 16
        "6 0.5 1 1 16 16\n"  # foreground: at the threshold
        "7 0.4 0 0 15 15\n"  # between the thresholds: left out
        "8 0.2 9 2 24 17\n"  # background
    )
    return str(tmp_path / "windows.txt")


def reader(source: str, mean: np.ndarray = NO_MEAN, **changes: object) -> WindowReader:
    folder = source.removesuffix("windows.txt")
    settings = replace(SETTINGS, root_folder=folder, bg_threshold=0.3, **changes)  # type: ignore[arg-type]
    return WindowReader(source, settings, mean, np.float32, np.random.default_rng(1))


def test_read(source: str) -> None:
    windows, channels = read_windows(source)
    assert channels == 3
    assert windows[0] == Window("i.png", 5, float(np.float32(0.8)), 2, 3, 17, 18)
    assert len(windows) == 4


def test_background_comes_before_foreground(source: str) -> None:
    windows = reader(source, fg_fraction=0.5, batch_size=6)
    seen = set()
    for _ in range(10):
        batch = windows.fill(None)
        assert list(batch.labels[:3]) == [0, 0, 0]
        np.testing.assert_array_equal(batch.data[0], IMAGE[:, 2:18, 9:25])
        seen |= set(batch.labels[3:])
    assert seen == {5, 6}


@pytest.mark.parametrize("cache_images", [False, True])
def test_mirror_mean_and_scale(source: str, cache_images: bool) -> None:
    mean = np.random.default_rng(2).uniform(0, 255, (3, 20, 20)).astype(np.float32)
    windows = reader(
        source, mean, mirror=True, scale=0.5, fg_fraction=0.0, cache_images=cache_images
    )
    plain = IMAGE[:, 2:18, 9:25].astype(np.float32)
    wanted = {
        ((image - mean[:, 2:18, 2:18]) * np.float32(0.5)).tobytes()
        for image in (plain, plain[:, :, ::-1])
    }
    assert {row.tobytes() for row in windows.fill(None).data} == wanted


def test_padding_stays_zero(source: str) -> None:
    mean = np.full((3, 1, 1), 300, np.float32)
    batch = reader(source, mean, context_pad=4, fg_fraction=0.0).fill(None)
    # centre (17, 10), doubled: x 1 to 33, y -6 to 26 in 20 rows and 30 columns
    assert (batch.data[0] == 0).all(axis=0).sum() == 16 * 16 - 10 * 14
    assert (batch.data[0, :, 3:13, :14] < 0).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("x 0\n", r'windows.txt:1: "#", which begins an image, should be here, not "x"'),
        ("# 0\ni.png\n3 20 thirty\n", 'windows.txt:3: width should be here, not "thirty"'),
        ("# 0\ni.png\n3 20 30\n1\n5 0.8 1 2 3\n", "ends where y2 should be"),
        ("# 0\ni.png\n3 20 30\n1\n5 much 1 2 3 4\n", "windows.txt:5: a window's overlap"),
        ("# 0\ni.png\n3 20 30\n1\n0 0.8 1 2 3 4\n", "has class 0"),
        ("# 0\ni.png\n3 20 30\n1\n5 0.1 1 2 3 4\n", "has no foreground window"),
        ("# 0\ni.png\n3 20 30\n1\n5 0.8 1 2 3 4\n", "has no background window"),
    ],
)
def test_bad_files(source: str, content: str, says: str) -> None:
    Path(source).write_text(content)
    with pytest.raises(DataError, match=says):
        reader(source)


def test_errors_name_the_image(source: str) -> None:
    Path(source).write_text("# 0\nj.png\n3 20 30\n1\n5 0.1 1 2 3 4\n")
    with pytest.raises(DataError, match=r'a window of "j\.png": cannot read the image'):
        reader(source, fg_fraction=0.0).fill(None)
    Path(source).write_text("# 0\ni.png\n1 20 30\n1\n5 0.1 1 2 3 4\n")
    with pytest.raises(DataError, match="has 3 channels, the window file says 1"):
        reader(source, fg_fraction=0.0).fill(None)


def test_mean_of_another_size(source: str) -> None:
    with pytest.raises(
        DataError, match=r"mean \(3, 8, 8\) is too small for its central square of crop_size 16"
    ):
        reader(source, np.zeros((3, 8, 8), np.float32))
    with pytest.raises(DataError, match="mean has 2 channels, but the images 3"):
        reader(source, np.zeros((2, 1, 1), np.float32))
