"""distort_param and expand_param: against OpenCV, and the draws."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.distortion import Distortion, Expansion
from caffe_lite.kernels.image import change_hue_and_saturation
from caffe_lite.proto import caffe_pb2, text

cv2 = pytest.importorskip("cv2")

IMAGE = np.random.default_rng(4).integers(0, 256, (3, 60, 80), np.uint8)
SAME = np.arange(256, dtype=np.uint8)


def distortion(config: str) -> Distortion:
    param = caffe_pb2.DistortionParameter()
    text.parse(config, param, "distort")
    return Distortion(param)


def by_opencv(hues: np.ndarray, saturations: np.ndarray) -> np.ndarray:
    hsv = cv2.cvtColor(IMAGE.transpose(1, 2, 0).copy(), cv2.COLOR_BGR2HSV)
    hsv[..., 0], hsv[..., 1] = hues[hsv[..., 0]], saturations[hsv[..., 1]]
    # in floats: OpenCV 4 rounds bytes down on the way back, but those of SSD's time did not
    real = (hsv * np.array([2, 1 / 255, 1 / 255])).astype(np.float32)
    return levels(255 * cv2.cvtColor(real, cv2.COLOR_HSV2BGR)).transpose(2, 0, 1)


def levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("hue", [-30, -1, 0, 18, 170])
@pytest.mark.parametrize("saturation", [0.0, 0.5, 1.0, 1.5])
def test_colours_are_opencvs(hue: int, saturation: float) -> None:
    hues, saturations = levels(np.arange(256) + hue), levels(np.arange(256) * saturation)
    if hue == 170:
        hues = np.minimum(hues, 250)
    found = np.empty_like(IMAGE)
    change_hue_and_saturation(IMAGE, hues, saturations, found)
    wrong = np.abs(found.astype(int) - by_opencv(hues, saturations))
    assert wrong.max() <= 1
    assert wrong.mean() < 0.01
    if hue:
        other = np.empty_like(IMAGE)
        change_hue_and_saturation(IMAGE, SAME, saturations, other)
        assert saturation == 0 or (other != found).any()


def test_every_grey_stays_grey() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), 3, axis=0)
    found = np.empty_like(grey)
    change_hue_and_saturation(grey, levels(np.arange(256) + 50.0), SAME, found)
    np.testing.assert_array_equal(found, grey)


def test_brightness_and_contrast_are_levels() -> None:
    """Each image is x + delta or x * factor, rounded, for one number within the bounds."""
    each, rng = distortion("brightness_prob: 1 brightness_delta: 32"), np.random.default_rng(1)
    seen = set()
    for _ in range(20):
        change = each.apply(IMAGE, rng).astype(int) - IMAGE
        inside = change[(IMAGE > 40) & (IMAGE < 210)]
        assert inside.min() == inside.max()
        seen.add(inside[0])
    assert len(seen) > 10
    assert -32 <= min(seen) < -10
    assert 10 < max(seen) <= 32
    each = distortion("contrast_prob: 1 contrast_lower: 0.5 contrast_upper: 1.5")
    for _ in range(20):
        found = each.apply(IMAGE, rng)
        fits = [
            factor for factor in np.linspace(0.5, 1.5, 2001)
            if (np.abs(found - np.clip(IMAGE * factor, 0, 255)) <= 0.6).all()
        ]  # fmt: skip
        assert fits


def test_probabilities() -> None:
    rng = np.random.default_rng(1)
    each = distortion("random_order_prob: 0.25")
    orders = [tuple(each.apply(IMAGE, rng)[:, 5, 7]) for _ in range(400)]
    assert len(set(orders)) == 6
    # 1/4, less the sixth of the orders that changes nothing
    changed = sum(order != tuple(IMAGE[:, 5, 7]) for order in orders)
    assert 55 < changed < 115
    never = distortion("brightness_delta: 9 hue_delta: 9 saturation_upper: 2 contrast_upper: 2")
    for _ in range(5):
        np.testing.assert_array_equal(never.apply(IMAGE, rng), IMAGE)


def expansion(config: str) -> Expansion:
    param = caffe_pb2.ExpansionParameter()
    text.parse(config, param, "expand")
    return Expansion(param)


def test_an_expanded_image_is_all_there() -> None:
    each, rng = expansion("max_expand_ratio: 3 prob: 0.5"), np.random.default_rng(1)
    mean = np.array([3.4, 99.6, 255.0], np.float32).reshape(3, 1, 1)
    expanded, places = 0, set()
    for _ in range(60):
        found = each.apply(IMAGE, mean, rng)
        if found is None:
            continue
        expanded += 1
        canvas, box = found
        height, width = canvas.shape[1:]
        assert 60 <= height < 180
        assert abs(width / height - 80 / 60) < 0.03
        # the canvas's corners in the image, and so the image's place in the canvas
        left, top = np.rint(-box[:2] * [80, 60]).astype(int)
        np.testing.assert_allclose(box, np.array([-left, -top, width - left, height - top])
                                   / [80, 60, 80, 60], rtol=1e-6)  # fmt: skip
        np.testing.assert_array_equal(canvas[:, top : top + 60, left : left + 80], IMAGE)
        rest = np.ones((height, width), bool)
        rest[top : top + 60, left : left + 80] = False
        assert (canvas[:, rest] == [[3], [100], [255]]).all()
        places.add((left > (width - 80) // 2, top > (height - 60) // 2))
    assert 18 < expanded < 42
    assert len(places) == 4


def test_a_ratio_of_one_expands_nothing() -> None:
    rng = np.random.default_rng(1)
    zero = np.zeros((1, 1, 1), np.float32)
    assert expansion("max_expand_ratio: 1").apply(IMAGE, zero, rng) is None
