"""Cases of the balanced cross-entropy."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, integers
from tests.oracles import balanced_loss as oracle

KIND = "SigmoidCrossEntropyBalanceLoss"
CASES = [
    Case(
        KIND,
        [(3, 2, 4, 5), (3, 1, 8, 5)],
        expect=oracle.balanced_cross_entropy,
        draw={1: integers(2)},
    ),
]
REFUSALS = [
    Refusal(KIND, [(2, 5), (2, 4)], "", at=".bottom[1]", says=r"8 targets \(2, 4\) for 10 scores"),
]
