"""Upgrade of nets and solvers from older schemas to the current one, as in Caffe 1.0.

    V0 (2013)   layers { layer { type: "conv" ... } bottom: ... }     upgrade_net
    V1 (2014)   layers { type: CONVOLUTION blobs_lr: 1 ... }          upgrade_net
    until 2016  input: "data"  input_dim: 1 ...                       upgrade_net
    until 2017  three `param` in a BatchNorm layer                    upgrade_net
    until 2015  solver_type: ADAM                                     upgrade_solver

Functions return new messages and positions; they do not modify their arguments, except for
`upgrade_in_place`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from caffe_lite import glog
from caffe_lite.errors import PrototxtError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.fields import put
from caffe_lite.proto.upgrade_v0 import OldLayer, upgrade_v0
from caffe_lite.proto.where import Where, prefix

_log = glog.logger("caffe_lite.proto")

_TRANSFORMED = {
    "DATA": "data_param",
    "IMAGE_DATA": "image_data_param",
    "WINDOW_DATA": "window_data_param",
}
_TRANSFORMS = ("scale", "mean_file", "crop_size", "mirror")

# V1 layer types whose current name is not the V1 name in camel case (INNER_PRODUCT, InnerProduct)
_V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BN": "BN",
    "BNLL": "BNLL",
    "CONVOLUTION3D": "Convolution3D",
    "DECONVOLUTION3D": "Deconvolution3D",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "POOLING3D": "Pooling3D",
    "RELU": "ReLU",
    "RELU6": "ReLU6",
    "ROIPOOLING": "ROIPooling",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SOFTMAX_LOSS_TREE": "SoftmaxWithLossTree",
    "TANH": "TanH",
    "TRANSFORM_SOFTMAX_LOSS": "TransformSoftmaxWithLoss",
}
_V1_PARAMS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}

_SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}


def upgrade_net(
    param: caffe_pb2.NetParameter, where: Where | None = None
) -> tuple[caffe_pb2.NetParameter, Where | None]:
    """The net in the current schema, and the positions of its fields.

    A net that is current is returned as it is.  An upgraded layer or field keeps the position of
    the old one.  Raises PrototxtError for a net that mixes `layer` and `layers`, and for old
    layers that have no counterpart.
    """
    _warn_of_old_transforms(param, where)
    if not (param.layers or param.input or any(map(_is_old_batch_norm, param.layer))):
        return param, where
    net = caffe_pb2.NetParameter()
    net.CopyFrom(param)
    where = where.copy() if where else None
    upgrade_in_place(net, where)
    return net, where


def upgrade_in_place(net: caffe_pb2.NetParameter, where: Where | None = None) -> None:
    """Upgrade `net` and `where` themselves, without copying large weights."""
    if net.layer and net.layers:
        raise PrototxtError(
            "the net mixes `layer` and `layers`; write all layers as `layer`",
            where.at("layers") if where else None,
        )
    if net.layers:
        _upgrade_layers(net, where)
    if net.input:
        _upgrade_input(net, where)
    for layer in filter(_is_old_batch_norm, net.layer):
        for spec in layer.param:  # the three blobs are statistics: a solver must not update them
            spec.lr_mult = 0
            spec.decay_mult = 0
        _log.info('%slayer "%s" (BatchNorm): lr_mult is now 0', prefix(where), layer.name)


def upgrade_solver(
    param: caffe_pb2.SolverParameter, where: Where | None = None, file: str = ""
) -> tuple[caffe_pb2.SolverParameter, Where | None]:
    """The solver with `type` in place of `solver_type`, and with a usable `snapshot_prefix`.

    A missing prefix becomes `file` without its extension; a prefix that is a folder becomes that
    file's name in the folder.  Raises PrototxtError if both `type` and `solver_type` are set.
    """
    solver = caffe_pb2.SolverParameter()
    solver.CopyFrom(param)
    if param.HasField("solver_type"):
        name = caffe_pb2.SolverParameter.SolverType.Name(param.solver_type)
        if param.HasField("type") or name not in _SOLVER_TYPES:
            raise PrototxtError(
                f"solver_type {name} is not supported; use one of {', '.join(_SOLVER_TYPES)}"
                if name not in _SOLVER_TYPES
                else "both type and solver_type (its old form) are set; keep type",
                where.at("solver_type") if where else None,
            )
        solver.type = _SOLVER_TYPES[name]
        solver.ClearField("solver_type")
        if where:
            where = where.copy()
            where.put("type", where.fields.pop("solver_type", []))
        _log.info('%ssolver_type: %s is now type: "%s"', prefix(where), name, solver.type)
    if file:
        _complete_prefix(solver, Path(file))
    return solver, where


def _complete_prefix(solver: caffe_pb2.SolverParameter, file: Path) -> None:
    folder = solver.snapshot_prefix
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = str(file.with_suffix(""))
        _log.info("snapshot_prefix is not set; using %s", solver.snapshot_prefix)
    elif os.path.isdir(folder):
        solver.snapshot_prefix = os.path.join(folder, file.stem)
        _log.info("snapshot_prefix is a folder; using %s", solver.snapshot_prefix)


def without_layers(param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of a net without its layers."""
    net = caffe_pb2.NetParameter()
    for field, value in param.ListFields():
        if field.name not in ("layer", "layers"):
            put(net, field.name, value)
    return net


