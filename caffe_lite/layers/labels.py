"""What the layers share that are given the class of each item."""

from __future__ import annotations

from math import prod

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels.classify import OUTSIDE, class_labels
from caffe_lite.layers.base import Layer


def check_labels(layer: Layer, index: int, items: int, label: Shape) -> None:
    """Refuse a bottom that has not one label for each item."""
    layer.require(
        prod(label) == items,
        f".bottom[{index}]",
        f"{prod(label)} labels {label} for {items} items; give one for each",
    )


def read_labels(layer: Layer, label: Blob, classes: int, labels: Array) -> None:
    """Write a bottom's labels as whole numbers; refuse those that are none of the classes."""
    values = label.data.reshape(labels.shape)
    class_labels(values, classes, None, labels)
    layer.require_labels(labels == OUTSIDE, values, classes)
