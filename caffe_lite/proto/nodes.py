"""A net as a list of layers, each with its position in the prototxt."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.upgrade import upgrade_net, without_layers
from caffe_lite.proto.where import Where


@dataclass(slots=True)
class Node:
    """One layer: its parameters, and the positions of its fields (None if code made the layer)."""

    param: caffe_pb2.LayerParameter
    where: Where | None = None

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.param.name)

    @property
    def type(self) -> str:
        """The layer's type, such as ``"Convolution"``."""
        return str(self.param.type)

    def label(self) -> str:
        """The layer's name in error messages: ``layer "conv1" (Convolution)``."""
        return f'layer "{self.name}" ({self.type})'


@dataclass(slots=True)
class NetSource:
    """A net as written, upgraded to the current schema, before anything is built.

    `param` is the net's message without its layers, which are in `nodes` only.  `where` has the
    positions of the net's own fields.  `file` is the file's name, empty for a net made by code.
    """

    param: caffe_pb2.NetParameter
    nodes: list[Node]
    where: Where | None = None
    file: str = ""

    def copy(self) -> NetSource:
        """A copy to change or to build; positions are shared."""
        copied = NetSource(caffe_pb2.NetParameter(), [], self.where, self.file)
        copied.param.CopyFrom(self.param)
        for node in self.nodes:
            copied.nodes.append(Node(caffe_pb2.LayerParameter(), node.where))
            copied.nodes[-1].param.CopyFrom(node.param)
        return copied

    def to_message(self) -> caffe_pb2.NetParameter:
        """The whole net, layers included, as one message."""
        message = caffe_pb2.NetParameter()
        message.CopyFrom(self.param)
        message.layer.extend(node.param for node in self.nodes)
        return message


def from_message(
    param: caffe_pb2.NetParameter, where: Where | None = None, file: str = ""
) -> NetSource:
    """The nodes of a net, upgraded if its schema is older.  `param` is not modified.

    `where` is what `text.parse` returned for `param`, or None for a net made by code.  Raises
    PrototxtError for a net that cannot be upgraded.
    """
    upgraded, where = upgrade_net(param, where)
    nodes = []
    positions = where.children("layer") if where else [None] * len(upgraded.layer)
    for layer, position in zip(upgraded.layer, positions, strict=True):
        node = Node(caffe_pb2.LayerParameter(), position)
        node.param.CopyFrom(layer)
        nodes.append(node)
    return NetSource(without_layers(upgraded), nodes, where, file)
