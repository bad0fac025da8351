"""Cases of SoftmaxWithLoss."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, given, integers, uniform
from tests.oracles import softmax_loss as oracle

SPATIAL = [(2, 5, 3, 4), (2, 1, 3, 4)]
LABELS = {1: integers(5)}
WEIGHTS = [0.3, 1.7, 1.0, 2.5, 0.6]


def softmax_case(config, bottoms=SPATIAL, probabilities=False, **settings):
    return Case(
        "SoftmaxWithLoss",
        bottoms,
        config,
        expect=lambda x, t: oracle.softmax_with_loss(
            x, t, probabilities=probabilities, **settings
        ),
        tops=2 if probabilities else 1,
        draw=LABELS,
    )


def weighted(config, bottoms, **settings):
    return Case(
        "SoftmaxWithLoss",
        bottoms,
        config,
        expect=lambda x, t, *w: oracle.weighted(x, t, *w, **settings),
        draw={**LABELS, 2: uniform(0.2, 2)},
    )


SEGNET = f"loss_param {{ weight_by_label_freqs: true class_weighting: {WEIGHTS} IGNORE }}"
HAPPYNEAR = f"softmax_param {{ class_weight: {WEIGHTS} }}"
SAMPLES = [(4, 5, 3), (4, 1, 3), (4, 3)]

CASES = [
    softmax_case("", [(6, 5), (6,)]),
    softmax_case("", [(3, 5), (3, 1, 1, 1)], probabilities=True),
    softmax_case(""),
    softmax_case("loss_weight: 2.5"),
    softmax_case("loss_param { ignore_label: 2 }", ignore=2),
    softmax_case(
        "loss_param { ignore_label: 1 normalization: FULL }", ignore=1, normalization="FULL"
    ),
    softmax_case(
        "loss_param { ignore_label: 1 normalization: BATCH_SIZE normalize: true }",
        ignore=1,
        normalization="BATCH_SIZE",
    ),
    softmax_case("loss_param { normalization: NONE }", normalization="NONE"),
    softmax_case("loss_param { normalize: false }", normalization="BATCH_SIZE"),
    Case(
        "SoftmaxWithLoss",
        SPATIAL,
        "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 7.5 }",
        expect=lambda x, t: oracle.softmax_with_loss(x, t, normalization="NONE") / 7.5,
        draw=LABELS,
    ),
    softmax_case("loss_param { normalize: true ignore_label: 3 }", ignore=3),
    softmax_case("softmax_param { axis: -1 }", [(2, 3, 5), (2, 3)], axis=2, probabilities=True),
    Case(
        "SoftmaxWithLoss",
        [(2, 5), (2,)],
        "loss_param { ignore_label: -1 }",
        expect=lambda x, t: 0.0,
        draw={1: integers(0, low=-1)},
    ),
    weighted("", SAMPLES),
    weighted("", [(7, 5), (7,), (7, 1)]),
    weighted(
        "loss_param { ignore_label: 3 normalization: BATCH_SIZE }",
        SAMPLES,
        ignore=3,
        normalization="BATCH_SIZE",
    ),
    weighted(HAPPYNEAR + " loss_param { ignore_label: 1 }", SAMPLES, of_class=WEIGHTS, ignore=1),
    softmax_case(HAPPYNEAR),  # without sample weights it has no effect
    weighted(SEGNET.replace("IGNORE", ""), SPATIAL, counted=WEIGHTS),
    weighted(
        SEGNET.replace("IGNORE", "ignore_label: 2 normalize: false"),
        SPATIAL,
        counted=WEIGHTS,
        ignore=2,
        normalization="BATCH_SIZE",
    ),
    weighted(SEGNET.replace("IGNORE", "ignore_label: 0"), SAMPLES, counted=WEIGHTS, ignore=0),
    weighted(f"loss_param {{ class_weighting: {WEIGHTS} }}", SPATIAL),
]

REFUSALS = [
    Refusal(
        "SoftmaxWithLoss", [(4, 5), (3,)], "", at=".bottom[1]", says="as many items as the pred"
    ),
    Refusal(
        "SoftmaxWithLoss", [(4, 5, 2), (4,)], "", at=".bottom[1]", says="4 labels .* for 8 items"
    ),
    Refusal(
        "SoftmaxWithLoss",
        [(4, 5), (4,)],
        "softmax_param { axis: 3 }",
        at="axis",
        says="axis 3 is out of range",
    ),
    Refusal(
        "SoftmaxWithLoss",
        [(3, 5), (3,)],
        "",
        at=".bottom[1]",
        says="label 5 of item 1 is not one of the 5 classes 0 to 4",
        draw={1: given(0, 5, 1)},
    ),
    Refusal(
        "SoftmaxWithLoss",
        [(3, 5), (3,)],
        "loss_param { ignore_label: 255 }",
        at=".bottom[1]",
        says="label -1 of item 2",
        draw={1: given(0, 255, -1)},
    ),
    Refusal(
        "SoftmaxWithLoss",
        [(2, 5), (2,)],
        "",
        at=".bottom[1]",
        says="label nan of item 0",
        draw={1: given(float("nan"), 0)},
    ),
    Refusal(
        "SoftmaxWithLoss",
        [(4, 5), (4,), (3,)],
        "",
        at=".bottom[2]",
        says="3 weights .* for 4 labels",
    ),
    Refusal(
        "SoftmaxWithLoss",
        [(4, 6), (4,)],
        HAPPYNEAR,
        at="class_weight",
        says="5 class_weight values for 6 classes",
    ),
    Refusal(
        "SoftmaxWithLoss",
        [(4, 5), (4,)],
        "loss_param { weight_by_label_freqs: true }",
        at=".loss_param.class_weighting",
        says="0 class_weighting values for 5 classes",
    ),
]
