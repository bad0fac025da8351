"""The shapes of a net's blobs, as texts for its picture."""

from __future__ import annotations

from collections.abc import Mapping

from caffe_lite.blob import Shape
from caffe_lite.draw.graph import Net
from caffe_lite.errors import CaffeError
from caffe_lite.net.summary import summarize
from caffe_lite.proto import caffe_pb2, nodes


def blob_shapes(
    net: Net, phase: int | None = None, input_shapes: Mapping[str, Shape] | None = None
) -> dict[str, str]:
    """The shape of each blob whose shape is known, by name, such as "64x3x227x227".

    Where TRAIN and TEST differ and `phase` is None, an axis has both sizes: "64|100x3x28x28".
    input_shapes: those of `net.summary.summarize`, for data that are not here.  Raises CaffeError
    if no phase's net has known shapes.
    """
    source = net if isinstance(net, nodes.NetSource) else nodes.from_message(net)
    phases = (caffe_pb2.TRAIN, caffe_pb2.TEST) if phase is None else (phase,)
    found: dict[str, list[Shape]] = {}
    first: CaffeError | None = None
    known = False
    for each in phases:
        try:
            rows = summarize(source, each, input_shapes=input_shapes).rows
        except CaffeError as error:
            first = first or error
            continue
        known = True
        for row in rows:
            for name, shape in zip(row.tops, row.shapes, strict=True):
                if shape is not None and shape not in found.setdefault(name, []):
                    found[name].append(shape)
    if first is not None and not known:
        raise first
    return {name: _text(shapes) for name, shapes in found.items() if shapes}


def _text(shapes: list[Shape]) -> str:
    if len({len(shape) for shape in shapes}) > 1:
        return " | ".join(map(shape_text, shapes))
    axes = ("|".join(dict.fromkeys(map(str, sizes))) for sizes in zip(*shapes, strict=True))
    return "x".join(axes) or shape_text(())


def shape_text(shape: Shape) -> str:
    """A shape as a picture shows it."""
    return "x".join(map(str, shape)) or "one value"