# -- V0 and V1 -----------------------------------------------------------------------------


def _upgrade_layers(net: caffe_pb2.NetParameter, where: Where | None) -> None:
    positions: Sequence[Where | None] = (
        where.children("layers") if where else [None] * len(net.layers)
    )
    layers: list[OldLayer] = list(zip(net.layers, positions, strict=True))
    version = "V1"
    if any(layer.HasField("layer") for layer in net.layers):
        version = "V0"
        layers = upgrade_v0(layers, net.input)
    layers = _move_transforms(layers)
    new_positions = [_upgrade_v1(*layer, net.layer.add()) for layer in layers]
    net.ClearField("layers")
    if where:
        where.put("layer", [position for position in new_positions if position])
        where.put("layers", [])
    _log.info("%supgraded %d layers of schema %s", prefix(where), len(layers), version)


def _move_transforms(layers: list[OldLayer]) -> list[OldLayer]:
    """Move scale, mean_file, crop_size and mirror of data layers to `transform_param`.

    A quirk of Caffe, kept: if any layer of the net needs this, every data layer gets both its own
    message and `transform_param`.
    """
    if not any(_old_transforms(layer) for layer, _ in layers):
        return layers
    moved = []
    for layer, where in layers:
        config = _TRANSFORMED.get(_v1_type(layer))
        if config:
            new = caffe_pb2.V1LayerParameter()
            new.CopyFrom(layer)
            where = where.copy() if where else None
            _move_transforms_of(new, where, config)
            layer = new
        moved.append((layer, where))
    return moved


def _move_transforms_of(
    layer: caffe_pb2.V1LayerParameter, where: Where | None, config: str
) -> None:
    settings = getattr(layer, config)
    settings.SetInParent()
    layer.transform_param.SetInParent()
    transform_where = where.child("transform_param").copy() if where else None
    for name in _TRANSFORMS:
        if settings.HasField(name):
            setattr(layer.transform_param, name, getattr(settings, name))
            settings.ClearField(name)
            if where and transform_where:
                transform_where.put(name, where.child(config).fields.get(name, []))
    if where and transform_where:
        where.put("transform_param", [transform_where])


def _v1_type(layer: caffe_pb2.V1LayerParameter) -> str:
    return str(caffe_pb2.V1LayerParameter.LayerType.Name(layer.type))


def _old_transforms(layer: caffe_pb2.V1LayerParameter) -> bool:
    config = _TRANSFORMED.get(_v1_type(layer))
    return config is not None and any(getattr(layer, config).HasField(n) for n in _TRANSFORMS)


