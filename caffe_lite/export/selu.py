"""Self-normalizing layers: SeLu, SeLuDropout."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import selu as layers


@exports("SeLu")
def selu(write: Writer, layer: layers.SeLu) -> Value:
    """Selu."""
    gamma, alpha = map(float, layer.settings())
    return write.node("Selu", *write.bottoms, alpha=alpha, gamma=gamma)


@exports("SeLuDropout")
def selu_dropout(write: Writer, layer: layers.SeLuDropout) -> Value:
    """Nothing."""
    return write.bottoms[0]
