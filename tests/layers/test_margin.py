"""Margins that grow from forward to forward."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from tests.net import source

TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } } }
layer { name: "add" type: "LabelSpecificAdd" bottom: "x" bottom: "label" top: "y" top: "bias"
  label_specific_add_param { bias_base: 0.25 bias_gamma: 0.5 bias_power: 2 bias_max: 8
    iteration: 2 } }
"""


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_the_number_that_is_added_grows_in_training_only(phase: int) -> None:
    net = caffe.Net(source(TEXT), phase)
    net.blobs["label"].data[...] = [3, 0, 2]
    for number in (2, 3, 4, 5):
        net.forward()
        i = number if phase == caffe.TRAIN else 2
        bias = min(0.25 + (1 + 0.5 * i) ** 2 - 1, 8)
        assert net.blobs["bias"].data.tolist() == [bias]
        wanted = np.zeros((3, 4))
        if phase == caffe.TRAIN:
            wanted[[0, 1, 2], [3, 0, 2]] = bias
        np.testing.assert_array_equal(net.blobs["y"].data, wanted)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_weight_that_grows_is_for_training(phase: int) -> None:
    """In TEST it is the constant one, whatever it grows from."""
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 } } }
    layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } } }
    layer { name: "rescale" type: "LabelSpecificRescale" bottom: "x" bottom: "label"
      top: "y" top: "weight" label_specific_rescale_param { positive_weight: 1.5
        positive_weight_base: 4 gamma: 0.5 power: 1 iteration: 2 positive_weight_min: 1.25 } }
    """
    net = caffe.Net(source(text), phase)
    for number in (3, 4, 5, 6, 7):
        net.forward()
        weight = max(4 / (1 + 0.5 * number), 1.25) if phase == caffe.TRAIN else 1.5
        np.testing.assert_allclose(net.blobs["weight"].data, [weight], rtol=1e-6)
