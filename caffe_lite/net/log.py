"""What a net says of itself in the log, in Caffe's words, so that Caffe's readers keep working."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from caffe_lite.blob import Array

if TYPE_CHECKING:
    from caffe_lite.net.net import Net

_log = logging.getLogger("caffe_lite.net")


def log_layer(net: Net, index: int) -> None:
    """The lines of one layer that has just been built."""
    if not _log.isEnabledFor(logging.INFO):
        return
    layer = net.layers[index]
    _log.info("Creating Layer %s", layer.name)
    for blob in net.wires.bottoms[index]:
        _log.info("%s <- %s", layer.name, net.wires.blobs[blob])
    for top, blob in enumerate(net.wires.tops[index]):
        note = " (in-place)" if net.wires.in_place(index, top) else ""
        _log.info("%s -> %s%s", layer.name, net.wires.blobs[blob], note)
    _log.info("Setting up %s", layer.name)
    for top, blob in enumerate(net.wires.tops[index]):
        shaped = net.blob_list[blob]
        _log.info("Top shape: %s (%d)", " ".join(map(str, shaped.shape)), shaped.count)
        if layer.loss_weights[top]:
            _log.info("    with loss weight %g", layer.loss_weights[top])


def log_plan(net: Net) -> None:
    """Which layers go backward, the outputs, and the memory that the blobs' data takes."""
    if not _log.isEnabledFor(logging.INFO):
        return
    for layer, needed in reversed(list(zip(net.layers, net.plan.layers, strict=True))):
        does = "needs" if needed else "does not need"
        _log.info("%s %s backward computation.", layer.name, does)
    for name in net.outputs:
        _log.info("This network produces output %s", name)
    _log.info("Network initialization done.")
    count = sum(blob.count for blob in net.blobs.values())
    _log.info("Memory required for data: %d", count * net.dtype.itemsize)


def mean_magnitude(array: Array) -> float:
    """Mean of |x|; 0 for an empty array."""
    return float(np.abs(array).mean(dtype=np.float64)) if array.size else 0.0


def debug_forward(net: Net, index: int) -> None:
    """`debug_info`: mean magnitudes of a layer's tops and parameters after its forward."""
    layer = net.layers[index]
    for blob in net.wires.tops[index]:
        value = mean_magnitude(net.blob_list[blob].data)
        name = net.wires.blobs[blob]
        _log.info("    [Forward] Layer %s, top blob %s data: %g", layer.name, name, value)
    for number, param in enumerate(layer.blobs):
        value = mean_magnitude(param.data)
        _log.info("    [Forward] Layer %s, param blob %d data: %g", layer.name, number, value)


def debug_backward(net: Net, index: int) -> None:
    """`debug_info`: mean magnitudes of the gradients a layer's backward has computed."""
    layer = net.layers[index]
    for needed, blob in zip(net.plan.bottoms[index], net.wires.bottoms[index], strict=True):
        if needed:
            value = mean_magnitude(net.blob_list[blob].diff)
            name = net.wires.blobs[blob]
            _log.info("    [Backward] Layer %s, bottom blob %s diff: %g", layer.name, name, value)
    for number, param in enumerate(layer.blobs):
        if layer.param_propagate_down[number]:
            value = mean_magnitude(param.diff)
            _log.info("    [Backward] Layer %s, param blob %d diff: %g", layer.name, number, value)


def debug_params(net: Net) -> None:
    """`debug_info`: L1 and L2 norms over all parameters, after a whole backward."""
    data = np.zeros(2)
    diff = np.zeros(2)
    for learnable in net.learnable:
        data += _norms(learnable.blob.data)
        diff += _norms(learnable.blob.diff)
    _log.info(
        "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
        data[0],
        diff[0],
        math.sqrt(data[1]),
        math.sqrt(diff[1]),
    )


def debug_update(net: Net) -> None:
    """`debug_info`: mean magnitudes of each parameter and of the step about to be taken."""
    for learnable in net.learnable:
        _log.info(
            "    [Update] Layer %s, param %s data: %g; diff: %g",
            learnable.layer,
            learnable.label,
            mean_magnitude(learnable.blob.data),
            mean_magnitude(learnable.blob.diff),
        )


def _norms(array: Array) -> tuple[float, float]:
    """Sum of magnitudes and sum of squares."""
    wide = array.astype(np.float64)
    return float(np.abs(wide).sum()), float(np.square(wide).sum())
