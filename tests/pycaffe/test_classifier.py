from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import PrototxtError

DEPLOY = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 2 bias_term: false } }
"""
SETTINGS: dict[str, Any] = {
    "mean": np.array([1.0, 2.0, 3.0]),
    "raw_scale": 255,
    "channel_swap": (2, 1, 0),
    "input_scale": 0.5,
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    model, weights = tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    model.write_text(DEPLOY)
    net = caffe.Net(str(model), caffe.TEST)
    rng = np.random.default_rng(3)
    net.params["fc"][0].data[...] = rng.normal(size=(2, 75)) / 100
    net.save(weights)
    return str(model), str(weights)


@pytest.fixture
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.uniform(size=(7, 8, 3)).astype(np.float32) for _ in range(3)]


def scores(weights: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """What the net makes of one crop (5, 5, 3), by its definition."""
    item = ((crop[:, :, ::-1] * 255 - [1, 2, 3]) * 0.5).transpose(2, 0, 1)
    scored: np.ndarray = weights @ item.reshape(-1)
    return scored


def test_the_centre_of_each_image(files: tuple[str, str], images: list[np.ndarray]) -> None:
    net = caffe.Classifier(*files, image_dims=(7, 8), **SETTINGS)
    assert isinstance(net, caffe.Net)
    weights = net.params["fc"][0].data.copy()
    expected = [scores(weights, image[1:6, 1:6]) for image in images]
    np.testing.assert_allclose(net.predict(images, oversample=False), expected, rtol=1e-4)


def test_the_mean_over_ten_crops(files: tuple[str, str], images: list[np.ndarray]) -> None:
    net = caffe.Classifier(*files, image_dims=[7, 8], **SETTINGS)
    weights = net.params["fc"][0].data.copy()
    expected = []
    for image in images:
        crops = [image[i : i + 5, j : j + 5] for i in (0, 2) for j in (0, 3)]
        crops.append(image[1:6, 1:6])
        both = [*crops, *(crop[:, ::-1] for crop in crops)]
        expected.append(np.mean([scores(weights, crop) for crop in both], 0))
    np.testing.assert_allclose(net.predict(images), expected, rtol=1e-4)


def test_without_image_dims_an_image_is_resized_to_the_input(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files)
    image = np.full((9, 11, 3), 0.25, np.float32)
    predicted = net.predict([image], oversample=False)
    expected = net.params["fc"][0].data.sum(1) * 0.25
    np.testing.assert_allclose(predicted[0], expected, rtol=1e-4)
    np.testing.assert_allclose(net.predict([image])[0], expected, rtol=1e-4)
    assert net.image_dims.tolist() == net.crop_dims.tolist() == [5, 5]
    assert net.transformer.transpose == {"data": (2, 0, 1)}


def test_a_mean_that_does_not_fit(files: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="a mean of 2 channels for an input of 3"):
        caffe.Classifier(*files, mean=np.zeros(2))


@pytest.mark.parametrize("kind", [caffe.Classifier, caffe.Detector])
@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ('type: "DummyData" dummy_data_param { shape { dim: 2 } }', "the net has no input"),
        ('type: "Input" input_param { shape { dim: 2 dim: 3 } }', r'"x" has shape \(2, 3\)'),
    ],
)
def test_a_net_that_takes_no_images(kind: type, layer: str, says: str, tmp_path: Path) -> None:
    model, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    model.write_text(f'layer {{ name: "x" top: "x" {layer} }}')
    caffe.Net(str(model), caffe.TEST).save(weights)
    with pytest.raises(caffe.CaffeError, match=f"{says}.*give its deploy prototxt"):
        kind(str(model), str(weights))


@pytest.mark.parametrize("kind", [caffe.Classifier, caffe.Detector])
def test_fields_of_a_private_fork_are_refused_or_allowed(
    kind: Any, files: tuple[str, str]
) -> None:
    model, weights = files
    Path(model).write_text(DEPLOY.replace("bias_term", "speed: 3 bias_term"))
    with pytest.raises(PrototxtError, match='has no field "speed"'):
        kind(model, weights)
    assert kind(model, weights, allow_unknown_fields=True).inputs == ["data"]
