from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe_lite as caffe
from caffe_lite.errors import CaffeError

DEPLOY = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    model, weights = tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    model.write_text(DEPLOY)
    caffe.Net(str(model), caffe.TEST).save(weights)
    return str(model), str(weights)


@pytest.fixture
def picture(tmp_path: Path) -> tuple[str, np.ndarray]:
    pixels = np.random.default_rng(2).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return str(path), pixels / 255


def test_windows_of_images(files: tuple[str, str], picture: tuple[str, np.ndarray]) -> None:
    name, pixels = picture
    net = caffe.Detector(*files, channel_swap=(2, 1, 0), raw_scale=255, mean=np.array([1, 2, 3]))
    windows = [np.array([2, 3, 10, 11]), np.array([5, 20, 13, 28]), [0, 0, 8, 8]]
    found = net.detect_windows([(name, windows[:2]), (name, windows[2:])])
    assert [one["filename"] for one in found] == [name] * 3
    for one, window in zip(found, windows, strict=True):
        assert one["window"] is window
        ymin, xmin, ymax, xmax = window
        colours = pixels[ymin:ymax, xmin:xmax].mean((0, 1))[::-1] * 255 - [1, 2, 3]
        np.testing.assert_allclose(one["prediction"].ravel(), colours, rtol=1e-4)
    assert net.detect_windows([]) == []


def test_a_window_is_cut_out(files: tuple[str, str]) -> None:
    net = caffe.Detector(*files)
    image = np.arange(600.0).reshape(20, 10, 3)
    np.testing.assert_array_equal(net.crop(image, (3, 1, 7, 9)), image[3:7, 1:9])
    assert net.context_pad is None
    assert net.crop_dims.tolist() == [8, 8, 3]


def test_a_window_inside_gets_its_surroundings(files: tuple[str, str]) -> None:
    net = caffe.Detector(*files, context_pad=2)
    image = np.random.default_rng(1).uniform(size=(40, 50, 3)).astype(np.float32)
    crop = net.crop(image, np.array([10, 20, 13, 23]))
    # 4 pixels, shown 4 wide in 8: with twice as much, from -4 to 4 about the centre (12, 22)
    part = image[8:16, 18:26]
    assert crop.shape == (8, 8, 3)
    # the box has 9 pixels by its own count, of which the last is left out
    np.testing.assert_allclose(crop, caffe.io.resize_image(part, (8, 8)), rtol=1e-6)


def test_what_is_outside_the_image_is_the_mean(files: tuple[str, str]) -> None:
    mean = np.array([10.0, 20.0, 30.0])
    net = caffe.Detector(*files, mean=mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)
    np.testing.assert_allclose(net.crop_mean[3, 5], [30 / 255, 20 / 255, 10 / 255], rtol=1e-6)
    image = np.ones((40, 50, 3), np.float32)
    crop = net.crop(image, np.array([0, 20, 3, 23]))
    # from row -2 to 6, shown in 8: 9 rows by its own count, 2 * 8 / 9 = 1.8 of them outside
    np.testing.assert_allclose(crop[:2], np.broadcast_to(net.crop_mean[0, 0], (2, 8, 3)))
    assert (crop[2:] == 1).all()
    # and padded pixels are zeros for the net
    made = net.transformer.preprocess("data", crop)
    np.testing.assert_allclose(made[:, :2], 0, atol=1e-5)


def test_a_mean_image_keeps_its_pixels(files: tuple[str, str]) -> None:
    mean = np.random.default_rng(0).uniform(size=(3, 8, 8))
    net = caffe.Detector(*files, mean=mean, channel_swap=(1, 2, 0), context_pad=1)
    for channel, source in enumerate((1, 2, 0)):  # channel of the net, of the image
        np.testing.assert_allclose(net.crop_mean[:, :, source], mean[channel], rtol=1e-6)


def test_what_it_refuses(files: tuple[str, str], picture: tuple[str, np.ndarray]) -> None:
    with pytest.raises(CaffeError, match=r"context_pad 4 needs an input .* not 8x8"):
        caffe.Detector(*files, context_pad=4)
    net = caffe.Detector(*files, context_pad=1)
    with pytest.raises(CaffeError, match=r"\[50, 50, 60, 60\] is not inside the image \(20, 30\)"):
        net.crop(picture[1], (50, 50, 60, 60))
    with pytest.raises(CaffeError, match="needs the Python module selective_search_ijcv"):
        net.detect_selective_search([picture[0]])


def test_a_window_outside_the_image_is_named(files: tuple[str, str]) -> None:
    net = caffe.Detector(*files)
    with pytest.raises(CaffeError, match=r"window \[30, 0, 40, 10\] is not inside .* \(20, 30\)"):
        net.crop(np.zeros((20, 30, 3)), [30, 0, 40, 10])
