"""A net's input of a picture: that of OpenCV for files and bytes, that of pycaffe for floats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffe_lite import io
from caffe_lite.errors import CaffeError
from caffe_lite.pictures import sources
from caffe_lite.pictures.preprocessing import Frame, Preprocessing
from caffe_lite.pictures.sources import Picture
from caffe_lite.proto import files
from caffe_lite.proto.blobs import array_to_blob

SHAPE = (2, 3, 11, 14)
MEAN = (104, 117, 123)
PIXELS = np.random.default_rng(0).integers(0, 256, (31, 23, 3), np.uint8)


def prepared(source: Any, shape: tuple[int, ...] = SHAPE, **settings: Any) -> np.ndarray:
    (picture,), _ = sources.expand([source])
    return Preprocessing(shape, **settings).prepare(picture)[0]


@pytest.fixture
def file(tmp_path: Path) -> str:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(11, 14), (40, 50)])
def test_a_file_is_opencv_s_blob(file: str, size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    image = cv2.imread(file)
    for order in "BGR", "RGB":
        swap = order == "RGB"
        wanted = cv2.dnn.blobFromImage(image, 0.25, size[::-1], MEAN, swapRB=swap)[0]
        got = prepared(file, (1, 3, *size), mean=MEAN, scale=0.25, order=order)
        np.testing.assert_array_equal(got, wanted)


def test_an_array_is_as_its_file(file: str) -> None:
    wanted = prepared(file, mean=MEAN)
    np.testing.assert_array_equal(prepared(PIXELS, mean=MEAN), wanted)
    bgr = np.ascontiguousarray(PIXELS[:, :, ::-1])
    np.testing.assert_array_equal(prepared(bgr, mean=MEAN, array_order="BGR"), wanted)
    np.testing.assert_array_equal(prepared(Image.fromarray(PIXELS), mean=MEAN), wanted)
    clear = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 7, np.uint8)])
    np.testing.assert_array_equal(prepared(clear, mean=MEAN), wanted)
    palette = Image.fromarray(PIXELS).quantize(200)
    wanted = prepared(np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(prepared(palette), wanted)


@pytest.mark.parametrize("resize", [None, (17, 19)])
def test_floats_are_as_by_pycaffe_s_transformer(resize: tuple[int, int] | None) -> None:
    image = np.random.default_rng(1).random((31, 23, 3)).astype(np.float32)
    transformer = io.image_transformer({"data": SHAPE}, np.array(MEAN), 0.017, 255, (2, 1, 0))
    crop = image
    if resize:
        crop = io.resize_image(image, resize)[3:14, 2:16]
    wanted = transformer.preprocess("data", crop)
    got = prepared(image, mean=MEAN, scale=0.017, resize=resize)
    np.testing.assert_array_equal(got, wanted)


def test_grey_pictures_and_nets(tmp_path: Path, file: str) -> None:
    cv2 = pytest.importorskip("cv2")
    got = prepared(file, (1, 1, 31, 23), mean=5)
    grey = cv2.imread(file, cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(got[0], grey.astype(np.float32) - 5)
    for order, code in ("RGB", cv2.COLOR_RGB2GRAY), ("BGR", cv2.COLOR_BGR2GRAY):
        got = prepared(PIXELS, (1, 1, 31, 23), array_order=order)
        # cvtColor has a bit more in its weights than OpenCV's decoders
        np.testing.assert_allclose(got[0], cv2.cvtColor(PIXELS, code), atol=1)
    floats = (PIXELS / 255).astype(np.float32)
    wanted = io.load_image(file, color=False)[:, :, 0] * np.float32(255)
    np.testing.assert_allclose(prepared(floats, (1, 1, 31, 23))[0], wanted, rtol=1e-6)
    plane = PIXELS[:, :, 0]
    for image in Image.fromarray(plane), Image.fromarray(plane).convert("LA"):
        np.testing.assert_array_equal(prepared(image, (1, 1, 31, 23))[0], plane)
    three = prepared(plane, (1, 3, 31, 23), mean=(1, 2, 3))
    for channel in range(3):
        np.testing.assert_array_equal(three[channel], plane - np.float32(channel + 1))


def test_the_orientation_of_a_photograph(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = str(tmp_path / "turned.jpg")
    exif = Image.Exif()
    exif[0x112] = 6  # lies on its side
    Image.fromarray(PIXELS).save(path, exif=exif, quality=100, subsampling=0)
    image = cv2.imread(path)
    assert image.shape == (23, 31, 3)
    got = prepared(path, (1, 3, 23, 31))
    assert np.abs(got - image.transpose(2, 0, 1)).max() <= 2  # two decoders of JPEG
    assert sources.show(Picture(path)).shape == (23, 31, 3)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(prepared(opened, (1, 3, 23, 31)), got)


def test_the_shorter_side() -> None:
    (picture,), _ = sources.expand(PIXELS)
    x, frame = Preprocessing((1, 3, 12, 13), resize=13).prepare(picture)
    assert frame == Frame((31, 23), (13 * 31 // 23, 13), (2, 0), (12, 13))
    wide = PIXELS.transpose(1, 0, 2)
    _, frame = Preprocessing((1, 3, 12, 13), resize=13).prepare(Picture("wide", wide))
    assert frame == Frame((23, 31), (13, 17), (0, 2), (12, 13))
    assert x.shape == (3, 12, 13)


def test_sizes_of_the_input() -> None:
    assert prepared(PIXELS, input_size=(9, 8)).shape == (3, 9, 8)
    assert prepared(PIXELS, input_size="any").shape == (3, 31, 23)
    assert prepared(PIXELS, input_size="any", resize=46).shape == (3, 62, 46)
    np.testing.assert_array_equal(
        prepared(PIXELS, input_size="any")[0], PIXELS[:, :, 2].astype(np.float32)
    )


def test_means_in_files(tmp_path: Path) -> None:
    image = np.random.default_rng(2).random((3, 11, 14)).astype(np.float32) * 100
    larger = np.random.default_rng(3).random((3, 17, 20)).astype(np.float32) * 100
    np.save(tmp_path / "image.npy", image)
    files.write_message(tmp_path / "larger.binaryproto", array_to_blob(larger[np.newaxis]))
    np.save(tmp_path / "values.npy", np.array(MEAN, np.float64))
    plain = prepared(PIXELS)
    got = prepared(PIXELS, mean=tmp_path / "image.npy")
    np.testing.assert_array_equal(got, plain - image)
    np.testing.assert_array_equal(prepared(PIXELS, mean=image), plain - image)
    got = prepared(PIXELS, mean=str(tmp_path / "values.npy"))
    np.testing.assert_array_equal(got, prepared(PIXELS, mean=MEAN))
    # a mean of the size before the crop is cropped as the picture is
    got = prepared(PIXELS, mean=str(tmp_path / "larger.binaryproto"), resize=(17, 20))
    wanted = prepared(PIXELS, resize=(17, 20)) - larger[:, 3:14, 3:17]
    np.testing.assert_array_equal(got, wanted)
    # any other is resized, as by the Transformer
    transformer = io.Transformer({"data": SHAPE})
    transformer.set_mean("data", larger)
    got = prepared(PIXELS, mean=larger)
    np.testing.assert_allclose(got, plain - transformer.mean["data"], rtol=1e-5, atol=1e-4)


def test_a_scale_for_each_channel() -> None:
    got = prepared(PIXELS, mean=MEAN, scale=(0.5, 2, 3))
    wanted = prepared(PIXELS, mean=MEAN) * np.array([0.5, 2, 3], np.float32).reshape(3, 1, 1)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mean": (1, 2)}, "mean has 2 values, the net takes 3 channels"),
        ({"shape": (1, 1, 4, 5), "mean": (1, 2, 3)}, "mean has 3 values, the net takes 1 channel"),
        ({"mean": np.zeros((2, 11, 14))}, r"mean has shape \(2, 11, 14\), but the net takes 3 ch"),
        ({"mean": "nowhere.npy"}, 'cannot read "nowhere.npy"'),
        ({"mean": "nowhere.binaryproto"}, "nowhere.binaryproto: no such file"),
        ({"mean": "red"}, "red: no such file"),
        ({"scale": (1, 2)}, "scale has 2 values, the net takes 3 channels"),
        ({"shape": (1, 3)}, r"the net's input is \(1, 3\), but pictures need \(N, 1 or 3, hei"),
        ({"shape": (1, 4, 5, 6)}, r"the net's input is \(1, 4, 5, 6\)"),
        ({"order": "GBR"}, 'order must be "BGR" or "RGB", not \'GBR\''),
        ({"array_order": "bgr"}, 'array_order must be "BGR" or "RGB"'),
        ({"input_size": "all"}, 'input_size must be .* or "any", not "all"'),
        ({"input_size": (5,)}, "input_size must be 2 integers"),
        ({"resize": 0}, "resize must be at least 1, not 0"),
        ({"resize": (9, 14)}, r"0\" is resized to 9x14, which is smaller than .* 11x14; resize"),
        ({"resize": (60000, 60000)}, "has more than the limit of .* pixels"),
    ],
)
def test_refusals(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        prepared(PIXELS, **settings)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (
            np.zeros((3, 9, 9), np.uint8),
            r"not \(3, 9, 9\); put the channels last: array.transpose",
        ),
        (np.zeros((9, 9, 2), np.uint8), r"must be \(height, width, 1, 3 or 4 channels\), not"),
        (np.zeros((0, 9, 3), np.uint8), r"not \(0, 9, 3\)"),
        (np.zeros((9, 9, 3), np.int64), "of uint8, from 0 to 255, or of floats from 0 to 1, not"),
        (np.full((9, 9, 3), 200.0), "has floats from 200 to 200; floats go from 0 to 1"),
        (np.full((9, 9, 3), np.nan), "has floats from nan"),
        (object(), "must be an array of numbers"),
        (Image.new("I;16", (9, 9)), "has mode I;16, more than 8 bits; convert it"),
    ],
)
def test_arrays_that_are_no_pictures(array: Any, says: str) -> None:
    with pytest.raises(CaffeError, match=f"picture 0 .*{says}"):
        prepared(array)


def test_boxes_and_labels_are_led_back_to_the_picture() -> None:
    # resized from 20x30 to 40x90, of which rows 5 to 35 and columns 10 to 80 are the input
    frame = Frame((20, 30), (40, 90), (5, 10), (30, 70))
    boxes = frame.boxes(np.array([[0, 0, 1, 1], [0.5, 0.5, 2, 2], [-1, 0, 0.1, 0.2]]))
    wanted = [[10 / 3, 2.5, 80 / 3, 17.5], [15, 10, 30, 20], [0, 2.5, 17 / 3, 5.5]]
    np.testing.assert_allclose(boxes, wanted)
    labels = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    shown = frame.labels(labels, 255)
    assert shown.shape == (20, 30)
    for y in range(20):
        for x in range(30):
            v, u = (y + 0.5) * 2 - 5, (x + 0.5) * 3 - 10
            inside = 0 <= v < 30 and 0 <= u < 70
            assert shown[y, x] == (labels[int(v // 15), int(u * 3 // 70)] if inside else 255)


def test_folders_patterns_and_lists(tmp_path: Path) -> None:
    for name in "b.PNG", "a.jpg", "c.txt", ".hidden.png", "d[1].png":
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub.png").mkdir()
    folder = str(tmp_path)
    names = [picture.name for picture in sources.files(tmp_path)]
    assert names == [f"{folder}/{name}" for name in ("a.jpg", "b.PNG", "d[1].png")]
    names = [picture.name for picture in sources.files(f"{folder}/[ab].*")]
    assert names == [f"{folder}/a.jpg", f"{folder}/b.PNG"]
    assert sources.expand(f"{folder}/d[1].png") == ([Picture(f"{folder}/d[1].png")], True)
    found, one = sources.expand([f"{folder}/a.jpg", PIXELS, f"{folder}/*.PNG"])
    assert [picture.name for picture in found] == [f"{folder}/a.jpg", "1", f"{folder}/b.PNG"]
    assert not one
    stack, one = sources.expand(np.stack([PIXELS, PIXELS]))
    assert (len(stack), one) == (2, False)
    with pytest.raises(CaffeError, match=r'no file matches ".*x[*]"'):
        sources.files(f"{folder}/x*")
    with pytest.raises(CaffeError, match=r'the folder ".*" has no pictures \(\.bmp'):
        sources.files(tmp_path / "sub.png")
    with pytest.raises(CaffeError, match="pictures are files, arrays or lists of them, not 7"):
        sources.expand(7)