def _warn_of_old_transforms(net: caffe_pb2.NetParameter, where: Where | None) -> None:
    """Warn of fields that Caffe reads in `layers` only and silently ignores in `layer`."""
    for index, layer in enumerate(net.layer):
        for config in _TRANSFORMED.values():
            for name in _TRANSFORMS if layer.HasField(config) else ():
                if getattr(layer, config).HasField(name):
                    _log.warning(
                        '%slayer "%s" (%s): %s.%s has no effect; use transform_param',
                        prefix(where.child(f"layer[{index}].{config}.{name}") if where else None),
                        layer.name,
                        layer.type,
                        config,
                        name,
                    )


def _upgrade_v1(
    old: caffe_pb2.V1LayerParameter, where: Where | None, new: caffe_pb2.LayerParameter
) -> Where | None:
    """Fill `new` from `old`; returns the positions of its fields."""
    for field, value in old.ListFields():
        if field.name == "type":
            kind = _v1_type(old)
            words = (word.capitalize() for word in kind.split("_"))
            new.type = _V1_TYPES.get(kind, "".join(words))
        elif field.name in _V1_PARAMS:
            for index, item in enumerate(value):
                if index == len(new.param):
                    new.param.add()
                setattr(new.param[index], _V1_PARAMS[field.name], item)
        else:
            put(new, field.name, value)
    return _upgraded_v1_where(where, len(new.param)) if where else None


def _upgraded_v1_where(where: Where, specs: int) -> Where:
    new = where.copy()
    new.put("param", [Where(where.source, where.offset) for _ in range(specs)])
    for old_name, name in _V1_PARAMS.items():
        for spec, position in zip(new.children("param"), where.fields.get(old_name, [])):
            if not spec.fields and isinstance(position, int):
                spec.offset = position
            spec.put(name, [position])
        if old_name != "param":
            new.put(old_name, [])
    return new


# -- inputs and BatchNorm ------------------------------------------------------------------


def _upgrade_input(net: caffe_pb2.NetParameter, where: Where | None) -> None:
    """Replace `input` by an Input layer, or drop it if no shape is given.

    Old caffemodels have only the names of the inputs.
    """
    if net.input_shape or net.input_dim:
        field, each = ("input_shape", 1) if net.input_shape else ("input_dim", 4)
        count, needed = len(getattr(net, field)), each * len(net.input)
        if count < needed:
            raise PrototxtError(
                f"{len(net.input)} inputs need {needed} {field}, found {count}",
                where.at(f"{field}[{count - 1}]") if where else None,
            )
        net.layer.insert(0, _input_layer(net))
        if where:
            where.put("layer", [_input_where(where, len(net.input)), *where.children("layer")])
        _log.info("%sinput fields are now a layer of type Input", prefix(where))
    for name in ("input", "input_shape", "input_dim"):
        net.ClearField(name)
        if where:
            where.put(name, [])


def _input_layer(net: caffe_pb2.NetParameter) -> caffe_pb2.LayerParameter:
    layer = caffe_pb2.LayerParameter(name="input", type="Input", top=net.input)
    for index in range(len(net.input)):
        if net.input_shape:
            layer.input_param.shape.add().CopyFrom(net.input_shape[index])
        else:
            layer.input_param.shape.add(dim=net.input_dim[4 * index : 4 * index + 4])
    return layer


def _input_where(where: Where, count: int) -> Where:
    names = where.fields["input"]
    first = names[0]
    layer = Where(where.source, first if isinstance(first, int) else first.offset)
    layer.put("top", names)
    config = Where(where.source, layer.offset)
    layer.put("input_param", [config])
    shapes: list[int | Where] = list(where.children("input_shape")[:count])
    dims = where.fields.get("input_dim", [])
    for index in range(0 if shapes else count):
        shape = Where(where.source, layer.offset)
        shape.put("dim", dims[4 * index : 4 * index + 4])
        shapes.append(shape)
    config.put("shape", shapes)
    return layer


def _is_old_batch_norm(layer: caffe_pb2.LayerParameter) -> bool:
    return bool(layer.type == "BatchNorm" and len(layer.param) == 3)
