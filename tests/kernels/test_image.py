"""The image kernels against their definitions and against OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.images import resize
from caffe_lite.kernels.image import transform_with_image, transform_with_values
from tests.oracles import image as oracle

RNG = np.random.default_rng(5)
SIZES = [((7, 5), (4, 9)), ((6, 8), (3, 4)), ((1, 3), (5, 2)), ((23, 31), (11, 40))]


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mirror", [False, True])
def test_values(dtype: type, mirror: bool) -> None:
    x, means = pixels(3, 7, 9), np.array([104.5, 117.25, 123], np.float32)
    y = np.full((3, 4, 5), np.nan, dtype)
    transform_with_values(x, means, 2, 3, mirror, 0.25, y)
    wanted = oracle.transform(x, 2, 3, (4, 5), means[:, None, None], 0.25, mirror)
    np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("mirror", [False, True])
def test_image_of_means(mirror: bool) -> None:
    x, mean = pixels(2, 5, 8), pixels(2, 5, 8).astype(np.float32)
    y = np.full((2, 3, 6), np.nan, np.float32)
    transform_with_image(x, mean, 1, 2, mirror, 0.5, y)
    np.testing.assert_array_equal(y, oracle.transform(x, 1, 2, (3, 6), mean, 0.5, mirror))


def test_floats() -> None:
    x = RNG.standard_normal((2, 4, 3)).astype(np.float32)
    y = np.empty((2, 4, 3), np.float32)
    transform_with_values(x, np.zeros(2, np.float32), 0, 0, False, 1.0, y)
    np.testing.assert_array_equal(y, x)


def test_the_oracle_tells_a_mean_taken_after_the_crop() -> None:
    x, mean = pixels(1, 4, 5), pixels(1, 4, 5).astype(np.float64)
    wrong = oracle.transform(x, 1, 2, (2, 3)) - mean[:, :2, :3]
    assert not np.allclose(oracle.transform(x, 1, 2, (2, 3), mean), wrong)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resize_is_bilinear(old: tuple[int, int], new: tuple[int, int]) -> None:
    x = pixels(2, *old)
    assert np.abs(resize(x, *new) - oracle.resize(x, *new)).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resize_is_opencv_bit_by_bit(
    old: tuple[int, int], new: tuple[int, int], channels: int
) -> None:
    cv2 = pytest.importorskip("cv2")
    x = pixels(channels, *old)
    wanted = cv2.resize(np.ascontiguousarray(x.transpose(1, 2, 0)), new[::-1])
    np.testing.assert_array_equal(
        resize(x, *new), wanted.reshape(*new, channels).transpose(2, 0, 1)
    )


@pytest.mark.parametrize(
    ("dtype", "within"), [(np.uint16, 0), (np.int16, 1), (np.float32, 2e-5), (np.float64, 2e-5)]
)
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resize_of_other_pixels_is_opencvs(
    old: tuple[int, int], new: tuple[int, int], dtype: type, within: float
) -> None:
    cv2 = pytest.importorskip("cv2")
    x = (RNG.standard_normal((3, *old)) * 40 + 150).astype(dtype)
    found = resize(x, *new)
    assert found.dtype == dtype
    wanted = cv2.resize(np.ascontiguousarray(x.transpose(1, 2, 0)), new[::-1]).transpose(2, 0, 1)
    np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=1e-6, atol=within)


def test_resize_by_a_factor_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    x = pixels(3, 13, 21)
    wanted = cv2.resize(np.ascontiguousarray(x.transpose(1, 2, 0)), None, fx=0.77, fy=0.77)
    height, width = wanted.shape[:2]
    found = resize(x, height, width, 0.77)
    np.testing.assert_array_equal(found, wanted.transpose(2, 0, 1))
    assert (found != resize(x, height, width)).any()


def test_the_oracle_tells_corners_aligned() -> None:
    x = pixels(1, 6, 7)
    rows, columns = np.linspace(0, 5, 4), np.linspace(0, 6, 3)
    wrong = np.array([[x[0, round(v), round(u)] for u in columns] for v in rows], np.float64)
    assert np.abs(oracle.resize(x, 4, 3)[0] - wrong).max() > 5
