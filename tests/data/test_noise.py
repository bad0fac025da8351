"""noise_param: against OpenCV, and what needs none against its definition."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from caffe_lite.data.noise import Noise
from caffe_lite.errors import DataError, LayerError
from caffe_lite.proto import caffe_pb2, text

Array = np.ndarray
SIZES = [(136, 120), (61, 83), (64, 81), (5, 9)]
"""Multiples of clahe's eight tiles, and others: along one axis, too, and of less than a tile."""


def noise(config: str) -> Noise:
    param = caffe_pb2.NoiseParameter()
    text.parse(config, param, "noise")
    return Noise(param, "noise")


def apply(config: str, image: Array, seed: int = 1) -> Array:
    return noise(config).apply(image, np.random.default_rng(seed))


def smooth(size: tuple[int, int]) -> Array:
    """An image of many levels, darker than bright, that changes slowly."""
    random = np.random.default_rng(5)
    rows, columns = np.mgrid[: size[0], : size[1]] / 17
    waves = [
        np.sin(rows * random.uniform(0.5, 2) + columns * random.uniform(0.5, 2)) for _ in range(3)
    ]
    return (80 + 75 * np.stack(waves) + random.normal(0, 4, (3, *size))).astype(np.uint8)


def rough(size: tuple[int, int]) -> Array:
    return np.random.default_rng(4).integers(0, 256, (3, *size), np.uint8)


IMAGES = [make(size) for size in SIZES for make in (smooth, rough)]


# -- OpenCV's numbers ----------------------------------------------------------------------


def hwc(image: Array) -> Array:
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def of_luma(cv2: Any, image: Array, change: Any) -> Array:
    converted = cv2.cvtColor(hwc(image), cv2.COLOR_BGR2YCrCb)
    converted[..., 0] = change(np.ascontiguousarray(converted[..., 0]))
    return cv2.cvtColor(converted, cv2.COLOR_YCrCb2BGR).transpose(2, 0, 1)


def clahe(cv2: Any) -> Any:
    made = cv2.createCLAHE()
    made.setClipLimit(4)
    return made.apply


def jpeg(cv2: Any, image: Array) -> Array:
    _, stored = cv2.imencode(".jpg", hwc(image), [cv2.IMWRITE_JPEG_QUALITY, 60])
    return cv2.imdecode(stored, cv2.IMREAD_COLOR).transpose(2, 0, 1)


def cross(cv2: Any) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))


BY_OPENCV = {
    "gauss_blur": lambda cv2, x: cv2.GaussianBlur(hwc(x), (7, 7), 1.5).transpose(2, 0, 1),
    "hist_eq": lambda cv2, x: of_luma(cv2, x, cv2.equalizeHist),
    "clahe": lambda cv2, x: of_luma(cv2, x, clahe(cv2)),
    "erode": lambda cv2, x: cv2.erode(hwc(x), cross(cv2)).transpose(2, 0, 1),
    "inverse": lambda cv2, x: cv2.bitwise_not(x),
    "convert_to_hsv": lambda cv2, x: cv2.cvtColor(hwc(x), cv2.COLOR_BGR2HSV).transpose(2, 0, 1),
}


@pytest.mark.parametrize("field", BY_OPENCV)
def test_pixels_are_opencvs(field: str) -> None:
    cv2 = pytest.importorskip("cv2")
    for image in IMAGES:
        found = apply(f"{field}: true", image)
        np.testing.assert_array_equal(found, BY_OPENCV[field](cv2, image))
        assert (found != image).any()


@pytest.mark.parametrize("field", ["gauss_blur", "hist_eq", "clahe", "erode", "inverse"])
def test_grey_images_are_opencvs(field: str) -> None:
    cv2 = pytest.importorskip("cv2")
    change = {
        "gauss_blur": lambda x: cv2.GaussianBlur(x, (7, 7), 1.5),
        "hist_eq": cv2.equalizeHist,
        "clahe": clahe(cv2),
        "erode": lambda x: cv2.erode(x, cross(cv2)),
        "inverse": cv2.bitwise_not,
    }[field]
    for image in IMAGES:
        np.testing.assert_array_equal(apply(f"{field}: true", image[:1])[0], change(image[0]))


def test_grey_is_that_of_opencvs_of_ssds_time() -> None:
    """With 14 bits; OpenCV 4 has 15, which give another number to some pixels in a thousand."""
    cv2 = pytest.importorskip("cv2")
    for image in IMAGES:
        grey = cv2.cvtColor(hwc(image), cv2.COLOR_BGR2GRAY)
        found = apply("decolorize: true", image)
        assert (found == found[0]).all()
        wrong = np.abs(found[0].astype(int) - grey)
        assert wrong.max() <= 1
        assert wrong.mean() < 0.01
        luma = cv2.cvtColor(hwc(image), cv2.COLOR_BGR2YCrCb)[..., 0]
        np.testing.assert_array_equal(found[0], luma)  # which still has 14


