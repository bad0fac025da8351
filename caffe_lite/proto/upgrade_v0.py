"""Upgrade of the layers of 2013 (V0) to those of 2014 (V1).

layers { layer { name: "c" type: "conv" kernelsize: 3 } bottom: "data" top: "c" }
layers { name: "c" type: CONVOLUTION convolution_param { kernel_size: 3 } bottom: ... }
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_lite import glog
from caffe_lite.errors import PrototxtError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.fields import put
from caffe_lite.proto.literals import nearest
from caffe_lite.proto.where import Where, prefix

_log = glog.logger("caffe_lite.proto")

OldLayer = tuple[caffe_pb2.V1LayerParameter, Where | None]

# V0 layer type: the V1 type, and the V1 message for the layer's settings
_TYPES = {
    "accuracy": ("ACCURACY", ""),
    "bnll": ("BNLL", ""),
    "concat": ("CONCAT", "concat_param"),
    "conv": ("CONVOLUTION", "convolution_param"),
    "data": ("DATA", "data_param"),
    "dropout": ("DROPOUT", "dropout_param"),
    "euclidean_loss": ("EUCLIDEAN_LOSS", ""),
    "flatten": ("FLATTEN", ""),
    "hdf5_data": ("HDF5_DATA", "hdf5_data_param"),
    "hdf5_output": ("HDF5_OUTPUT", "hdf5_output_param"),
    "im2col": ("IM2COL", ""),
    "images": ("IMAGE_DATA", "image_data_param"),
    "infogain_loss": ("INFOGAIN_LOSS", "infogain_loss_param"),
    "innerproduct": ("INNER_PRODUCT", "inner_product_param"),
    "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MULTINOMIAL_LOGISTIC_LOSS", ""),
    "pool": ("POOLING", "pooling_param"),
    "relu": ("RELU", ""),
    "sigmoid": ("SIGMOID", ""),
    "softmax": ("SOFTMAX", ""),
    "softmax_loss": ("SOFTMAX_LOSS", ""),
    "split": ("SPLIT", ""),
    "tanh": ("TANH", ""),
    "window_data": ("WINDOW_DATA", "window_data_param"),
}
# V0 setting: its current name, and the V0 types that have it
_SETTINGS = {
    "num_output": ("num_output", ("conv", "innerproduct")),
    "biasterm": ("bias_term", ("conv", "innerproduct")),
    "weight_filler": ("weight_filler", ("conv", "innerproduct")),
    "bias_filler": ("bias_filler", ("conv", "innerproduct")),
    "pad": ("pad", ("conv", "pool")),
    "kernelsize": ("kernel_size", ("conv", "pool")),
    "group": ("group", ("conv",)),
    "stride": ("stride", ("conv", "pool")),
    "pool": ("pool", ("pool",)),
    "dropout_ratio": ("dropout_ratio", ("dropout",)),
    "local_size": ("local_size", ("lrn",)),
    "alpha": ("alpha", ("lrn",)),
    "beta": ("beta", ("lrn",)),
    "k": ("k", ("lrn",)),
    "source": ("source", ("data", "hdf5_data", "images", "window_data", "infogain_loss")),
    "batchsize": ("batch_size", ("data", "hdf5_data", "images", "window_data")),
    "rand_skip": ("rand_skip", ("data", "images")),
    "shuffle_images": ("shuffle", ("images",)),
    "new_height": ("new_height", ("images",)),
    "new_width": ("new_width", ("images",)),
    "concat_dim": ("concat_dim", ("concat",)),
    "det_fg_threshold": ("fg_threshold", ("window_data",)),
    "det_bg_threshold": ("bg_threshold", ("window_data",)),
    "det_fg_fraction": ("fg_fraction", ("window_data",)),
    "det_context_pad": ("context_pad", ("window_data",)),
    "det_crop_mode": ("crop_mode", ("window_data",)),
}
_TRANSFORMS = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
_UNCHANGED = ("name", "blobs", "blobs_lr", "weight_decay")


def upgrade_v0(layers: Sequence[OldLayer], inputs: Sequence[str]) -> list[OldLayer]:
    """The layers of a V0 net in the V1 schema, with their positions; padding layers are merged.

    `inputs` names the net's inputs.  A setting that a layer's type does not have is dropped with
    a warning, as in Caffe.  Raises PrototxtError for an unknown type and for misplaced padding.
    """
    return [_upgraded(*layer) for layer in _merge_padding(layers, inputs)]


def _merge_padding(layers: Sequence[OldLayer], inputs: Sequence[str]) -> list[OldLayer]:
    """Move the padding of V0's padding layers to the convolution or pooling that follows."""
    producers: dict[str, OldLayer | None] = dict.fromkeys(inputs)
    merged: list[OldLayer] = []
    for layer, where in layers:
        kept = caffe_pb2.V1LayerParameter()
        kept.CopyFrom(layer)
        for index, bottom in enumerate(layer.bottom):
            if bottom not in producers:
                raise _error(layer, where, f'unknown bottom "{bottom}"', f"bottom[{index}]")
            producer = producers[bottom]
            if producer is not None and producer[0].layer.type == "padding":
                _check_padding(layer, where, producer[0])
                kept.layer.pad = producer[0].layer.pad
                kept.bottom[index] = producer[0].bottom[0]
        for top in layer.top:
            producers[top] = (layer, where)
        if layer.layer.type != "padding":
            merged.append((kept, where))
    return merged


