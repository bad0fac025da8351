"""What is written on layers and edges, and in which colours: pycaffe's words and styles."""

from __future__ import annotations

from typing import Any

from caffe_lite.proto import caffe_pb2

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLORS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "InnerProduct": "#CC33FF",
    "Pooling": "#FF9900",
}
_WITH_LR_MULT = ("Convolution", "Deconvolution", "InnerProduct")


def get_pooling_types_dict() -> dict[int, str]:
    """The name of each number of ``PoolingParameter.PoolMethod``: 0 is MAX, 1 AVE."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What stands on the edges to a layer's tops: its num_output, of Data layers the batch size.

    Two quotation marks, the empty label of graphviz, for all other types.
    """
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return '""'


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> tuple[float, float]:
    """The learning rate multipliers of weights and bias; 1 where none is given.

    Raises ValueError, as pycaffe does, for a layer that is no Convolution, Deconvolution or
    InnerProduct, and for one with more than two `param`.
    """
    if layer.type not in _WITH_LR_MULT:
        raise ValueError(f"{layer.type} layers have no learning rate multipliers to show")
    given = [spec.lr_mult for spec in layer.param]
    if len(given) > 2:
        raise ValueError(
            f'layer "{layer.name}" has {len(given)} param; weights and bias make two at most'
        )
    weight, bias = [*given, 1.0, 1.0][:2]
    return weight, bias


def get_layer_label(
    layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False
) -> str:
    r"""A layer's label for graphviz, in quotation marks: name, type, window, multipliers.

    Its parts are separated by spaces where the net runs down or up (`rankdir` TB or BT), else by
    ``\n``, so that the label takes the room that the direction leaves.
    """
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    title = [layer.name, type_text(layer)]
    return f'"{separator.join([*title, *detail_texts(layer, display_lrm)])}"'


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer that does not work in place."""
    return _COLORS.get(layertype, "#6495ED")


def type_text(layer: caffe_pb2.LayerParameter) -> str:
    """The type in parentheses, with the method of Pooling layers."""
    if layer.type == "Pooling":
        method = layer.pooling_param.pool
        return f"(Pooling {get_pooling_types_dict().get(method, method)})"
    return f"({layer.type})"


def detail_texts(layer: caffe_pb2.LayerParameter, display_lrm: bool = False) -> list[str]:
    """Kernel size, stride and pad of layers with a window; with `display_lrm` multipliers too."""
    texts = []
    if layer.type in ("Convolution", "Deconvolution"):
        texts = _window_texts(layer.convolution_param)
    elif layer.type == "Pooling":
        texts = _window_texts(layer.pooling_param)
    if display_lrm and layer.type in _WITH_LR_MULT:
        weight, bias = get_layer_lr_mult(layer)
        if weight or bias:
            texts.append(f"lr mult: {weight:.1f}, {bias:.1f}")
    return texts


def _window_texts(config: Any) -> list[str]:
    if getattr(config, "global_pooling", False):
        return ["kernel size: all"]
    return [
        f"kernel size: {_size(config, 'kernel_size', 'kernel', 1)}",
        f"stride: {_size(config, 'stride', 'stride', 1)}",
        f"pad: {_size(config, 'pad', 'pad', 0)}",
    ]


def _size(config: Any, field: str, each: str, default: int) -> str:
    """One number if all axes have the same, else one for each with x between."""
    height, width = getattr(config, f"{each}_h"), getattr(config, f"{each}_w")
    given = getattr(config, field)
    if config.HasField(f"{each}_h") or config.HasField(f"{each}_w"):
        sizes = [height, width]
    elif isinstance(given, int):
        sizes = [given]
    else:
        sizes = list(given) or [default]
    if len(set(sizes)) == 1:
        sizes = sizes[:1]
    return "x".join(map(str, sizes))
