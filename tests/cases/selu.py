"""Cases of the self-normalizing layers."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, away_from
from tests.oracles import selu as oracle

SHAPE = (3, 4, 2, 5)

CASES = [
    Case("SeLu", [SHAPE], expect=oracle.selu, draw={0: away_from(0)}),
    Case(
        "SeLu",
        [SHAPE],
        "selu_param { lambda: 1.5 alpha: -0.75 }",
        expect=lambda x: oracle.selu(x, 1.5, -0.75),
        draw={0: away_from(0)},
    ),
    Case("SeLuDropout", [SHAPE], "selu_dropout_param { dropout_ratio: 0.25 }", random=True),
    Case("SeLuDropout", [SHAPE], "selu_dropout_param { dropout_ratio: 0 }", lambda x: x),
    Case("SeLuDropout", [SHAPE], "", lambda x: x, phase="TEST"),
]

REFUSALS = [
    Refusal(
        "SeLuDropout",
        [SHAPE],
        "selu_dropout_param { dropout_ratio: 1 }",
        at="dropout_ratio",
        says="less than 1, not 1",
    ),
]
