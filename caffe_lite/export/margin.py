"""Margins that only training adds: LabelSpecificAdd, LabelSpecificRescale."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import margin


@exports("LabelSpecificAdd")
def label_specific_add(write: Writer, layer: margin.LabelSpecificAdd) -> list[Value]:
    """Nothing, as there are no labels after training."""
    return [write.bottoms[0], write.constant([layer.bias()], "bias")][: len(write.tops)]


@exports("LabelSpecificRescale")
def label_specific_rescale(write: Writer, layer: margin.LabelSpecificRescale) -> list[Value]:
    """Nothing, as there are no labels after training.

    `rescale_test` is refused.
    """
    if layer.config.rescale_test:
        write.refuse("rescale_test needs labels; take the layer out", "rescale_test")
    weight = write.constant([layer.config.positive_weight], "positive_weight")
    return [write.bottoms[0], weight][: len(write.tops)]
