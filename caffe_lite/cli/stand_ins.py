"""Layers that stand in for data which is not here: of the same shapes, with random values.

A net whose databases, lists or files are missing can then be built and run, to compile its
kernels.  A source that is here is left as it is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from caffe_lite.errors import DataError

if TYPE_CHECKING:
    from caffe_lite.proto import nodes

Shape = tuple[int, ...]

_log = logging.getLogger("caffe_lite.cli")


def replace(source: nodes.NetSource, given: Mapping[str, Shape]) -> None:
    """Replace, in place, the data layers that belong to the net's state and lack their data.

    `given` has the shapes of single items, without the batch, by the names of tops; under ""
    is that of every first top.  HDF5Output, which would write a file, becomes Silence.  Raises
    DataError, with its place, when a shape is not known.
    """
    from caffe_lite.net.passes import rules

    selected = rules.select(source.nodes, source.param.state)
    source.nodes = [_replaced(node, given) for node in selected]


def _replaced(node: nodes.Node, given: Mapping[str, Shape]) -> nodes.Node:
    from caffe_lite.proto import caffe_pb2, nodes

    if node.type == "HDF5Output":
        silence = caffe_pb2.LayerParameter(name=node.name, type="Silence")
        silence.bottom.extend(node.param.bottom)
        return nodes.Node(silence, node.where)
    if node.type not in _SHAPES or _is_here(node):
        return node
    shapes = _SHAPES[node.type](node, given)
    param = caffe_pb2.LayerParameter(name=node.name, type="DummyData")
    param.top.extend(node.param.top)
    for index, shape in enumerate(shapes):
        param.dummy_data_param.shape.add().dim.extend(shape)
        # numbers of any size for the images, class 0 for the labels
        filler = "constant" if index else "gaussian"
        param.dummy_data_param.data_filler.add(type=filler)
    _log.info("%s stands in for %s", ", ".join(map(str, shapes)), node.label())
    return nodes.Node(param, node.where)


def _is_here(node: nodes.Node) -> bool:
    if node.type == "MemoryData":
        return False
    path = _config(node).source
    return bool(path) and os.path.exists(path)


def _config(node: nodes.Node) -> Any:
    fields = {
        "Data": "data_param",
        "HDF5Data": "hdf5_data_param",
        "ImageData": "image_data_param",
        "MemoryData": "memory_data_param",
        "WindowData": "window_data_param",
    }
    return getattr(node.param, fields[node.type])


# -- shapes -----------------------------------------------------------------------------------


def _of_images(node: nodes.Node, given: Mapping[str, Shape]) -> list[Shape]:
    """Of a layer whose tops are images and, if there is a second one, labels."""
    from caffe_lite.export.sources import declared_shapes

    name = node.param.top[0] if node.param.top else ""
    item = given.get(name, given.get(""))
    if item is None:
        shapes = declared_shapes(node.param, channels=3)
        if shapes is None:
            raise _unknown(node, name)
        return shapes
    batch = int(_config(node).batch_size)
    return [(batch, *item), *[(batch,)] * (len(node.param.top) - 1)]


def _of_datasets(node: nodes.Node, given: Mapping[str, Shape]) -> list[Shape]:
    """Of HDF5Data, about whose tops its prototxt says nothing."""
    batch = int(_config(node).batch_size)
    shapes = []
    for index, name in enumerate(node.param.top):
        item = given.get(name, None if index else given.get(""))
        if item is None:
            raise _unknown(node, name)
        shapes.append((batch, *item))
    return shapes


_SHAPES: dict[str, Callable[[nodes.Node, Mapping[str, Shape]], list[Shape]]] = {
    "Data": _of_images,
    "HDF5Data": _of_datasets,
    "ImageData": _of_images,
    "MemoryData": _of_images,
    "WindowData": _of_images,
}


def _unknown(node: nodes.Node, top: str) -> DataError:
    where = getattr(_config(node), "source", "")
    missing = f'"{where}" is not here, and ' if where else ""
    error = DataError(
        f'{missing}nothing says what shape an item of "{top}" has; '
        f"give it, such as -shape {top}:3,224,224"
    )
    error.at(node.where and node.where.location, node.label())
    return error
