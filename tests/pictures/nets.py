"""Small nets whose answers anyone can tell: they see red and blue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.proto import caffe_pb2, files
from caffe_lite.proto.blobs import array_to_blob

INPUT = """
name: "%s"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: %d dim: %d dim: %d dim: %d } } }
"""
CLASSIFIER = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 6 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
COLORS = """
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
"""
# ten pixels are a cell, with one prior box of its size, which nothing moves
DETECTOR = """
layer { name: "cells" type: "Pooling" bottom: "data" top: "cells"
  pooling_param { pool: AVE kernel_size: 10 stride: 10 } }
layer { name: "score" type: "Convolution" bottom: "cells" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "last" type: "Permute" bottom: "score" top: "last"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "rows" type: "Reshape" bottom: "last" top: "rows"
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "prob" type: "Softmax" bottom: "rows" top: "prob" softmax_param { axis: 2 } }
layer { name: "conf" type: "Flatten" bottom: "prob" top: "conf" }
layer { name: "shift" type: "Convolution" bottom: "cells" top: "shift"
  convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "shift_last" type: "Permute" bottom: "shift" top: "shift_last"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "loc" type: "Flatten" bottom: "shift_last" top: "loc" }
layer { name: "prior" type: "PriorBox" bottom: "cells" bottom: "data" top: "prior"
  prior_box_param { min_size: 10 variance: 0.1 } }
"""
DETECTION_OUTPUT = """
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior"
  top: "found" detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 50
    confidence_threshold: 0.1 nms_param { nms_threshold: 0.4 top_k: 50 } } }
"""
# "nothing", "red" and "blue", of blue, green and red from 0 to 255
SEES = np.array([[0, 0, 0], [-0.1, -0.1, 0.1], [0.1, -0.1, -0.1]], np.float32)
NOTHING = np.array([5, 0, 0], np.float32)

RED, BLUE, GREY = (250, 10, 20), (30, 10, 240), (90, 100, 95)

Nets = tuple[str, str]
"""The files of a prototxt and of its weights."""


def write(folder: Path, name: str, prototxt: str, **layers: list[npt.NDArray[Any]]) -> Nets:
    """Write a net and the weights of its layers."""
    net = caffe_pb2.NetParameter()
    for layer, blobs in layers.items():
        message = net.layer.add(name=layer)
        message.blobs.extend(array_to_blob(blob) for blob in blobs)
    deploy, weights = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    deploy.write_text(prototxt)
    files.write_message(weights, net)
    return str(deploy), str(weights)


def sees() -> list[npt.NDArray[Any]]:
    return [SEES.reshape(3, 3, 1, 1), NOTHING]


def detector(folder: Path, classes: int = 3, mean: tuple[int, int, int] = (0, 0, 0)) -> Nets:
    """Finds red cells, class 1, and blue ones, class 2, in pictures less a mean."""
    text = INPUT % ("detector", 1, 3, 20, 30) + DETECTOR + DETECTION_OUTPUT
    for field in "num_output: 3", "dim: -1 dim: 3", "num_classes: 3":
        assert field in text
        text = text.replace(field, f"{field[:-1]}{classes}")
    weight, bias = sees()
    bias = bias + SEES @ np.array(mean, np.float32)
    still = [np.zeros((4, 3, 1, 1), np.float32), np.zeros(4, np.float32)]
    score = [weight[:classes], bias[:classes]]
    return write(folder, "detector", text, score=score, shift=still)


def segmenter(folder: Path) -> Nets:
    """Names each pixel: 0 nothing, 1 red, 2 blue."""
    return write(folder, "segmenter", INPUT % ("segmenter", 1, 3, 8, 12) + COLORS, score=sees())


def classifier(folder: Path, channels: int = 3) -> tuple[Nets, npt.NDArray[Any]]:
    """Six classes of an input of 4 x 5 pixels, and its weights (6, channels * 20)."""
    weight = classifier_weight(channels)
    bias = np.zeros(6, np.float32)
    text = INPUT % ("classifier", 2, channels, 4, 5) + CLASSIFIER
    return write(folder, "classifier", text, ip=[weight, bias]), weight


def classifier_weight(channels: int = 3) -> npt.NDArray[Any]:
    """The classifier's weights, (6, channels * 20)."""
    return np.random.default_rng(1).normal(0, 0.01, (6, channels * 20)).astype(np.float32)


def picture(height: int, width: int, *spots: tuple[int, int, int, int, Any]) -> npt.NDArray[Any]:
    """A grey picture (height, width, 3) in RGB, with boxes (xmin, ymin, xmax, ymax, colour)."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[...] = GREY
    for xmin, ymin, xmax, ymax, color in spots:
        pixels[ymin:ymax, xmin:xmax] = color
    return pixels


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    e = np.exp(scores - scores.max())
    return np.asarray(e / e.sum())
