"""The parameters that a solver updates: their multipliers, and which layers share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from caffe_lite.blob import Blob
from caffe_lite.layers.base import Layer
from caffe_lite.net.errors import net_error
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.nodes import Node


@dataclass(frozen=True)
class Learnable:
    """One parameter blob of a net, with its owner's multipliers."""

    blob: Blob
    lr_mult: float
    decay_mult: float
    layer: str
    """The layer that owns it."""
    index: int
    """Its index among that layer's blobs."""
    label: str
    """Its ``param { name }``, or its index as text; what Caffe's log calls it."""


@dataclass
class _Owner:
    """A parameter with a name that other layers may share."""

    learnable: Learnable
    node: Node
    spec: caffe_pb2.ParamSpec
    position: int
    """Its index among all parameters."""


def collect(nodes: Sequence[Node], layers: Sequence[Layer]) -> tuple[Learnable, ...]:
    """All parameters in the order of the layers; those shared by name once, under their owner.

    The owner is the first layer with that name.  The blobs of the others use the owner's data and
    diff from then on.  Raises NetError for more `param` messages than blobs, and where shapes or
    multipliers contradict the owner's.
    """
    collected: list[Learnable] = []
    owners: dict[str, _Owner] = {}
    for node, layer in zip(nodes, layers, strict=True):
        specs = node.param.param
        if len(specs) > len(layer.blobs):
            raise net_error(
                node,
                f"param[{len(layer.blobs)}]",
                f"{len(specs)} param messages for {len(layer.blobs)} parameters; remove "
                f"{len(specs) - len(layer.blobs)}",
            )
        for index, blob in enumerate(layer.blobs):
            spec = specs[index] if index < len(specs) else caffe_pb2.ParamSpec()
            if not layer.learnable[index]:
                if not layer.overrules_lr_mult:
                    _check_fixed(node, spec, index)
                # Caffe's solvers decay statistics into their history, though they never move
                collected.append(
                    Learnable(blob, 0.0, spec.decay_mult, node.name, index, str(index))
                )
            elif spec.name and spec.name in owners:
                _share(owners[spec.name], node, spec, index, blob, collected)
            else:
                label = spec.name or str(index)
                learnable = Learnable(blob, spec.lr_mult, spec.decay_mult, node.name, index, label)
                if spec.name:
                    owners[spec.name] = _Owner(learnable, node, spec, len(collected))
                collected.append(learnable)
    return tuple(collected)


def _check_fixed(node: Node, spec: caffe_pb2.ParamSpec, index: int) -> None:
    if spec.HasField("lr_mult") and spec.lr_mult != 0:
        raise net_error(
            node,
            f"param[{index}].lr_mult",
            f"lr_mult is {spec.lr_mult:g}, but these are statistics that no solver may move; "
            "use 0, or leave param out",
        )


def _share(
    owner: _Owner,
    node: Node,
    spec: caffe_pb2.ParamSpec,
    index: int,
    blob: Blob,
    collected: list[Learnable],
) -> None:
    """Let `blob` use the memory of the owner's blob; NetError if the two contradict each other."""
    shared = owner.learnable.blob
    permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
    if blob.count != shared.count if permissive else blob.shape != shared.shape:
        what = "as many elements as" if permissive else "the shape of"
        raise net_error(
            node,
            f"param[{index}].name",
            f'shares "{spec.name}" with layer "{owner.node.name}"{_place(owner, "name")}, so its '
            f"blob {index} {blob.shape} must have {what} that one's {shared.shape}",
        )
    for field in ("lr_mult", "decay_mult"):
        if not spec.HasField(field):
            continue
        value = getattr(spec, field)
        if owner.spec.HasField(field) and getattr(owner.spec, field) != value:
            raise net_error(
                node,
                f"param[{index}].{field}",
                f'{field} {value:g} of shared "{spec.name}" contradicts '
                f'{getattr(owner.spec, field):g} of layer "{owner.node.name}"'
                f"{_place(owner, field)}; give it once, or the same",
            )
        owner.spec = _with(owner.spec, field, value)
        owner.learnable = replace(owner.learnable, **{field: value})
        collected[owner.position] = owner.learnable
    blob.share_data(shared)
    blob.share_diff(shared)


def _with(spec: caffe_pb2.ParamSpec, field: str, value: float) -> caffe_pb2.ParamSpec:
    changed = caffe_pb2.ParamSpec()
    changed.CopyFrom(spec)
    setattr(changed, field, value)
    return changed


def _place(owner: _Owner, field: str) -> str:
    where = owner.node.where
    index = owner.learnable.index
    place = where.at(f"param[{index}].{field}") if where else None
    return f" ({place})" if place else ""
