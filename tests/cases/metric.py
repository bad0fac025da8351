"""Cases of CenterLoss and InnerDistance."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, integers
from tests.oracles import metric as oracle

X, LABELS = (6, 2, 3), (6,)


def center(config, power=2, shape=X, labels=LABELS):
    """Its centers are moved by a rule: see tests/kernels/test_metric.py."""
    return Case(
        "CenterLoss",
        [shape, labels],
        f"center_loss_param {{ num_output: 4 {config} }}",
        lambda x, label, centers: oracle.center_loss(x, label, centers, power),
        draw={1: integers(4)},
        param_gradient=(),
    )


def distance(config, power=2, shape=X, lead=1, k=6, **more):
    def expect(x, w):
        y = oracle.inner_distance(x.reshape(-1, k), w.reshape(-1, k), power)
        return y.reshape(*shape[:lead], -1)

    more.setdefault("bottoms", [shape])
    return Case(
        "InnerDistance", config=f"inner_distance_param {{ {config} }}", expect=expect, **more
    )


CASES = [
    center(""),
    center('distance_type: "L2" axis: 2', shape=(3, 2, 5), labels=(3, 2)),
    center('distance_type: "L1"', 1),
    distance("num_output: 4"),
    distance('num_output: 4 distance_type: "L1" axis: 2', 1, lead=2, k=3),
    distance("num_output: 4 transpose: true"),
    distance("", bottoms=[X, (5, 3, 2)]),
    Case(
        "InnerDistance",
        [X],
        "inner_distance_param { num_output: 4 normalize: true }",
        lambda x, w: oracle.inner_distance(x.reshape(6, 6), oracle.unit(w)),
        param_gradient=(),
        params_after=lambda x, w: [oracle.unit(w)],
    ),
    # the weights' gradient is left out for other classes: tests/kernels/test_metric.py
    Case(
        "InnerDistance",
        [X, LABELS],
        "inner_distance_param { num_output: 4 update_center_only: true }",
        lambda x, _, w: oracle.inner_distance(x.reshape(6, 6), w),
        draw={1: integers(4)},
        param_gradient=(),
    ),
    Case(
        "InnerDistance",
        [X, (4, 6), LABELS],
        "inner_distance_param { update_center_only: true }",
        lambda x, w, _: oracle.inner_distance(x.reshape(6, 6), w),
        draw={2: integers(4)},
        gradient=(0,),
    ),
]


def not_center(config, at, says, bottoms=(X, LABELS), **more):
    return Refusal("CenterLoss", bottoms, f"center_loss_param {{ {config} }}", at, says, **more)


def not_distance(config, at, says, bottoms=(X,), **more):
    config = f"inner_distance_param {{ {config} }}"
    return Refusal("InnerDistance", bottoms, config, at, says, **more)


CENTERS = "update_center_only: true"

REFUSALS = [
    not_center("", "num_output", "1 or more, not 0"),
    not_center('num_output: 3 distance_type: "L3"', "distance_type", 'L1 or L2, not "L3"'),
    not_center("num_output: 3", ".bottom[1]", "5 labels .* for 6 items", (X, (5,))),
    not_center("num_output: 3", ".bottom[1]", "not one of the 3", draw={1: integers(9, 3)}),
    not_distance("", "num_output", "1 or more, not 0"),
    not_distance('num_output: 3 distance_type: "l2"', "distance_type", 'not "l2"'),
    not_distance("", ".bottom[1]", r"\(4, 5\) must have rows of 6 numbers", (X, (4, 5))),
    not_distance("", ".bottom", "not 3 bottoms", (X, (4, 6), LABELS)),
    not_distance(CENTERS, ".bottom", "not 1 bottoms"),
    not_distance(f"{CENTERS} num_output: 3", ".bottom[1]", "5 labels", (X, (5,))),
    not_distance(
        f"{CENTERS} num_output: 3",
        ".bottom[1]",
        "not one of the 3",
        (X, LABELS),
        draw={1: lambda rng, shape: np.full(shape, 3.0)},
    ),
]
