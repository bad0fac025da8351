"""Cases of the losses of saliency maps."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, given, uniform
from tests.oracles import saliency as oracle

MAPS = [(3, 1, 4, 5)] * 2

CASES = [
    Case(
        "KLDivLoss",
        MAPS,
        expect=oracle.divergence,
        draw={0: uniform(0.2, 2), 1: uniform(0.1, 1)},
        gradient=(),  # is no derivative, see tests/kernels/test_saliency.py
    ),
    Case("NSSLoss", MAPS, expect=oracle.scanpath, draw={1: uniform(0.1, 1)}),
]

REFUSALS = [
    Refusal("KLDivLoss", [(2, 3, 4, 5)] * 2, "", at=".bottom[0]", says=r"one channel, not \(2, 3"),
    Refusal("KLDivLoss", [(2, 1, 4, 5), (2, 1, 5, 4)], "", at=".bottom[1]", says="shape of bot"),
    Refusal(
        "NSSLoss",
        [(2, 1, 1, 2)] * 2,
        "",
        at=".bottom[1]",
        says="item 1 has no fixations",
        draw={1: given(1, 0, 0, 0)},
    ),
]
