"""Which boxes are detections, against loops and against OpenCV's importer of the same layers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_lite.kernels.detection import detect
from caffe_lite.net.net import Net
from tests.cases.detection import confidences, priors
from tests.oracles.boxes import suppressed
from tests.oracles.detection import detection_output


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("most", [-1, 0, 1, 5, 13, 99])
def test_the_best_of_each_class_pass_suppression(rng, most):
    items, boxes, classes = 2, 13, 3
    corners = priors(rng, (items, 2, boxes * 4))[:, 0].reshape(items, boxes, 1, 4)
    scores = rng.integers(5, size=(items, boxes, classes)) / 4  # many are equal
    kept = np.empty((items, classes, boxes), np.int64)
    counts = np.empty((items, classes), np.int64)
    detect(corners, scores, 1, 0.3, most, (0.4, 1.0), kept, counts)
    assert not counts[:, 1].any()
    for item in range(items):
        for label in (0, 2):
            own = kept[item, label, : counts[item, label]]
            of_class = scores[item, :, label]
            wanted = suppressed(corners[item, :, 0], of_class, 0.3, 0.4, most)
            assert list(own) == wanted
            if most < 0:
                assert list(own) != suppressed(corners[item, :, 0], of_class, 0.6, 0.4, most)


def test_the_oracle_rejects_wrong_detections(rng):
    bottoms = [
        rng.standard_normal((2, 28)),
        confidences(rng, (2, 21)),
        priors(rng, (1, 2, 28)),
        rng.uniform(0, 1, (2, 14)),
        rng.standard_normal((2, 28)),
    ]
    right = detection_output(*bottoms, classes=3, objectness=0.5, code="CORNER_SIZE")
    for wrong in ({"objectness": None}, {"code": "CORNER"}, {"background": 1}, {"keep": 4}):
        settings = {"classes": 3, "objectness": 0.5, "code": "CORNER_SIZE", **wrong}
        other = detection_output(*bottoms, **settings)
        assert other.shape != right.shape or not np.allclose(other, right, rtol=0.01)
    other = detection_output(*bottoms[:4], classes=3, objectness=0.5, code="CORNER_SIZE")
    assert other.shape != right.shape or not np.allclose(other, right, rtol=0.01)


NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 40 dim: 60 }
input: "loc" input_shape { dim: 1 dim: 288 }
input: "conf" input_shape { dim: 1 dim: 216 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { kernel_size: 15 stride: 15 } }
layer { name: "prior" type: "PriorBox" bottom: "pool" bottom: "data" top: "prior"
  prior_box_param { clip: false min_size: 12 max_size: 20 aspect_ratio: 2 aspect_ratio: 3
                    variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "out" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "out"
  detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 30
    share_location: true background_label_id: 0
    confidence_threshold: 0.2 nms_param { nms_threshold: 0.45 top_k: 50 } } }
"""


def test_detections_are_those_of_opencv(rng, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    given = {
        "data": rng.standard_normal((1, 3, 40, 60)),
        "loc": rng.standard_normal((1, 288)),
        "conf": confidences(rng, (1, 216)),
    }
    other = cv2.dnn.readNetFromCaffe(str(path))
    with Net(path, 1) as net:
        for name, values in given.items():
            other.setInput(values.astype(np.float32), name)
            net.blobs[name].data[...] = values
        ours = net.forward()["out"][0, 0]
    theirs = other.forward("out")[0, 0]  # by confidence alone, where SSD goes by class first
    assert len(ours) == 30
    assert list(ours[:, 1]) == sorted(ours[:, 1])
    np.testing.assert_allclose(ours[np.argsort(-ours[:, 2])], theirs, atol=2e-6)
