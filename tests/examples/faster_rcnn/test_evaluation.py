"""Average precision by hand, and a net that gives codes."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from tests.examples.faster_rcnn import STDS, module
from tests.net import source


def test_average_precision_is_the_area_under_the_curve() -> None:
    evaluation = module("fast_rcnn.evaluation")
    roidb = [
        {"boxes": [[0, 0, 9, 9], [20, 20, 29, 29]], "gt_classes": [1, 1]},
        {"boxes": [[0, 0, 9, 9], [40, 0, 49, 9]], "gt_classes": [1, 2]},
    ]
    detection, box = evaluation.Detection, np.array
    found = [
        [
            detection(1, 0.9, box([0, 0, 9, 8])),  # right
            detection(1, 0.8, box([0, 0, 9, 9])),  # again
            detection(1, 0.3, box([20, 20, 29, 29])),  # right
        ],
        [
            detection(1, 0.6, box([1, 0, 9, 9])),  # right
            detection(1, 0.5, box([0, 20, 9, 29])),  # nothing is there
            detection(2, 0.4, box([0, 0, 9, 9])),  # another class
        ],
    ]
    assert evaluation.mean_average_precision(found, roidb) == pytest.approx(
        ((1 + 2 / 3 + 3 / 5) / 3 + 0) / 2
    )
    assert evaluation.mean_average_precision([[], []], roidb) == 0


def test_a_net_that_was_normalized_gives_codes() -> None:
    net = caffe.Net(
        source("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }
        layer { name: "bbox_pred" type: "InnerProduct" bottom: "x" top: "bbox_pred"
          inner_product_param { num_output: 8 weight_filler { type: "gaussian" std: 1 }
            bias_filler { type: "gaussian" std: 1 } } }"""),
        caffe.TEST,
    )
    x = np.random.default_rng(9).normal(size=(2, 3))
    before = net.forward(x=x)["bbox_pred"].copy()
    module("fast_rcnn.evaluation").unnormalize(net, (0.5, -1, 2, 0.1), STDS)
    after = net.forward(x=x)["bbox_pred"]
    expected = before.reshape(2, 2, 4) * STDS + (0.5, -1, 2, 0.1)
    np.testing.assert_allclose(after.reshape(2, 2, 4), expected, rtol=1e-5)
