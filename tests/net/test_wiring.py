from __future__ import annotations

import pytest

from caffe_lite.errors import CaffeError
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.net.passes.wiring import connect
from tests.net import source


class InPlace(Layer):
    in_place = True


class Pair(Loss):
    tops = (2, 2)


CLASSES = {"InPlace": InPlace, "Loss": Loss, "Pair": Pair}


def wire(prototxt: str):  # type: ignore[no-untyped-def]
    nodes = source(prototxt).nodes
    return connect(nodes, [CLASSES.get(node.type, Layer) for node in nodes])


def test_names_become_numbers_and_in_place_keeps_one() -> None:
    wires = wire(
        """
        layer { name: "in" type: "Input" top: "x" top: "label" }
        layer { name: "ip" type: "IP" bottom: "x" top: "y" }
        layer { name: "relu" type: "InPlace" bottom: "y" top: "y" }
        layer { name: "loss" type: "Loss" bottom: "y" bottom: "label" top: "loss" }
        """
    )
    assert wires.blobs == ("x", "label", "y", "loss")
    assert wires.bottoms == ((), (0,), (2,), (2, 1))
    assert wires.tops == ((0, 1), (2,), (2,), (3,))
    assert [wires.in_place(layer, 0) for layer in range(4)] == [False, False, True, False]
    assert wires.inputs == (0, 1)


def test_outputs_are_in_alphabetical_order() -> None:
    wires = wire(
        """
        layer { name: "in" type: "Input" top: "x" }
        layer { name: "b" type: "A" bottom: "x" top: "zebra" top: "apple" top: "mid" }
        layer { name: "c" type: "A" bottom: "mid" }
        """
    )
    assert [wires.blobs[i] for i in wires.outputs] == ["apple", "zebra"]


def test_losses_without_named_tops_get_automatic_ones() -> None:
    wires = wire(
        """
        layer { name: "in" type: "Input" top: "x" top: "label" }
        layer { name: "loss" type: "Pair" bottom: "x" bottom: "label" top: "loss" }
        """
    )
    assert wires.blobs == ("x", "label", "loss", "(automatic)")
    assert wires.tops[1] == (2, 3)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (
            'layer { name: "b" type: "A" bottom: "x" top: "y" }\n'
            'layer { name: "c" type: "A" bottom: "x" top: "y" }',
            r'net:3:\d+: layer "c" \(A\): top "y" is produced by layer "b" at line 2',
        ),
        (
            'layer { name: "b" type: "InPlace" bottom: "x" bottom: "x" top: "y" top: "y" }',
            r'net:2:\d+: layer "b" \(InPlace\): top "y" is produced by layer "b" at line 2',
        ),
        (
            'layer { name: "b" type: "A" bottom: "x" top: "x" }',
            r'net:2:\d+: layer "b" \(A\): cannot work in place: top "x" is also its bottom',
        ),
    ],
)
def test_two_producers_and_wrong_in_place_are_located(layers: str, says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        wire('layer { name: "in" type: "Input" top: "x" }\n' + layers)
