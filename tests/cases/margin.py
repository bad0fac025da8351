"""Cases of class scores with a margin."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, integers
from tests.oracles import margin as oracle

X, LABELS = (5, 2, 3), (5,)
TYPES = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "QUADRUPLE": 4}


def sphere(kind, config="", shape=X, lead=1, **settings):
    """A MarginInnerProduct; with a margin its gradient is scaled: see tests/kernels."""
    blend = oracle.blend(**settings)

    def expect(x, label, w):
        y = oracle.margin_product(
            x.reshape(np.prod(shape[:lead]), -1), oracle.unit(w), label, TYPES[kind], blend
        )
        return y.reshape(*shape[:lead], 4), np.array([blend])

    return Case(
        "MarginInnerProduct",
        [shape, shape[:lead]],
        f"margin_inner_product_param {{ num_output: 4 type: {kind} {config} }}",
        expect,
        tops=2,
        draw={1: integers(4)},
        gradient=(0,) if kind == "SINGLE" else (),
        param_gradient=(),
        top_gradient=(0,),
        params_after=lambda x, label, w: [oracle.unit(w)],
    )


def large(kind, config="", weight_bottom=False, tops=1, **settings):
    blend = oracle.blend(**settings)

    def expect(x, label, w):
        w = w.reshape(len(w), -1)
        y = oracle.margin_product(x.reshape(len(x), -1), w, label, TYPES[kind], blend)
        return [y, np.array([blend])][:tops]

    return Case(
        "LargeMarginInnerProduct",
        [X, LABELS, (4, 6)] if weight_bottom else [X, LABELS],
        f"largemargin_inner_product_param {{ num_output: 4 type: {kind} {config} }}",
        expect,
        tops=tops,
        draw={1: integers(4)},
        top_gradient=(0,),
    )


def specific(config, bias, phase="TRAIN", shape=(6, 2, 2)):
    return Case(
        "LabelSpecificAdd",
        [shape, shape[:1]],
        f"label_specific_add_param {{ {config} }}",
        lambda x, label: oracle.add_to_own(x, label, bias) if phase == "TRAIN" else x,
        draw={1: integers(4)},
        phase=phase,
    )


def rescaled(config, phase="TRAIN", shape=(6, 2, 2), **settings):
    return Case(
        "LabelSpecificRescale",
        [shape, shape[:1]],
        f"label_specific_rescale_param {{ {config} }}",
        lambda x, label: oracle.rescale_own(x, label, **settings) if settings else x,
        draw={1: integers(4)},
        phase=phase,
    )


def shows_weight(config, weight, shape=(6, 4)):
    return Case(
        "LabelSpecificRescale",
        [shape, shape[:1]],
        f"label_specific_rescale_param {{ {config} }}",
        lambda x, label: (oracle.rescale_own(x, label, weight), np.array([weight])),
        draw={1: integers(4)},
        tops=2,
    )


CASES = [
    sphere("SINGLE"),
    sphere("DOUBLE", "base: 3 lambda_min: 4", base=3, least=4),
    sphere("TRIPLE", "base: 1.5", base=1.5),
    sphere("QUADRUPLE", "base: 0.5 axis: 2", lead=2, base=0.5),
    large("SINGLE"),
    large("DOUBLE", "base: 1.5", tops=2, base=1.5),
    large("TRIPLE", "lambda_min: 2", tops=2, least=2),
    large("QUADRUPLE", weight_bottom=True),
    large("SINGLE", weight_bottom=True),
    specific("bias: -0.35", np.float32(-0.35)),
    specific("bias: 0.5", 0.5),
    specific("bias_base: 0.25 bias_max: 2", 0.25),
    specific("bias: 0.5 transform_test: true", 0.5, "TEST"),
    rescaled("positive_weight: 0.5 negative_weight: 1.5", weight=0.5, others=1.5),
    rescaled("positive_weight: 0.5 for_ip: true", weight=0.5, only_positive=True),
    rescaled("positive_weight: 0.25 bias_fix: true", weight=0.25, fixed=True),
    rescaled("positive_weight: 1.5 power_on_positive: true", weight=1.5, power=True),
    rescaled("positive_weight: 0.5 negative_weight: 2", "TEST"),
    rescaled("positive_weight: 0.5 rescale_test: true", "TEST", weight=0.5),
    shows_weight("positive_weight_base: 2 positive_weight_max: 1.5", 1.5),
    shows_weight("positive_weight_base: 0.5 positive_weight_min: 0.75", 0.75),
    shows_weight("positive_weight: 3", 3.0),
]


def refused(config, at, says, bottoms=(X, LABELS), draw=None):
    config = f"margin_inner_product_param {{ {config} }}"
    return Refusal("MarginInnerProduct", bottoms, config, at, says, draw=draw or {})


def not_large(bottoms, at, says):
    config = "largemargin_inner_product_param { num_output: 4 }"
    return Refusal("LargeMarginInnerProduct", bottoms, config, at, says)


REFUSALS = [
    refused("", "num_output", "1 or more, not 0"),
    refused("num_output: 4 axis: 3", "axis", "out of range"),
    refused("num_output: 4", ".bottom[1]", r"4 labels \(4,\) for 5 items", (X, (4,))),
    refused("num_output: 4", ".bottom[1]", "not one of the 4 classes", draw={1: integers(9, 4)}),
    not_large([X, LABELS, (4, 7)], ".bottom[2]", r"\(4, 7\) must have 6 numbers"),
    not_large([X, LABELS, ()], ".bottom[2]", "must have 6 numbers"),
    Refusal("LabelSpecificRescale", [(), (1,)], "", ".bottom[0]", "needs items"),
    Refusal("LabelSpecificRescale", [(3, 4), (4,)], "", ".bottom[1]", "4 labels .* for 3 items"),
    Refusal("LabelSpecificAdd", [(), (1,)], "", ".bottom[0]", "needs items"),
    Refusal("LabelSpecificAdd", [(3, 4), (4,)], "", ".bottom[1]", "4 labels .* for 3 items"),
    Refusal(
        "LabelSpecificAdd",
        [(3, 4), (3,)],
        "",
        ".bottom[1]",
        "label 7 .* 4 classes",
        draw={1: integers(8, 7)},
    ),
]
