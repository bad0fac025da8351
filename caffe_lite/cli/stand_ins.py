"""Layers that stand in for missing data: with tops of the same shapes and random values.

A net whose databases, lists or files are missing can then be built and run, to compile its
kernels.  A layer whose data are here is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from caffe_lite import glog
from caffe_lite.errors import DataError

if TYPE_CHECKING:
    from caffe_lite.proto import caffe_pb2, nodes

Shape = tuple[int, ...]

_log = glog.logger("caffe_lite.cli")


def replace(source: nodes.NetSource, given: Mapping[str, Shape]) -> None:
    """Replace, in place, the layers of the net's state that need a stand-in; others stay.

    `given` has shapes of single items, without the batch axis, by the names of tops; that under ""
    is for every first top.  A layer without tops, such as HDF5Output, becomes Silence.  Raises
    DataError, with its position in the file, for a shape that is not known.
    """
    from caffe_lite.net.passes import rules

    selected = set(map(id, rules.select(source.nodes, source.param.state)))
    nodes = source.nodes
    source.nodes = [_replaced(node, given) if id(node) in selected else node for node in nodes]


def _replaced(node: nodes.Node, given: Mapping[str, Shape]) -> nodes.Node:
    from caffe_lite.layers import registry
    from caffe_lite.proto import nodes

    if not registry.describing_class(node.type).needs_stand_in(node.param):
        return node
    return nodes.Node(_random_data(node, given) if node.param.top else _sink(node), node.where)


def _sink(node: nodes.Node) -> caffe_pb2.LayerParameter:
    from caffe_lite.proto import caffe_pb2

    return caffe_pb2.LayerParameter(name=node.name, type="Silence", bottom=node.param.bottom)


def _random_data(node: nodes.Node, given: Mapping[str, Shape]) -> caffe_pb2.LayerParameter:
    """Random values for the first top, and 0, which any label can be, for the others."""
    from caffe_lite.proto import caffe_pb2

    shapes = _shapes(node, given)
    param = caffe_pb2.LayerParameter(name=node.name, type="DummyData", top=node.param.top)
    for index, shape in enumerate(shapes):
        param.dummy_data_param.shape.add().dim.extend(shape)
        param.dummy_data_param.data_filler.add(type="constant" if index else "gaussian")
    _log.info("%s stands in for %s", ", ".join(map(str, shapes)), node.label())
    return param


def _shapes(node: nodes.Node, given: Mapping[str, Shape]) -> list[Shape]:
    from caffe_lite.layers import registry

    items = dict(given)
    if "" in given:
        items.setdefault(node.param.top[0], given[""])
    cls = registry.describing_class(node.type)
    shapes = cls.source_shapes(node.param, items, channels=3)
    if shapes is None:
        config = getattr(node.param, cls.config_field or "", None)
        missing = next(name for name in node.param.top if name not in items)
        raise _unknown(node, missing, getattr(config, "source", ""))
    return shapes


def _unknown(node: nodes.Node, top: str, path: str) -> DataError:
    missing = f'"{path}" is not here, and ' if path else ""
    error = DataError(
        f'{missing}nothing says what shape an item of "{top}" has; '
        f"give it, such as -shape {top}:3,224,224"
    )
    error.at(node.where and node.where.location, node.label())
    return error
