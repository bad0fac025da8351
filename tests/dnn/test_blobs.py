"""Blobs of images, and images of blobs, against OpenCV's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe_lite import dnn
from caffe_lite.errors import CaffeError

cv2 = pytest.importorskip("cv2")

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (37, 53, 3), np.uint8)
SETTINGS: list[dict[str, Any]] = [
    {},
    {"size": (20, 30)},
    {"size": [90, 11], "swapRB": True},
    {"mean": (104.3, 177.7, 123.1)},
    {"mean": (104.3, 177.7, 123.1), "swapRB": True, "scalefactor": 0.017},
    {"mean": 7.5, "size": np.array([40, 70])},
    {"mean": (1.0, 2.0, 3.0, 4.0), "scalefactor": 1 / 255},
    {"size": (20, 30), "crop": True},
    {"size": (60, 21), "crop": True, "mean": (9.0, 8.0)},
    {"ddepth": 0},
    {"size": (26, 18), "ddepth": 0, "swapRB": 1},
    {
        "scalefactor": None,
        "size": None,
        "mean": None,
        "swapRB": None,
        "crop": None,
        "ddepth": None,
    },
    {"size": (0, 0), "mean": (), "crop": True},
]


def told(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "defaults"


@pytest.mark.parametrize("settings", SETTINGS, ids=told)
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_bytes_to_the_bit(channels: int, settings: dict[str, Any]) -> None:
    shape = (37, 53, channels) if channels else (37, 53)
    image = RNG.integers(0, 256, shape, np.uint8)
    wanted = cv2.dnn.blobFromImage(image, **settings)
    found = dnn.blobFromImage(image, **settings)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("settings", SETTINGS, ids=told)
def test_real_numbers_to_the_last_bits(settings: dict[str, Any]) -> None:
    image = (RNG.standard_normal((37, 53, 3)) * 90 + 100).astype(np.float32)
    wanted = cv2.dnn.blobFromImage(image, **settings)
    found = dnn.blobFromImage(image, **settings)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int32, np.float64])
def test_other_types(dtype: type) -> None:
    image = IMAGE.astype(dtype)
    np.testing.assert_array_equal(
        dnn.blobFromImage(image, 0.5, mean=(3, 2, 1)),
        cv2.dnn.blobFromImage(image, 0.5, mean=(3, 2, 1)),
    )


def test_views_and_positions() -> None:
    image = IMAGE[::2, ::-1]
    arguments = (0.5, (10, 12), (1, 2, 3), True, False, cv2.CV_32F)
    np.testing.assert_array_equal(
        dnn.blobFromImage(image, *arguments), cv2.dnn.blobFromImage(image, *arguments)
    )


def test_a_crop_whose_factor_is_rounded_first() -> None:
    image = RNG.integers(0, 256, (46, 69, 3), np.uint8)  # 69 * 21 / 46 is 31.5, as float32 more
    np.testing.assert_array_equal(
        dnn.blobFromImage(image, size=(14, 21), crop=True),
        cv2.dnn.blobFromImage(image, size=(14, 21), crop=True),
    )


def test_several_images() -> None:
    images = [IMAGE, IMAGE[:20], IMAGE[:, :11]]
    for settings in ({}, {"size": (9, 8)}, {"size": (9, 8), "crop": True, "mean": (1, 2, 3)}):
        wanted = cv2.dnn.blobFromImages(images, **settings)
        np.testing.assert_array_equal(dnn.blobFromImages(images, **settings), wanted)
    stack = np.stack([IMAGE, IMAGE[::-1]])
    np.testing.assert_array_equal(dnn.blobFromImages(stack), cv2.dnn.blobFromImages(stack))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_of_a_blob(channels: int) -> None:
    blob = RNG.standard_normal((2, channels, 4, 6)).astype(np.float32)
    wanted, found = cv2.dnn.imagesFromBlob(blob), dnn.imagesFromBlob(blob)
    assert isinstance(found, tuple)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.flags.c_contiguous


@pytest.mark.parametrize(
    ("image", "settings", "why"),
    [
        (None, {}, "image must be an array, not a NoneType: was its file read?"),
        (IMAGE.tolist(), {}, "must be an array"),
        (IMAGE[:, :, :2], {}, "1, 3 or 4 channels, not 2"),
        (IMAGE[:0], {}, "an image must be an array"),
        (IMAGE.astype(bool), {}, "an image of bool"),
        (IMAGE.astype(np.int32), {"size": (9, 9)}, "an image of int32 cannot be resized"),
        (IMAGE, {"size": 20}, "size must be 2 integers"),
        (IMAGE, {"size": (20.5, 3)}, "must be an integer"),
        (IMAGE, {"size": (20, 0)}, "a width and a height"),
        (IMAGE, {"mean": (1, 2, 3, 4, 5)}, "up to 4"),
        (IMAGE, {"ddepth": 6}, "ddepth must be CV_32F (5) or CV_8U (0), not 6"),
        (IMAGE, {"ddepth": 0, "scalefactor": 0.5}, "no scalefactor"),
        (IMAGE, {"crop": "yes"}, "crop must be True or False"),
    ],
)
def test_what_is_refused(image: Any, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(CaffeError) as refused:
        dnn.blobFromImage(image, **settings)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_images_that_do_not_go_together() -> None:
    for images in ([], [IMAGE, IMAGE[:, :, 0]], [IMAGE, IMAGE.astype(np.float32)]):
        with pytest.raises(CaffeError):
            dnn.blobFromImages(images)
        with pytest.raises(cv2.error):
            cv2.dnn.blobFromImages(images)
