"""Running a net's layers, forward and backward; errors get the layer's place in the file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from caffe_lite.errors import CaffeError, NetError
from caffe_lite.net import log
from caffe_lite.net.chains import Step
from caffe_lite.proto import nodes

if TYPE_CHECKING:
    from caffe_lite.net.net import Net

computing = threading.RLock()
"""Held by whoever is in parallel kernels: numba's default threads cannot serve two callers."""


def forward(net: Net, start: int, end: int) -> float:
    """Run layers `start` to `end`, both included; the weighted loss of these.

    Layers are fused in a whole run that nobody watches.
    """
    before, after, debug = net._before_forward, net._after_forward, net.debug_info
    watched = before or after or debug
    whole = start == 0 and end == len(net.layers) - 1
    fused = whole and not watched
    loss = 0.0
    with computing:
        if not fused:
            _unfold(net)
        for step in net.plan.steps.forward if fused else net._single.forward[start : end + 1]:
            index = step.layers[-1]
            for hook in before:
                hook(index)
            try:
                step.run()
            except CaffeError as error:
                _refuse(net, step, error)
            for blob, _ in net._loss_tops[index]:
                loss += float(np.vdot(blob.data, blob.diff))
            if debug:
                log.debug_forward(net, index)
            for hook in after:
                hook(index)
    return loss


def _unfold(net: Net) -> None:
    """Before layers are run one by one: let them have what such a run leaves in them."""
    for chain in net.plan.steps.returning:
        chain.unfold()


def _refuse(net: Net, step: Step, error: CaffeError) -> NoReturn:
    """Raise the error of a step; of a fused one, by running its layers one by one."""
    if len(step.layers) > 1:
        for index in step.layers:
            single = net._single.forward[index]
            try:
                single.run()
            except CaffeError as its_own:
                _refuse(net, single, its_own)
    index = step.layers[0]
    raise located(error, net.nodes[index], net.layers[index].config_field) from None


def backward(net: Net, start: int, end: int) -> None:
    """Run layers `start` down to `end`, both included, where the plan says so.

    Fused as `forward` is.
    """
    if net._forward_only:
        raise NetError("this net was set to run forward only: share_memory(backward=False)")
    before, after, debug = net._before_backward, net._after_backward, net.debug_info
    watched = before or after or debug
    fused = start == len(net.layers) - 1 and end == 0 and not watched
    steps = net.plan.steps.backward if fused else net._single.backward[end : start + 1]
    with computing:
        if not fused:
            _unfold(net)
        for step in reversed(steps):
            index = step.layers[0]
            for hook in before:
                hook(index)
            if net.plan.layers[index]:
                try:
                    step.run()
                except CaffeError as error:
                    field = net.layers[index].config_field
                    raise located(error, net.nodes[index], field) from None
                if debug:
                    log.debug_backward(net, index)
            for hook in after:
                hook(index)


def reshape(net: Net) -> None:
    """Shape all blobs anew where a bottom's shape has changed."""
    with computing:
        for link, node in zip(net.links, net.nodes, strict=True):
            try:
                link.prepare()
            except CaffeError as error:
                raise located(error, node, link.layer.config_field) from None


def located(error: CaffeError, node: nodes.Node, config_field: str | None) -> CaffeError:
    """The error with the layer it concerns, and the place of the field at fault."""
    field = error.field
    if node.where is None:
        return error.at(None, node.label())
    if not field:
        place = node.where.location
    elif field.startswith("."):
        place = node.where.at(field[1:])
    else:
        place = node.where.at(f"{config_field}.{field}" if config_field else field)
    return error.at(place, node.label())
