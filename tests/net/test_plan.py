"""plan.py on tables alone: no arrays, no layers."""

from __future__ import annotations

import pytest

from caffe_lite.errors import NetError
from caffe_lite.layers.loss import EuclideanLoss
from caffe_lite.net.passes.plan import Needs, needs_of, plan_backward
from caffe_lite.net.passes.wiring import Wires
from tests.net import source


def wires(*layers: tuple[tuple[int, ...], tuple[int, ...]]) -> Wires:
    """Blobs numbered by hand: (bottoms, tops) of each layer."""
    count = 1 + max(blob for layer in layers for side in layer for blob in side)
    bottoms, tops = zip(*layers)
    return Wires(tuple(f"b{i}" for i in range(count)), tuple(bottoms), tuple(tops), (), ())


# data -> (0 data, 1 label); learn 0 -> 2; neuron 2 -> 2; learn 2 -> 3; loss (3, 1) -> 4
CHAIN = wires(((), (0, 1)), ((0,), (2,)), ((2,), (2,)), ((2,), (3,)), ((3, 1), (4,)))
DATA = Needs()
LEARNS = Needs(lr_mults=(1.0, 2.0))
FROZEN = Needs(lr_mults=(0.0, 0.0))
LOSS = Needs(loss=(True,), no_gradient=(1,))


def test_gradients_stop_above_the_data() -> None:
    plan = plan_backward(CHAIN, [DATA, LEARNS, Needs(), LEARNS, LOSS])
    assert plan.layers == (False, True, True, True, True)
    assert plan.bottoms == ((), (False,), (True,), (True,), (True, False))


def test_frozen_lower_layers_get_no_gradient() -> None:
    plan = plan_backward(CHAIN, [DATA, FROZEN, Needs(), LEARNS, LOSS])
    assert plan.layers == (False, False, False, True, True)
    assert plan.bottoms[3] == (False,)
    assert plan.params == ((), (False, False), (), (True, True), ())


def test_half_frozen_layer_still_runs() -> None:
    plan = plan_backward(CHAIN, [DATA, Needs(lr_mults=(0.0, 1.0)), Needs(), FROZEN, LOSS])
    assert plan.layers == (False, True, True, True, True)
    assert plan.params[1] == (False, True)


def test_a_branch_that_reaches_no_loss_is_left_out() -> None:
    # 0 -> learn -> 1 -> split (2, 3); 2 -> loss; 3 -> learn -> 4, which nobody uses
    net = wires(((), (0,)), ((0,), (1,)), ((1,), (2, 3)), ((2, 0), (5,)), ((3,), (4,)))
    plan = plan_backward(net, [DATA, LEARNS, Needs(), LOSS, LEARNS])
    assert plan.layers == (False, True, True, True, False)


def test_propagate_down_false_cuts_what_lies_below() -> None:
    cut = Needs(lr_mults=(1.0,), propagate_down=(False,))
    plan = plan_backward(CHAIN, [DATA, LEARNS, Needs(), cut, LOSS])
    assert plan.layers == (False, False, False, True, True)


def test_propagate_down_true_asks_for_the_gradient_of_data() -> None:
    wanted = Needs(lr_mults=(1.0,), propagate_down=(True,))
    plan = plan_backward(CHAIN, [DATA, wanted, Needs(), LEARNS, LOSS])
    assert plan.bottoms[1] == (True,)


def test_without_a_loss_nothing_goes_backward() -> None:
    plan = plan_backward(CHAIN, [DATA, LEARNS, Needs(), LEARNS, Needs()])
    assert not any(plan.layers)


def test_force_backward_asks_for_all_gradients_that_exist() -> None:
    loss = Needs(loss=(False,), no_gradient=(1,))
    count = Needs(differentiable=False)
    net = wires(((), (0, 1)), ((0,), (2,)), ((2, 1), (3,)), ((2,), (4,)))
    plan = plan_backward(net, [DATA, FROZEN, loss, count], force=True)
    assert plan.layers == (True, True, True, False)
    assert plan.bottoms == ((), (True,), (True, False), (False,))
    assert plan.params[1] == (True, True)


def test_force_backward_leaves_what_is_asked_for() -> None:
    """What `propagate_down` asks for stays, also where there is none: running it tells."""
    loss = Needs(loss=(True,), no_gradient=(1,), propagate_down=(True, True))
    count = Needs(differentiable=False)
    net = wires(((), (0, 1)), ((0,), (2,)), ((2, 1), (3,)), ((2,), (4,)))
    plan = plan_backward(net, [DATA, LEARNS, loss, count], force=True)
    assert plan.bottoms == ((), (True,), (True, True), (False,))
    assert plan.layers == (True, True, True, False)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", ()),
        ("propagate_down: true propagate_down: false", (True, False)),
        ("propagate_down: false propagate_down: false", (False, False)),
        ("propagate_down: true", "1 propagate_down values for 2 bottoms"),
        ("propagate_down: [true, true, true]", "3 propagate_down values for 2 bottoms"),
    ],
)
def test_values_for_all_bottoms_or_none(given: str, wanted: tuple[bool, ...] | str) -> None:
    text = f'layer {{ name: "l" type: "EuclideanLoss" bottom: "a" bottom: "b" {given} }}'
    (node,) = source(text).nodes
    layer = EuclideanLoss(node.param)
    if isinstance(wanted, str):
        with pytest.raises(NetError, match=wanted):
            needs_of(node, layer)
    else:
        assert needs_of(node, layer).propagate_down == wanted


@pytest.mark.parametrize("weight", [True, False])
def test_any_top_may_be_a_loss(weight: bool) -> None:
    net = wires(((), (0,)), ((0,), (1, 2)))
    plan = plan_backward(net, [DATA, Needs(lr_mults=(1.0,), loss=(False, weight))])
    assert plan.layers == (False, weight)
