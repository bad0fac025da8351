"""Small nets, as prototxt and weights in memory, that OpenCV 4 reads as well."""

from __future__ import annotations

import numpy as np

from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.proto.nodes import from_message

BRANCHES = """
name: "branches"
input: "data" input_shape { dim: 1 dim: 3 dim: 20 dim: 17 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool1" top: "pool1" }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
  inner_product_param { num_output: 6 } }
layer { name: "halves" type: "Slice" bottom: "fc" top: "left" top: "right"
  slice_param { slice_point: 2 } }
layer { name: "prelu" type: "PReLU" bottom: "pool1" top: "other" }
layer { name: "scores" type: "Softmax" bottom: "right" top: "prob" }
"""
"""Layers in place, one with two tops, two that nobody reads, names that are not the blobs'."""

DETECTOR = """
layer { name: "image" type: "Input" top: "data" input_param {
  shape { dim: 1 dim: 3 dim: 24 dim: 32 } } }
layer { name: "features" type: "Convolution" bottom: "data" top: "features"
  convolution_param { num_output: 5 kernel_size: 4 stride: 4 } }
layer { name: "lrn" type: "LRN" bottom: "features" top: "lrn" lrn_param { local_size: 3 } }
layer { name: "priors" type: "PriorBox" bottom: "lrn" bottom: "data" top: "priors"
  prior_box_param { min_size: 6.4 max_size: 11.7 aspect_ratio: 2 variance: 0.1 variance: 0.1
    variance: 0.2 variance: 0.2 } }
layer { name: "places" type: "Convolution" bottom: "lrn" top: "places"
  convolution_param { num_output: 16 kernel_size: 1 } }
layer { name: "places_last" type: "Permute" bottom: "places" top: "places_last"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "places_flat" type: "Flatten" bottom: "places_last" top: "places_flat" }
layer { name: "classes" type: "Convolution" bottom: "lrn" top: "classes"
  convolution_param { num_output: 12 kernel_size: 1 } }
layer { name: "classes_last" type: "Permute" bottom: "classes" top: "classes_last"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "classes_rows" type: "Reshape" bottom: "classes_last" top: "classes_rows"
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "classes_soft" type: "Softmax" bottom: "classes_rows" top: "classes_soft"
  softmax_param { axis: 2 } }
layer { name: "classes_flat" type: "Flatten" bottom: "classes_soft" top: "classes_flat" }
layer { name: "found" type: "DetectionOutput" bottom: "places_flat" bottom: "classes_flat"
  bottom: "priors" top: "found" detection_output_param { num_classes: 3 share_location: true
    background_label_id: 0 nms_param { nms_threshold: 0.45 top_k: 50 } code_type: CENTER_SIZE
    keep_top_k: 20 confidence_threshold: THRESHOLD } }
"""
"""SSD in small: sizes that are not whole, no `clip`, no `alpha`: OpenCV has its own ways there."""


def weights(prototxt: str, seed: int = 0) -> bytes:
    """A caffemodel for a net, whose values are drawn."""
    rng = np.random.default_rng(seed)
    message = caffe_pb2.NetParameter()
    text.parse(prototxt, message, "net")
    net = Net(from_message(message), caffe_pb2.TEST)
    for name, blobs in net.params.items():
        kind = net.layer_dict[name].type
        for index, blob in enumerate(blobs):
            positive = kind == "BatchNorm" or (kind in ("Scale", "PReLU") and index == 0)
            values = rng.uniform(0.5, 1.5, blob.shape)
            if not positive:
                values = rng.standard_normal(blob.shape) / 4
            blob.data[...] = values
    return net.to_proto().SerializeToString()
