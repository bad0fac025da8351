"""Cases of connectionist temporal classification."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, given
from tests.oracles import ctc as oracle

X = (5, 4, 3)
# a repeated label, which needs a blank between; one; more than fit into five steps; none
LABELS = [2, 2, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0]
OTHERS = [2, 0, 1, 1, 2, 2, 0, 0, 0, 2, 1, 2]  # with 2 as the blank
TRUTHS = [2, 1, -1, 1, 0, 2, -1, 2, 2, 0, 0, 1]


def repeated(values):
    """These values, again and again where a shape has more."""
    return lambda rng, shape: np.resize(np.array(values, np.float64), shape)


def loss(config, labels, blank, shape=(4, 3)):
    return Case(
        "WarpCTCLoss",
        [X, shape],
        f"ctc_loss_param {{ {config} }}",
        lambda x, y: oracle.loss(x, y, blank),
        draw={1: repeated(labels)},
        gradient=(),  # which is none of the top: tests/layers/test_ctc.py
    )


CASES = [
    loss("", LABELS, 0),
    loss("blank_index: 2", OTHERS, 2),
    loss("blank_index: -1", OTHERS, 2, (4, 3, 1, 1)),
    Case("CTCGreedyDecoder", [(9, 4, 3)], expect=oracle.decoded),
    Case(
        "CTCGreedyDecoder",
        [(9, 4, 3, 1)],
        "ctc_decoder_param { blank_index: -1 ctc_merge_repeated: false }",
        lambda x: oracle.decoded(x[..., 0], 2, False),
    ),
    Case(
        "CTCGreedyDecoder",
        [(5, 4, 3), (4, 3)],
        expect=oracle.right,
        draw={1: repeated(TRUTHS)},
    ),
    Case(
        "CTCGreedyDecoder",
        [(2, 3, 3), (3, 1)],
        expect=oracle.right,
        draw={  # right; nothing where nothing is; wrong
            0: repeated([0, 5, 0, 5, 0, 0, 0, 0, 5, 5, 0, 0, 5, 0, 0, 0, 5, 0]),
            1: repeated([1, -1, 2]),
        },
    ),
]

REFUSALS = [
    Refusal("WarpCTCLoss", [(5, 4), (4, 3)], "", at=".bottom[0]", says=r"\(T, N, C\)"),
    Refusal("WarpCTCLoss", [X, (3, 4)], "", at=".bottom[1]", says="each of 4 sequences"),
    Refusal(
        "WarpCTCLoss",
        [X, (4, 3)],
        "ctc_loss_param { blank_index: 3 }",
        at="blank_index",
        says="none of the 3 classes",
    ),
    Refusal(
        "WarpCTCLoss",
        [X, (4, 1)],
        "",
        at=".bottom[1]",
        says="label 3 of sequence 1 is not one of the 3 classes 0 to 2",
        draw={1: given(0, 3, 0, -1)},
    ),
    Refusal("CTCGreedyDecoder", [(5, 4)], "", at=".bottom[0]", says=r"\(T, N, C\)"),
]
