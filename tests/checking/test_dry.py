"""A net that is built without data is the net that `Net` builds."""

from __future__ import annotations

import pytest

import caffe_lite as caffe
from caffe_lite.checking.dry import look
from caffe_lite.net.dry import UnknownType
from caffe_lite.net.passes import rules
from tests.net import source
from tools.bench import nets


def texts() -> dict[str, str]:
    found = {name: nets.prototxt(name, 2, train=True) for name in ("lenet", "squeezenet")}
    return {**found, "googlenet": nets.prototxt("googlenet", 1, train=False)}


@pytest.mark.parametrize("name", ["lenet", "squeezenet", "googlenet"])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_shapes_and_plan_are_those_of_the_net(name, phase, monkeypatch):
    monkeypatch.setattr("caffe_lite.fillers.fill", lambda *_: None)
    text = texts()[name]
    net = caffe.Net(source(text), phase)
    view = look(source(text), rules.state_of(source(text).param.state, phase, 0, ()))
    assert view.refusals == []
    assert [node.name for node in view.net.nodes] == [node.name for node in net.nodes]
    assert [blob.shape for blob in view.net.blobs] == [blob.shape for blob in net.blob_list]
    assert view.plan == net.plan
    ours = [(each.layer, each.index, each.lr_mult, each.blob.shape) for each in view.learnable]
    theirs = [(each.layer, each.index, each.lr_mult, each.blob.shape) for each in net.learnable]
    assert ours == theirs
    assert all(view.nodes[i].name == view.net.nodes[p].name for i, p in enumerate(view.places))
    before = {id(blob.data_memory) for layer in net.layers for blob in layer.blobs}
    assert len(before) == len({id(each.blob.data_memory) for each in view.learnable})


def test_nothing_is_allocated_for_values():
    text = nets.prototxt("lenet", 2, train=True)
    view = look(source(text), rules.state_of(source(text).param.state, caffe.TRAIN, 0, ()))
    links = view.links or []
    assert all(blob.data_memory.array.size == 0 for link in links for blob in link.layer.blobs)
    assert all(blob.data_memory.array.size == 0 for link in links for blob in link.top)


WRONG = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "a" type: "InnerProduct" bottom: "y" top: "a" inner_product_param { num_output: 3 } }
layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" inner_product_param { num_output: 0 } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c" inner_product_param { num_output: 3 } }
layer { name: "d" type: "Nothing" bottom: "x" top: "d" }
layer { name: "e" type: "InnerProduct" bottom: "x" top: "e" inner_product_param { num_output: 4 } }
layer { name: "f" type: "ReLU" bottom: "e" top: "c" }
layer { name: "g" type: "Concat" bottom: "g" top: "g" }
"""


def test_all_that_is_wrong_is_noted_and_the_rest_is_built():
    view = look(source(WRONG), rules.state_of(source(WRONG).param.state, caffe.TEST, 0, ()))
    found = {(rule, error.subject.split('"')[1]) for rule, error in view.refusals}
    assert found == {
        ("unknown-bottom", "a"),
        ("invalid-layer", "b"),
        ("unknown-type", "d"),
        ("duplicate-top", "f"),
        ("unknown-bottom", "g"),
        ("invalid-layer", "g"),
    }
    built = {node.name for i, node in enumerate(view.nodes) if view.layer(i) is not None}
    assert built == {"in", "e", "f"}
    assert view.cls(4) is UnknownType
    assert not view.is_known
    assert view.links is None
