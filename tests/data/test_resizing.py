"""resize_param against OpenCV, which SSD resizes with."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.annotation import Annotations
from caffe_lite.data.resizing import Resizer, interpolate
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.errors import CaffeError, DataError, LayerError
from caffe_lite.proto import caffe_pb2, text

cv2 = pytest.importorskip("cv2")

RANDOM = np.random.default_rng(4)
IMAGE = RANDOM.integers(0, 256, (3, 37, 52), np.uint8)
MODES = {
    "LINEAR": cv2.INTER_LINEAR,
    "AREA": cv2.INTER_AREA,
    "NEAREST": cv2.INTER_NEAREST,
    "CUBIC": cv2.INTER_CUBIC,
    "LANCZOS4": cv2.INTER_LANCZOS4,
}
SIZES = [(37, 52), (20, 30), (10, 10), (80, 120), (50, 30), (20, 70), (111, 104), (36, 51), (1, 1)]


def resizer(config: str) -> Resizer:
    param = caffe_pb2.ResizeParameter()
    text.parse(config, param, "resize")
    return Resizer(param, "field")


def by_opencv(image: np.ndarray, height: int, width: int, mode: int) -> np.ndarray:
    found = cv2.resize(image.transpose(1, 2, 0), (width, height), interpolation=mode)
    return found.reshape(height, width, -1).transpose(2, 0, 1)


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_modes_are_opencvs(mode: str, size: tuple[int, int]) -> None:
    kind = caffe_pb2.ResizeParameter.Interp_mode.Value(mode)
    found = interpolate(IMAGE, *size, kind)
    wrong = differences(found, by_opencv(IMAGE, *size, MODES[mode]))
    assert wrong.max() <= (mode not in ("LINEAR", "NEAREST"))
    assert wrong.mean() < 0.1  # a rounding here and there: OpenCV's weights have 11 bits


@pytest.mark.parametrize("mode", ["AREA", "CUBIC", "LANCZOS4"])
def test_the_check_tells_modes_apart(mode: str) -> None:
    kind = caffe_pb2.ResizeParameter.Interp_mode.Value(mode)
    for other, number in MODES.items():
        if other != mode:
            wrong = differences(interpolate(IMAGE, 20, 30, kind), by_opencv(IMAGE, 20, 30, number))
            assert wrong.max() > 1


BORDERS = {
    "CONSTANT": cv2.BORDER_CONSTANT,
    "MIRRORED": cv2.BORDER_REFLECT_101,
    "REPEAT_NEAREST": cv2.BORDER_REPLICATE,
}


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("height", "width", "inner"),
    [(40, 40, (28, 40)), (30, 60, (30, 42)), (33, 20, (14, 20)), (20, 29, (20, 28))],
)
def test_padding(border: str, height: int, width: int, inner: tuple[int, int]) -> None:
    each = resizer(
        f"resize_mode: FIT_LARGE_SIZE_AND_PAD height: {height} width: {width} pad_mode: {border} "
        "pad_value: 3 pad_value: 300 pad_value: 7.5 interp_mode: LINEAR"
    )
    found = each.apply(IMAGE, np.random.default_rng(1))
    middle = cv2.resize(IMAGE.transpose(1, 2, 0), inner[::-1])
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    bottom, right = height - inner[0] - top, width - inner[1] - left
    wanted = cv2.copyMakeBorder(
        middle, top, bottom, left, right, BORDERS[border], value=(3, 300, 7.5)
    )
    np.testing.assert_array_equal(found, wanted.transpose(2, 0, 1))
    assert each.size(37, 52) == (height, width)


def test_the_padding_is_black_where_no_value_is_given() -> None:
    each = resizer("resize_mode: FIT_LARGE_SIZE_AND_PAD height: 40 width: 30")
    found = each.apply(np.full((3, 20, 30), 9, np.uint8), np.random.default_rng(1))
    wanted = np.zeros((3, 40, 30), np.uint8)
    wanted[:, 10:30] = 9
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("height", "width", "wanted"), [(40, 40, (40, 56)), (20, 60, (42, 60)), (37, 52, (37, 52))]
)
def test_covering(height: int, width: int, wanted: tuple[int, int]) -> None:
    each = resizer(f"resize_mode: FIT_SMALL_SIZE height: {height} width: {width}")
    assert each.size(37, 52) == wanted
    found = each.apply(IMAGE, np.random.default_rng(1))
    np.testing.assert_array_equal(found, by_opencv(IMAGE, *wanted, cv2.INTER_LINEAR))


def test_one_of_the_modes_is_drawn() -> None:
    each = resizer("height: 20 width: 30 interp_mode: NEAREST interp_mode: CUBIC")
    rng = np.random.default_rng(1)
    found = {each.apply(IMAGE, rng).tobytes() for _ in range(20)}
    assert len(found) == 2


def test_boxes_in_units_of_another_scale() -> None:
    each = resizer(
        "resize_mode: FIT_SMALL_SIZE height: 60 width: 60 height_scale: 5 width_scale: 4"
    )
    numbers = np.zeros(1, np.int64)
    found = Annotations(numbers, numbers, np.array([[0, 0.5, 1, 1]], np.float32), numbers)
    window = np.array([0.25, 0, 0.75, 1], np.float32)
    # 30 x 40 becomes 60 x 80; the window is 60 high and 40 wide
    moved = each.stretch(found, (30, 40), window)
    np.testing.assert_allclose(moved.boxes, [[0, 6, 10, 12]], rtol=1e-6)
    plain = resizer("height: 60 width: 60 height_scale: 5 width_scale: 4")
    assert plain.stretch(found, (30, 40), window) is found


def test_refusals() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(LayerError, match="height must be 1 or more"):
        resizer("width: 3")
    with pytest.raises(CaffeError, match="1000000 x 1000000 pixels"):
        resizer("height: 1000000 width: 1000000")
    with pytest.raises(CaffeError, match="pixels has more than"):
        resizer("height: 8000 width: 1 resize_mode: FIT_SMALL_SIZE").size(2, 60000)
    with pytest.raises(LayerError, match="2 pad_value fields for 3 channels"):
        resizer(
            "height: 9 width: 9 resize_mode: FIT_LARGE_SIZE_AND_PAD pad_value: 1 pad_value: 2"
        ).apply(IMAGE, rng)
    with pytest.raises(DataError, match="not of float_data"):
        resizer("height: 3 width: 4").apply(IMAGE.astype(np.float32), rng)


def test_the_transformer_resizes_before_it_crops() -> None:
    param = caffe_pb2.TransformationParameter()
    text.parse("resize_param { height: 20 width: 30 } crop_h: 7 crop_w: 12", param, "transform")
    transformer = DataTransformer(param, caffe_pb2.TEST, np.random.default_rng(1))
    assert transformer.output_shape(IMAGE.shape) == (3, 7, 12)
    y = np.empty((3, 7, 12), np.float32)
    placement = transformer.apply(IMAGE, y)
    resized = by_opencv(IMAGE, 20, 30, cv2.INTER_LINEAR)
    np.testing.assert_array_equal(y, resized[:, 6:13, 9:21])
    np.testing.assert_allclose(placement.window, [9 / 30, 6 / 20, 21 / 30, 13 / 20], rtol=1e-6)
    assert not placement.mirror


def test_a_random_size_of_the_shorter_side() -> None:
    param = caffe_pb2.TransformationParameter()
    text.parse(
        "crop_size: 20 mirror: true random_resize_param { min_size: 24 max_size: 26 "
        "resize_param { interp_mode: CUBIC } }",
        param,
        "transform",
    )
    transformer = DataTransformer(param, caffe_pb2.TRAIN, np.random.default_rng(1))
    assert transformer.output_shape(IMAGE.shape) == (3, 20, 20)
    sizes = [(24, 33), (25, 35), (26, 36)]  # 52 / 37 of the shorter side, rounded down
    resized = [interpolate(IMAGE, *size, caffe_pb2.ResizeParameter.CUBIC) for size in sizes]
    wanted = {
        np.ascontiguousarray(part[:, :, ::step], np.float32).tobytes(): index
        for index, image in enumerate(resized)
        for i in range(image.shape[1] - 19)
        for j in range(image.shape[2] - 19)
        for step in (1, -1)
        for part in [image[:, i : i + 20, j : j + 20]]
    }
    y, seen = np.empty((3, 20, 20), np.float32), set()
    for _ in range(60):
        transformer.apply(IMAGE, y)
        seen.add(wanted[y.tobytes()])
    assert seen == {0, 1, 2}


def test_random_sizes_that_are_refused() -> None:
    def transformer(config: str) -> DataTransformer:
        param = caffe_pb2.TransformationParameter()
        text.parse(config, param, "transform")
        return DataTransformer(param, caffe_pb2.TRAIN, np.random.default_rng(1))

    with pytest.raises(LayerError, match="needs a crop_size"):
        transformer("random_resize_param { }")
    with pytest.raises(LayerError, match="max_size 3 is below min_size 4"):
        transformer("crop_size: 2 random_resize_param { min_size: 4 max_size: 3 }")
    small = transformer("crop_size: 20 random_resize_param { min_size: 19 }")
    with pytest.raises(LayerError, match="crop_size 20 is larger than the image, 19 x 26"):
        small.output_shape(IMAGE.shape)
    with pytest.raises(DataError, match="not of float_data"):
        small.apply(IMAGE.astype(np.float32), np.empty((3, 20, 20), np.float32))
    with pytest.raises(LayerError, match="takes resize_mode WARP only"):
        transformer(
            "crop_size: 2 random_resize_param { resize_param { resize_mode: FIT_SMALL_SIZE } }"
        )
