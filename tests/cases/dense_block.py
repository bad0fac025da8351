"""Cases of the dense block."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, uniform
from tests.oracles import dense_block as oracle

X = (3, 4, 5, 6)
FILLERS = 'Filter_Filler { type: "msra" } BN_Scaler_Filler { type: "constant" value: 1 }'


def case(count, growth, config="", bottleneck=False, phase="TRAIN", **more):
    train, fraction = phase == "TRAIN", more.pop("fraction", 0.1)
    run = oracle.block(count, bottleneck, train, fraction)
    kinds = 10 if bottleneck else 5
    variances = [k * count + i for k in (4, 9)[: kinds // 5] for i in range(count)]
    sizes = f"numTransition: {count} growthRate: {growth}"
    switch = "use_BC: true" if bottleneck else ""
    return Case(
        "DenseBlock",
        [X],
        f"denseblock_param {{ {sizes} {switch} {config} {FILLERS} }}",
        expect=lambda x, *params: run(x, *params)[0],
        params={index: uniform(0.5, 2) for index in variances},
        params_after=(lambda x, *params: run(x, *params)[1]) if train else None,
        phase=phase,
        **more,
    )


CASES = [
    case(3, 2),
    case(2, 3, "moving_average_fraction: 0.75", fraction=0.75),
    case(2, 2, bottleneck=True),
    case(2, 3, phase="TEST"),
    case(2, 2, "use_dropout: true dropout_amount: 0.3", bottleneck=True, phase="TEST"),
    Case(
        "DenseBlock",
        [X],
        "denseblock_param { numTransition: 2 growthRate: 3 use_dropout: true dropout_amount: 0.4"
        " }",
        random=True,
    ),
]


def refused(config, at, says, shape=X):
    return Refusal("DenseBlock", [shape], f"denseblock_param {{ {config} }}", at=at, says=says)


REFUSALS = [
    refused("", ".bottom[0]", r"\(N, C, H, W\), not \(2, 3\)", (2, 3)),
    refused("numTransition: 0", "numTransition", "positive, not 0"),
    refused("growthRate: -3", "growthRate", "positive, not -3"),
    refused("dropout_amount: 1", "dropout_amount", "less than 1, not 1"),
]
