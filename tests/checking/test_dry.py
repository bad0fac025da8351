"""A net that is built without data is the net that `Net` builds."""

from __future__ import annotations

import pytest

import caffe_lite as caffe
from caffe_lite.checking.dry import View, look
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


# -- what a view says --------------------------------------------------------------------------

STATES = """
layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 2 dim: 5 } shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 3 } }
layer { name: "t" type: "TanH" bottom: "a" top: "a" }
layer { name: "late" type: "ReLU" bottom: "a" top: "late" include { phase: TEST } }
layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "y" top: "loss" LOSS }
layer { name: "sum" type: "Reduction" bottom: "a" top: "sum" SUM }
"""


def seen(text: str, phase: int = caffe.TRAIN, **more: object) -> View:
    where = source(text)
    return look(where, rules.state_of(where.param.state, phase, 0, ()), **more)


@pytest.mark.parametrize(
    ("loss", "total", "weights", "losses"),
    [
        ("", "", [[1], []], [3]),
        ("loss_weight: 2", "loss_weight: 3", [[2], [3]], [3, 4]),
        ("loss_weight: 0", "", [[0], []], []),
        ("loss_weight: 0", "loss_weight: -1", [[0], [-1]], [4]),
    ],
)
def test_losses_are_layers_with_a_weight(loss, total, weights, losses):
    view = seen(STATES.replace("LOSS", loss).replace("SUM", total))
    assert [view.loss_weights(index) for index in (3, 4)] == weights
    assert view.losses == losses
    assert view.goes_backward(1) == bool(losses)
    assert not view.goes_backward(0)
    assert view.is_known


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_view_has_the_layers_of_its_phase(phase):
    view = seen(STATES.replace("LOSS", "").replace("SUM", ""), phase)
    assert view.phase == ("TRAIN", "TEST")[phase]
    assert view.training == (phase == caffe.TRAIN)
    names = ["in", "a", "t", *["late"] * phase, "loss", "sum"]
    assert [node.name for node in view.nodes] == names
    assert [node.name for node, _ in view.left_out] == ["late"] * (1 - phase)
    for index, node in enumerate(view.nodes):
        assert view.layer(index).type == view.cls(index).__name__ == node.type
    assert len(view.links) == len(names) + 1  # "a" is read by several, through a Split


def test_who_reads_what():
    view = seen(STATES.replace("LOSS", "").replace("SUM", "") + 'layer { name: "wrong" type: '
                '"TanH" bottom: "gone" top: "gone" }')  # fmt: skip
    assert view.wires.sources == [
        [], [(0, 0)], [(1, 0)], [(2, 0), (0, 1)], [(2, 0)], [None],
    ]  # fmt: skip
    assert view.wires.readers == {
        (0, 0): [(1, 0)], (0, 1): [(3, 1)], (1, 0): [(2, 0)], (2, 0): [(3, 0), (4, 0)],
        (3, 0): [], (4, 0): [], (5, 0): [],
    }  # fmt: skip
    assert [rule for rule, _ in view.refusals] == ["unknown-bottom"]
    assert view.layer(4) is not None
    assert view.layer(5) is None
    assert view.links is None


def test_a_net_without_layers_is_nothing():
    view = seen('name: "n"')
    assert (view.nodes, view.net, view.links, view.losses) == ([], None, None, [])
    assert not view.is_known


DATA = """layer { name: "d" type: "Data" top: "x" top: "y"
  data_param { source: "no" batch_size: 2 } }
"""
AFTER = 'layer { name: "t" type: "TanH" bottom: "x" top: "t" }'


def test_shapes_of_data_that_are_not_here():
    view = seen(DATA + AFTER)
    assert [rule for rule, _ in view.refusals] == ["unknown-shape"]
    assert "give it: -input-shape x=N,C,H,W" in str(view.refusals[0][1])
    assert view.links is None
    for given in ({"x": (2, 3, 5, 4)}, {"": (2, 3, 5, 4)}, {"x": (2, 3, 5, 4), "": (7, 7)}):
        view = seen(DATA + AFTER, given=given)
        assert view.refusals == []
        assert view.link(1).top[0].shape == (2, 3, 5, 4)
    view = seen(DATA + AFTER, given={"t": (2, 3)})
    assert view.links is None
    crop = DATA.replace("data_param", "transform_param { crop_size: 6 } data_param")
    view = seen(crop + AFTER)
    assert view.refusals == []
    assert view.link(1).top[0].shape == (2, 3, 6, 6)  # of three channels


def test_a_python_layer_is_run_only_if_that_is_allowed():
    python = DATA.replace('"Data"', '"Python"').replace("data_param", "python_param").replace(
        'source: "no" batch_size: 2', 'module: "gone" layer: "X"')  # fmt: skip
    view = seen(python + AFTER)
    assert [rule for rule, _ in view.refusals] == ["python-layer"]
    view = seen(python + AFTER, given={"x": (2, 3)})
    assert view.refusals == []
    assert view.link(1).top[0].shape == (2, 3)
    view = seen(python + AFTER, given={"y": (2, 3)})
    assert [rule for rule, _ in view.refusals] == ["python-layer"]
    view = seen(python + AFTER, python_layers=True)
    assert [rule for rule, _ in view.refusals] == ["invalid-layer"]


def test_what_a_layer_needs_is_told_by_its_class_where_shapes_are_unknown():
    """The plan of a net is the same with and without them."""
    layers = """
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" PARAMS
      inner_product_param { num_output: 3 } }
    layer { name: "t" type: "TanH" bottom: "a" top: "t" }
    layer { name: "b" type: "InnerProduct" bottom: "t" top: "b"
      inner_product_param { num_output: 3 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "y" top: "l" LOSS }
    layer { name: "top" type: "ArgMax" bottom: "b" top: "most" }
    layer { name: "sum" type: "Reduction" bottom: "t" top: "sum" loss_weight: SUM }
    """
    known = """layer { name: "d" type: "Input" top: "x" top: "y"
      input_param { shape { dim: 2 dim: 5 } shape { dim: 2 } } }"""
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    plans = []
    for params in ("", frozen, "param { lr_mult: 0 } param { lr_mult: 1 }"):
        for loss in ("", "loss_weight: 0", "propagate_down: false propagate_down: false"):
            total = "1" if loss == "loss_weight: 0" else "0"
            text = layers.replace("PARAMS", params).replace("LOSS", loss).replace("SUM", total)
            with_shapes, without = seen(known + text), seen(DATA + text)
            assert without.links is None
            assert without.plan.layers == with_shapes.plan.layers
            assert without.plan.bottoms == with_shapes.plan.bottoms
            plans.append(with_shapes.plan.layers)
    assert len({tuple(each) for each in plans}) == 4