def _check_padding(
    layer: caffe_pb2.V1LayerParameter, where: Where | None, padding: caffe_pb2.V1LayerParameter
) -> None:
    if layer.layer.type not in ("conv", "pool"):
        raise _error(layer, where, "only conv and pool can follow a padding layer", "bottom")
    if len(layer.bottom) != 1:
        raise _error(layer, where, "after a padding layer it must have one bottom", "bottom")
    if (len(padding.bottom), len(padding.top)) != (1, 1):
        message = f'the padding layer "{padding.layer.name}" needs one bottom and one top'
        raise _error(layer, where, message, "bottom")


def _error(
    layer: caffe_pb2.V1LayerParameter, where: Where | None, message: str, path: str
) -> PrototxtError:
    error = PrototxtError(message, where.at(path) if where else None)
    error.at(None, f'layer "{layer.layer.name}" ({layer.layer.type})')
    return error


def _upgraded(old: caffe_pb2.V1LayerParameter, where: Where | None) -> OldLayer:
    if not old.HasField("layer"):
        message = "has no inner `layer { }`, unlike the net's other layers; add one"
        raise _error(old, where, message, "")
    new = caffe_pb2.V1LayerParameter(bottom=old.bottom, top=old.top)
    settings = old.layer
    kind, config = _type(old, where)
    if kind:
        new.type = caffe_pb2.V1LayerParameter.LayerType.Value(kind)
    moves = {"type": "type"}
    for field, value in settings.ListFields():
        path = _path(field.name, settings.type, config)
        if path is None:
            if field.name != "type":
                position = prefix(where.child(f"layer.{field.name}")) if where else ""
                _log.warning(
                    '%slayer "%s" (%s): %s has no effect',
                    position,
                    settings.name,
                    settings.type,
                    field.name,
                )
            continue
        moves[field.name] = path
        message, _, name = path.rpartition(".")
        put(getattr(new, message) if message else new, name, value)
    return new, _moved(where, moves) if where else None


def _type(old: caffe_pb2.V1LayerParameter, where: Where | None) -> tuple[str, str]:
    kind = old.layer.type
    if not old.layer.HasField("type"):
        return "", ""
    if kind not in _TYPES:
        near = nearest(kind, _TYPES)
        hint = f'; did you mean "{near}"?' if near else ""
        raise _error(old, where, f'unknown type "{kind}"{hint}', "layer.type")
    return _TYPES[kind]


def _path(name: str, kind: str, config: str) -> str | None:
    """The V1 field for a V0 setting; None if a layer of this type does not have the setting."""
    if name in _UNCHANGED:
        return name
    if name in _TRANSFORMS:
        return f"transform_param.{_TRANSFORMS[name]}"
    if name == config:  # hdf5_output_param, a message in V0 already
        return name
    new_name, kinds = _SETTINGS.get(name, ("", ()))
    return f"{config}.{new_name}" if kind in kinds else None


def _moved(where: Where, moves: dict[str, str]) -> Where:
    """The positions of an upgraded V0 layer's fields."""
    inner = where.child("layer")
    new = Where(where.source, where.offset)
    for name in ("bottom", "top"):
        new.put(name, where.fields.get(name, []))
    for old, path in moves.items():
        message, _, name = path.rpartition(".")
        if message and not new.children(message):
            new.put(message, [Where(inner.source, inner.offset)])
        target = new.child(message)
        target.put(name, inner.fields.get(old, []))
    return new
