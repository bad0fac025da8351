from __future__ import annotations

import pytest

import caffe_lite as caffe
from caffe_lite.errors import NetError
from caffe_lite.net.passes.rules import left_out, select
from caffe_lite.net.passes.splits import check_bottoms, insert_splits
from caffe_lite.proto import caffe_pb2
from tests.net import source


def layers(text: str) -> list[str]:
    """Each layer as ``name: bottoms -> tops``."""
    return [
        f"{node.name}: {' '.join(node.param.bottom)} -> {' '.join(node.param.top)}"
        for node in insert_splits(source(text).nodes)
    ]


def test_no_split_where_each_blob_has_one_reader() -> None:
    net = """
    layer { name: "data" type: "Input" top: "data" }
    layer { name: "relu" type: "ReLU" bottom: "data" top: "data" }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }
    """
    assert layers(net) == ["data:  -> data", "relu: data -> data", "ip: data -> ip"]


def test_names_carry_blob_layer_and_index() -> None:
    net = """
    layer { name: "in" type: "Data" top: "data" top: "label" }
    layer { name: "a" type: "ReLU" bottom: "data" top: "a" }
    layer { name: "b" type: "ReLU" bottom: "label" top: "b" }
    layer { name: "c" type: "ReLU" bottom: "label" top: "c" }
    """
    assert layers(net) == [
        "in:  -> data label",
        "label_in_1_split: label -> label_in_1_split_0 label_in_1_split_1",
        "a: data -> a",
        "b: label_in_1_split_0 -> b",
        "c: label_in_1_split_1 -> c",
    ]


def test_the_last_in_place_writer_is_split_not_the_first() -> None:
    net = """
    layer { name: "in" type: "Input" top: "x" }
    layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
    layer { name: "a" type: "Power" bottom: "x" top: "a" }
    layer { name: "b" type: "Eltwise" bottom: "x" bottom: "x" top: "b" }
    """
    assert layers(net)[2:] == [
        "x_relu_0_split: x -> x_relu_0_split_0 x_relu_0_split_1 x_relu_0_split_2",
        "a: x_relu_0_split_0 -> a",
        "b: x_relu_0_split_1 x_relu_0_split_2 -> b",
    ]


def test_a_loss_weight_is_a_reader_and_moves_to_the_first_copy() -> None:
    net = """
    layer { name: "in" type: "Input" top: "x" }
    layer { name: "l" type: "Reduction" bottom: "x" top: "l" loss_weight: 3 }
    layer { name: "b" type: "Power" bottom: "l" top: "b" }
    """
    nodes = insert_splits(source(net).nodes)
    assert [node.name for node in nodes] == ["in", "l", "l_l_0_split", "b"]
    assert list(nodes[1].param.loss_weight) == [0]
    assert list(nodes[2].param.loss_weight) == [3, 0]
    assert list(nodes[3].param.bottom) == ["l_l_0_split_1"]


def test_bottoms_are_checked_without_splits() -> None:
    net = """layer { name: "in" type: "Input" top: "x" }
layer { name: "a" type: "Power" bottom: "%s" top: "a" }
"""
    check_bottoms(source(net % "x").nodes)
    with pytest.raises(NetError, match=r'^net:2:41: layer "a" \(Power\): unknown bottom "y"'):
        check_bottoms(source(net % "y").nodes)


def test_the_nodes_given_are_not_changed() -> None:
    net = source(
        """
        layer { name: "in" type: "Input" top: "x" }
        layer { name: "a" type: "Power" bottom: "x" top: "a" }
        layer { name: "b" type: "Power" bottom: "x" top: "b" }
        """
    )
    insert_splits(net.nodes)
    assert [list(node.param.bottom) for node in net.nodes] == [[], ["x"], ["x"]]


@pytest.mark.parametrize(
    ("bottom", "says"),
    [
        ("dta", 'did you mean "data"'),
        ("late", 'layer "late" produces it, but comes later'),
        ("own", "it is this layer's own top"),
        ("nothing", "no layer of this phase produces it"),
    ],
)
def test_an_unknown_bottom_is_located_and_explained(bottom: str, says: str) -> None:
    net = f"""layer {{ name: "in" type: "Input" top: "data" }}
layer {{ name: "a" type: "Power"
  bottom: "{bottom}" top: "own" }}
layer {{ name: "late" type: "Power" bottom: "data" top: "late" }}
"""
    with pytest.raises(NetError, match=says) as caught:
        insert_splits(source(net).nodes)
    assert str(caught.value).startswith('net:3:11: layer "a" (Power): unknown bottom')


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("include { phase: TRAIN }", "only in TRAIN"),
        ('include { phase: TRAIN stage: "big" }', 'only in TRAIN with stage "big"'),
        ("include { min_level: 2 max_level: 3 }", "only from level 2 on up to level 3"),
        (
            'include { stage: "a" } include { not_stage: "b" phase: TRAIN }',
            'only with stage "a" or in TRAIN without stage "b"',
        ),
        ("exclude { phase: TRAIN } exclude { phase: TEST }", "not in TEST"),
        ("exclude { }", "never"),
    ],
)
def test_a_blob_of_a_layer_that_is_left_out_says_when_it_is_there(rule: str, says: str) -> None:
    net = f"""layer {{ name: "in" type: "Input" top: "data" }}
layer {{ name: "y" type: "Power" bottom: "data" top: "x" {rule} }}
layer {{ name: "a" type: "Power"
  bottom: "x" top: "own" }}
"""
    with pytest.raises(NetError) as caught:
        caffe.Net(source(net), caffe.TEST)
    assert str(caught.value) == (
        'net:4:11: layer "a" (Power): unknown bottom "x" (bottom index 0); '
        f'blob "x" is produced by layer "y" (net:2:1) {says}'
    )


def test_a_blob_of_two_layers_that_are_left_out_names_both() -> None:
    net = """layer { name: "in" type: "Input" top: "data" }
layer { name: "y" type: "Power" bottom: "data" top: "x" include { phase: TRAIN } }
layer { name: "z" type: "Power" bottom: "data" top: "x" include { stage: "s" } }
layer { name: "a" type: "Power" bottom: "x" top: "own" }
"""
    nodes = source(net).nodes
    state = caffe_pb2.NetState(phase=caffe_pb2.TEST)
    with pytest.raises(NetError, match=r'"y" .* only in TRAIN and .* "z" .* only with stage "s"'):
        insert_splits(select(nodes, state), left_out(nodes, state))
