from __future__ import annotations

import pytest

from caffe_lite.blob import Shape
from caffe_lite.errors import NetError
from caffe_lite.layers.base import Layer
from caffe_lite.net.passes.learnable import Learnable, collect
from tests.net import source


class Given(Layer):
    """Its blobs' shapes, and whether they learn, are set by the test."""


def collected(
    prototxt: str, *shapes: list[Shape], fixed: bool = False
) -> tuple[tuple[Learnable, ...], list[Layer]]:
    nodes = source(prototxt).nodes
    layers: list[Layer] = []
    for node, own in zip(nodes, shapes, strict=True):
        layer = Given(node.param)
        for shape in own:
            layer.blobs.add_blob(*shape)
        layer.learnable = [not fixed] * len(own)
        layers.append(layer)
    return collect(nodes, layers), layers


def test_multipliers_are_one_unless_given() -> None:
    found, _ = collected(
        'layer { name: "a" type: "T" param { lr_mult: 2 } }\n'
        'layer { name: "b" type: "T" param { } param { lr_mult: 0.5 decay_mult: 0 } }',
        [(3, 2), (3,)],
        [(4, 3), (4,)],
    )
    assert [(p.layer, p.index, p.lr_mult, p.decay_mult) for p in found] == [
        ("a", 0, 2, 1),
        ("a", 1, 1, 1),
        ("b", 0, 1, 1),
        ("b", 1, 0.5, 0),
    ]


def test_sharers_use_the_owners_memory_for_values_and_gradients() -> None:
    found, (a, b) = collected(
        'layer { name: "a" type: "T" param { name: "w" } }\n'
        'layer { name: "b" type: "T" param { name: "w" lr_mult: 3 } param { name: "own" } }',
        [(3, 2)],
        [(3, 2), (3,)],
    )
    assert [(p.layer, p.index, p.label, p.lr_mult) for p in found] == [
        ("a", 0, "w", 3),
        ("b", 1, "own", 1),
    ]
    a.blobs[0].data[1, 1] = 5
    b.blobs[0].diff[2, 0] += 2
    a.blobs[0].diff[2, 0] += 1
    assert b.blobs[0].data[1, 1] == 5
    assert b.blobs[0].diff[2, 0] == 3


def test_permissive_sharing_wants_only_as_many_numbers() -> None:
    net = (
        'layer { name: "a" type: "T" param { name: "w" } }\n'
        'layer { name: "b" type: "T" param { name: "w" share_mode: PERMISSIVE } }'
    )
    _, (a, b) = collected(net, [(3, 4)], [(2, 6)])
    a.blobs[0].data[2, 3] = 7
    assert b.blobs[0].data[1, 5] == 7
    with pytest.raises(
        NetError, match=r"\(2, 5\) must have as many elements as that one's \(3, 4"
    ):
        collected(net, [(3, 4)], [(2, 5)])


def test_statistics_do_not_learn() -> None:
    found, _ = collected('layer { name: "a" type: "T" }', [(3,), (1,)], fixed=True)
    assert [(p.lr_mult, p.decay_mult) for p in found] == [(0, 1), (0, 1)]


@pytest.mark.parametrize(
    ("second", "shape", "says"),
    [
        ('param { name: "w" }', (4, 2), r'^net:2:\d+: layer "b" .* must have the shape of'),
        (
            'param { name: "w" lr_mult: 3 }',
            (3, 2),
            r'lr_mult 3 of shared "w" contradicts 2 of layer "a" \(net:1:\d+\)',
        ),
        ("param { } param { }", (3, 2), "2 param messages for 1 parameters; remove 1"),
    ],
)
def test_contradictions_are_refused_with_both_places(second: str, shape: Shape, says: str) -> None:
    with pytest.raises(NetError, match=says):
        collected(
            'layer { name: "a" type: "T" param { name: "w" lr_mult: 2 } }\n'
            f'layer {{ name: "b" type: "T" {second} }}',
            [(3, 2)],
            [shape],
        )


def test_moving_statistics_is_refused() -> None:
    with pytest.raises(NetError, match=r"lr_mult is 1, but these are statistics"):
        collected('layer { name: "a" type: "T" param { lr_mult: 1 } }', [(3,)], fixed=True)
