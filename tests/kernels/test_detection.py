"""Non-maximum suppression against loops, both against OpenCV's importer of the same layers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_lite.kernels import detection as kernel
from caffe_lite.net.net import Net
from tests.cases.detection import confidences, priors
from tests.oracles import detection as oracle


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_boxes_overlap_by_the_share_of_their_common_area():
    a, b = np.array([0.0, 0.0, 4.0, 2.0]), np.array([1.0, 1.0, 5.0, 3.0])
    assert kernel.overlap(a, b) == pytest.approx(3 / 13)
    assert kernel.overlap(a, a + 9) == 0
    assert kernel.overlap(a, np.array([4.0, 0.0, 8.0, 2.0])) == 0


def test_a_box_turned_inside_out_overlaps_nothing():
    box = np.array([3.0, 3.0, 1.0, 1.0])
    assert kernel.overlap(box, np.array([0.0, 0.0, 4.0, 4.0])) == 0


@pytest.mark.parametrize(("threshold", "eta"), [(0.3, 1.0), (0.9, 0.6)])
def test_suppression_keeps_what_the_loops_keep(rng, threshold, eta):
    boxes = priors(rng, (1, 2, 4 * 61))[0, 0].reshape(-1, 4)
    scores = confidences(rng, (61,))
    kept = np.empty(61, np.int64)
    order = np.argsort(-scores, kind="stable")
    count = kernel.suppress(boxes, order, threshold, eta, kept)
    assert 1 < count < 61
    assert list(kept[:count]) == oracle.suppressed(boxes, scores, -1, threshold, -1, eta)
    other = oracle.suppressed(boxes, scores, -1, threshold + 0.1, -1, 0.9 * eta)
    assert list(kept[:count]) != other


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