def test_a_jpeg_is_nearly_opencvs() -> None:
    """Libraries of JPEG differ by little, and the image by much."""
    cv2 = pytest.importorskip("cv2")
    for image in IMAGES:
        found = apply("jpeg: 60", image).astype(int)
        assert np.abs(found - jpeg(cv2, image)).mean() < 1
        assert np.abs(found - image).mean() > 1.5


# -- by definition -------------------------------------------------------------------------


def test_an_image_of_one_level_stays() -> None:
    flat = np.full((3, 8, 9), 77, np.uint8)
    for config in ("hist_eq: true", "gauss_blur: true", "erode: true"):
        np.testing.assert_array_equal(apply(config, flat), flat)


def test_posterized_levels_are_four() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    found = apply("posterize: true", levels).ravel()
    np.testing.assert_array_equal(found, np.repeat([32, 96, 160, 224], 64))


def test_each_step_has_its_place() -> None:
    """One that is after another sees what that one made."""
    image = smooth((20, 30))
    steps = ["decolorize", "gauss_blur", "hist_eq", "clahe", "erode", "posterize", "inverse"]
    steps.append("convert_to_hsv")
    for first, second in pairwise(steps):
        both = apply(f"{second}: true {first}: true", image)
        one_by_one = apply(f"{second}: true", apply(f"{first}: true", image))
        np.testing.assert_array_equal(both, one_by_one)
    jpeg_first = apply("erode: true", apply("jpeg: 30", image))
    np.testing.assert_array_equal(apply("erode: true jpeg: 30", image), jpeg_first)


def test_salt_has_its_value_and_its_share() -> None:
    image = np.full((3, 40, 50), 9, np.uint8)
    config = "saltpepper: true saltpepper_param { fraction: 0.1 value: 1 value: 2 value: 255.9 }"
    found = apply(config, image)
    changed = (found != image).any(axis=0)
    assert 170 < changed.sum() <= 200  # the same pixel may be drawn twice
    assert (found[:, changed] == np.array([[1], [2], [255]])).all()
    assert (found[:, ~changed] == 9).all()
    assert changed.any(axis=0).mean() > 0.9
    assert changed.any(axis=1).mean() > 0.9
    assert (apply(config, image, seed=2) != found).any()
    grey = apply("saltpepper: true saltpepper_param { fraction: 1 value: 3 }", image)
    assert set(np.unique(grey)) == {3, 9}
    assert (image == 9).all(), "the image itself stays"


def test_salt_without_its_switch_changes_nothing() -> None:
    image = smooth((5, 6))
    found = apply("prob: 1 saltpepper_param { fraction: 1 value: 3 }", image)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(
    "config",
    ["jpeg: 100", "saltpepper: true saltpepper_param { fraction: 1 value: 255 }"],
)
def test_bounds_are_possible(config: str) -> None:
    image = smooth((16, 24))
    found = apply(config, image)
    assert found.shape == image.shape
    assert (found != image).any()


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ("convert_to_lab: true", "convert_to_lab", "takes no convert_to_lab"),
        ("jpeg: 101", "jpeg", "at most 100, not 101"),
        ("jpeg: 100.5", "jpeg", "at most 100, not 100.5"),
        ("saltpepper: true", "saltpepper_param.value", "needs the value of its pixels"),
        (
            "saltpepper_param { fraction: 1.5 }",
            "saltpepper_param.fraction",
            "from 0 to 1, not 1.5",
        ),
        (
            "saltpepper_param { fraction: nan }",
            "saltpepper_param.fraction",
            "from 0 to 1, not nan",
        ),
        (
            "saltpepper_param { value: 0 value: 256 }",
            "saltpepper_param.value[1]",
            "to 255, not 256",
        ),
    ],
)
def test_settings_that_are_refused(config: str, field: str, says: str) -> None:
    with pytest.raises(LayerError, match=says) as caught:
        noise(config)
    assert caught.value.field == f"noise.{field}"


def test_images_that_are_refused() -> None:
    image = smooth((6, 7))
    with pytest.raises(DataError, match="images of bytes, not of float_data"):
        apply("inverse: true", image.astype(np.float32))
    for config in ("decolorize: true", "convert_to_hsv: true", "jpeg: 50"):
        with pytest.raises(DataError, match="changes no image of 1 channels"):
            apply(config, image[:1])
    with pytest.raises(DataError, match="changes no image of 2 channels"):
        apply("inverse: true", image[:2])
    with pytest.raises(LayerError, match="2 value fields for 3 channels"):
        apply("saltpepper: true saltpepper_param { fraction: 1 value: 3 value: 4 }", image)
