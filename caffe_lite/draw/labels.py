"""The labels and colours of layers and edges, in pycaffe's words and styles."""

from __future__ import annotations

from caffe_lite.blob import Shape
from caffe_lite.layers import registry
from caffe_lite.layers.description import Drawing, SlidingWindow
from caffe_lite.proto import caffe_pb2

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLORS = {"convolution": "#FF5050", "inner product": "#CC33FF", "pooling": "#FF9900"}


def get_pooling_types_dict() -> dict[int, str]:
    """The name of each number of ``PoolingParameter.PoolMethod``: 0 is MAX, 1 AVE."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """The label of the edges to a layer's tops: its num_output, or the batch size of Data layers.

    Two quotation marks, the empty label of graphviz, for all other types.
    """
    drawing = _drawing(layer)
    if drawing.batch_size is not None:
        return f"Batch {drawing.batch_size}"
    return '""' if drawing.outputs is None else str(drawing.outputs)


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> tuple[float, float]:
    """The learning rate multipliers of weight and bias; 1 where none is given.

    Raises ValueError, as pycaffe does, for a layer other than Convolution, Deconvolution and
    InnerProduct, and for one with more than two `param`.
    """
    if _drawing(layer).outputs is None:
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

    Spaces separate its parts where the net runs down or up (`rankdir` TB or BT), else ``\n``, so
    that the label fits the direction.
    """
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    title = [layer.name, type_text(layer)]
    return f'"{separator.join([*title, *detail_texts(layer, display_lrm)])}"'


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer that does not work in place."""
    kind = _drawing(caffe_pb2.LayerParameter(type=layertype)).kind
    return _COLORS.get(kind, LAYER_STYLE_DEFAULT["fillcolor"])


def type_text(layer: caffe_pb2.LayerParameter) -> str:
    """The type in parentheses, with the method of Pooling layers."""
    return f"({' '.join(filter(None, [layer.type, _drawing(layer).method]))})"


def detail_texts(layer: caffe_pb2.LayerParameter, display_lrm: bool = False) -> list[str]:
    """Kernel size, stride and pad of layers with a window; multipliers with `display_lrm`."""
    drawing = _drawing(layer)
    texts = _window_texts(drawing.window) if drawing.window else []
    if display_lrm and drawing.outputs is not None:
        weight, bias = get_layer_lr_mult(layer)
        if weight or bias:
            texts.append(f"lr mult: {weight:.1f}, {bias:.1f}")
    return texts


def _drawing(layer: caffe_pb2.LayerParameter) -> Drawing:
    return registry.describing_class(layer.type).drawing(layer)


def _window_texts(window: SlidingWindow) -> list[str]:
    if window.kernel is None:
        return ["kernel size: all"]
    after = "" if window.pad_end is None else f" before, {_size(window.pad_end)} after"
    return [
        f"kernel size: {_size(window.kernel or (1,))}",
        f"stride: {_size(window.stride)}",
        f"pad: {_size(window.pad)}{after}",
    ]


def _size(sizes: Shape) -> str:
    """One size if all axes have the same, else one for each with x between."""
    return "x".join(map(str, sizes[:1] if len(set(sizes)) == 1 else sizes))
