"""What a net writes to the log, in Caffe's words, so that programs that read Caffe's logs work."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence

import numpy as np

from caffe_lite import glog
from caffe_lite.blob import Array
from caffe_lite.layers.base import Layer
from caffe_lite.net.link import Link
from caffe_lite.net.passes.learnable import Learnable
from caffe_lite.net.passes.plan import Plan
from caffe_lite.net.passes.wiring import Wires

_log = glog.logger("caffe_lite.net")


def log_layer(link: Link, wires: Wires, index: int) -> None:
    """The lines of one layer that has just been built."""
    if not _log.isEnabledFor(logging.INFO):
        return
    name = link.layer.name
    _log.info("Creating Layer %s", name)
    for bottom in wires.bottom_names(index):
        _log.info("%s <- %s", name, bottom)
    for top, blob_name in enumerate(wires.top_names(index)):
        note = " (in-place)" if wires.in_place(index, top) else ""
        _log.info("%s -> %s%s", name, blob_name, note)
    _log.info("Setting up %s", name)
    for blob, weight in zip(link.top, link.layer.loss_weights, strict=True):
        _log.info("Top shape: %s (%d)", " ".join(map(str, blob.shape)), blob.count)
        if weight:
            _log.info("    with loss weight %g", weight)


def log_plan(layers: Sequence[Layer], plan: Plan, outputs: Sequence[str], data_bytes: int) -> None:
    """Which layers go backward, the outputs, and the bytes that the blobs' data take."""
    for layer, needed in reversed(list(zip(layers, plan.layers, strict=True))):
        does = "needs" if needed else "does not need"
        _log.info("%s %s backward computation.", layer.name, does)
    for name in outputs:
        _log.info("This network produces output %s", name)
    _log.info("Network initialization done.")
    _log.info("Memory required for data: %d", data_bytes)


def mean_magnitude(array: Array) -> float:
    """Mean of |x|; 0 for an empty array."""
    return float(np.abs(array).mean(dtype=np.float64)) if array.size else 0.0


def debug_forward(link: Link, top_names: Sequence[str]) -> None:
    """`debug_info`: mean magnitudes of a layer's tops and parameters after its forward."""
    layer = link.layer
    for blob, name in zip(link.top, top_names, strict=True):
        value = mean_magnitude(blob.data)
        _log.info("    [Forward] Layer %s, top blob %s data: %g", layer.name, name, value)
    for index, param in enumerate(layer.blobs):
        value = mean_magnitude(param.data)
        _log.info("    [Forward] Layer %s, param blob %d data: %g", layer.name, index, value)


def debug_backward(link: Link, bottom_names: Sequence[str], wanted: Sequence[bool]) -> None:
    """`debug_info`: mean magnitudes of the gradients that a layer's backward has computed.

    `wanted`: for each bottom, whether it gets a gradient.
    """
    layer = link.layer
    for blob, name, needed in zip(link.bottom, bottom_names, wanted, strict=True):
        if needed:
            value = mean_magnitude(blob.diff)
            _log.info("    [Backward] Layer %s, bottom blob %s diff: %g", layer.name, name, value)
    for index, param in enumerate(layer.blobs):
        if layer.param_propagate_down[index]:
            value = mean_magnitude(param.diff)
            _log.info("    [Backward] Layer %s, param blob %d diff: %g", layer.name, index, value)


def debug_params(params: Iterable[Learnable]) -> None:
    """`debug_info`: L1 and L2 norms over all parameters, after a whole backward."""
    data = np.zeros(2)
    diff = np.zeros(2)
    for learnable in params:
        data += _norms(learnable.blob.data)
        diff += _norms(learnable.blob.diff)
    _log.info(
        "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
        data[0],
        diff[0],
        math.sqrt(data[1]),
        math.sqrt(diff[1]),
    )


def debug_update(params: Iterable[Learnable]) -> None:
    """`debug_info`: mean magnitudes of each parameter and of the update about to be made."""
    for learnable in params:
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
