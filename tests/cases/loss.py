"""Cases of the losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_lite.proto import caffe_pb2
from caffe_lite.testing import Case, Refusal, away_from, given, integers, uniform
from tests.oracles import loss as oracle

LABELS = {1: integers(5)}

GAIN = np.linspace(0.1, 1.3, 25).astype(np.float32).reshape(5, 5).astype(np.float64)


def write_gain(folder: Path) -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=5, width=5, data=GAIN.reshape(-1))
    (folder / "gain.binaryproto").write_bytes(blob.SerializeToString())


def infogain_case(config, bottoms, **settings):
    return Case(
        "InfogainLoss",
        bottoms,
        config,
        expect=lambda x, t, h: oracle.infogain(x, t, h, **settings),
        draw={**LABELS, 2: uniform(0.2, 1)},
        gradient=(0,),
    )


def sigmoid_case(config, probabilities=False, **settings):
    return Case(
        "SigmoidCrossEntropyLoss",
        [(3, 4, 2), (3, 8)],
        config,
        expect=lambda x, t: oracle.sigmoid_cross_entropy(
            x, t, probabilities=probabilities, **settings
        ),
        tops=2 if probabilities else 1,
        draw={1: integers(2)},
    )


CASES = [
    infogain_case("", [(6, 5), (6,), (1, 1, 5, 5)]),
    infogain_case(
        "infogain_loss_param { axis: 2 } loss_param { ignore_label: 4 normalization: FULL }",
        [(2, 3, 5, 4), (2, 3, 4), (25,)],
        axis=2,
        ignore=4,
        normalization="FULL",
    ),
    Case(
        "InfogainLoss",
        [(6, 5), (6,)],
        'infogain_loss_param { source: "{folder}/gain.binaryproto" }',
        expect=lambda x, t: oracle.infogain(x, t, GAIN, probabilities=True),
        tops=2,
        draw=LABELS,
        files=write_gain,
    ),
    sigmoid_case(""),
    sigmoid_case("loss_param { normalization: FULL }", normalization="FULL", probabilities=True),
    sigmoid_case(
        "loss_param { normalize: true ignore_label: 1 }", normalization="VALID", ignore=1
    ),
    sigmoid_case("loss_param { normalize: false ignore_label: 0 }", ignore=0),
    sigmoid_case("loss_param { normalization: NONE }", normalization="NONE"),
    Case(
        "SigmoidCrossEntropyLoss",
        [(4, 3), (4, 3)],
        expect=oracle.sigmoid_cross_entropy,
        draw={1: uniform(0, 1)},
    ),
    Case(
        "MultinomialLogisticLoss",
        [(6, 5), (6,)],
        expect=oracle.multinomial_logistic,
        draw={0: uniform(0.1, 1), **LABELS},
    ),
    Case(
        "HingeLoss",
        [(6, 5), (6, 1)],
        expect=oracle.hinge,
        draw={0: away_from(-1, 1), **LABELS},
    ),
    Case(
        "HingeLoss",
        [(3, 5, 1, 2), (3,)],
        "hinge_loss_param { norm: L2 }",
        expect=lambda x, t: oracle.hinge(x, t, "L2"),
        draw={0: away_from(-1, 1), 1: integers(10)},
    ),
    Case("EuclideanLoss", [(3, 4, 2), (3, 8)], expect=oracle.euclidean),
    Case("EuclideanLoss", [(5,), (5,)], "loss_weight: 0.5", expect=oracle.euclidean),
    Case(
        "ContrastiveLoss",
        [(6, 4), (6, 4, 1, 1), (6,)],
        "contrastive_loss_param { margin: 3.5 }",
        expect=lambda a, b, t: oracle.contrastive(a, b.reshape(a.shape), t, 3.5),
        draw={2: integers(2)},
        gradient=(),  # the gradient is not the derivative: see tests/kernels/test_loss.py
    ),
    Case(
        "ContrastiveLoss",
        [(7, 3), (7, 3), (7, 1)],
        "contrastive_loss_param { margin: 4 legacy_version: true }",
        expect=lambda a, b, t: oracle.contrastive(a, b, t, 4.0, legacy=True),
        draw={0: uniform(-1, 1), 1: uniform(-0.1, 0.1), 2: integers(2)},
    ),
]

REFUSALS = [
    Refusal("InfogainLoss", [(4, 5), (4,)], "", at="source", says="needs the infogain matrix"),
    Refusal(
        "InfogainLoss",
        [(4, 5), (4,), (1, 1, 5, 4)],
        "",
        at=".bottom[2]",
        says=r"\(1, 1, 5, 4\) must have 5 x 5 numbers",
    ),
    Refusal(
        "SigmoidCrossEntropyLoss",
        [(4, 5), (4, 4)],
        "",
        at=".bottom[1]",
        says="16 targets .* for 20 scores",
    ),
    Refusal(
        "MultinomialLogisticLoss",
        [(4, 5), (4, 2)],
        "",
        at=".bottom[1]",
        says="8 labels .* for 4 items",
    ),
    Refusal(
        "MultinomialLogisticLoss",
        [(2, 3), (2,)],
        "",
        at=".bottom[1]",
        says="label 3 of item 1",
        draw={0: uniform(0.1, 1), 1: given(2, 3)},
    ),
    Refusal(
        "HingeLoss",
        [(2, 3), (2,)],
        "",
        at=".bottom[1]",
        says="label -2 of item 0",
        draw={1: given(-2, 0)},
    ),
    Refusal("EuclideanLoss", [(4, 5), (4, 3)], "", at=".bottom[1]", says="as many numbers"),
    Refusal("ContrastiveLoss", [(4,), (4,), (4,)], "", at=".bottom[0]", says="features of 2 axes"),
    Refusal(
        "ContrastiveLoss",
        [(4, 2, 3), (4, 2, 3), (4,)],
        "",
        at=".bottom[0]",
        says="one number a ch",
    ),
    Refusal("ContrastiveLoss", [(4, 2), (4, 3), (4,)], "", at=".bottom[1]", says="as large as"),
    Refusal(
        "ContrastiveLoss", [(4, 2), (4, 2), (3,)], "", at=".bottom[2]", says="3 labels .* 4 pairs"
    ),
]
