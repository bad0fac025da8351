from __future__ import annotations

import pytest

from caffe_lite.errors import PrototxtError
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.proto.nodes import Node, from_message

NET = """name: "two"
force_backward: true
layer { name: "data" type: "Input" top: "data" }
layer {
  name: "conv1"
  type: "Convolution"
}
"""


def test_nodes_have_the_layers_and_their_places() -> None:
    net = caffe_pb2.NetParameter()
    where = text.parse(NET, net, "two.prototxt")
    source = from_message(net, where, "two.prototxt")
    assert source.file == "two.prototxt"
    assert [node.label() for node in source.nodes] == [
        'layer "data" (Input)',
        'layer "conv1" (Convolution)',
    ]
    places = [node.where.location.line for node in source.nodes if node.where]
    assert places == [3, 4]
    assert source.where is not None
    assert source.where.at("force_backward").line == 2


def test_a_net_keeps_its_own_fields_and_can_be_put_together_again() -> None:
    net = caffe_pb2.NetParameter()
    text.parse(NET, net, "two.prototxt")
    source = from_message(net)
    assert not source.param.layer
    assert source.param.name == "two"
    assert source.to_message() == net
    assert all(node.where is None for node in source.nodes)


def test_changing_a_node_leaves_the_message_alone() -> None:
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a")
    from_message(net).nodes[0].param.name = "b"
    assert net.layer[0].name == "a"


def test_nets_made_by_code_are_upgraded() -> None:
    net = caffe_pb2.NetParameter(input=["data"], input_dim=[1, 2, 3, 4])
    (node,) = from_message(net).nodes
    assert node.type == "Input"
    assert list(node.param.input_param.shape[0].dim) == [1, 2, 3, 4]


def test_a_wrong_net_made_by_code_has_no_place() -> None:
    net = caffe_pb2.NetParameter(input=["data"], input_dim=[1, 2, 3])
    with pytest.raises(PrototxtError, match="need 4 input_dim, found 3") as caught:
        from_message(net)
    assert caught.value.location is None


def test_a_node_may_have_no_name() -> None:
    assert Node(caffe_pb2.LayerParameter()).label() == 'layer "" ()'
