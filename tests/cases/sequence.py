"""Cases of the layers of sequences and groups."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, distinct
from tests.oracles import sequence as oracle

X = (2, 6, 3, 5)


def reduction(config, axis, shape=X, more="", **settings):
    inner = f"axis: {axis} operation: {settings.get('operation', 'SUM')}"
    inner += f" k: {settings['k']}" if "k" in settings else ""
    text = f"batch_reduction_param {{ {config} reduction_param {{ {inner} {more} }} }}"
    expect = oracle.batch_reduction(axis, **settings)
    return Case("BatchReduction", [shape], text, expect, draw={0: distinct})


CASES = [
    Case("Reverse", [(4, 2, 3)], "", oracle.reverse(0)),
    Case("Reverse", [(2, 5, 3)], "reverse_param { axis: 1 }", oracle.reverse(1)),
    Case("Reverse", [(2, 5, 3, 4)], "reverse_param { axis: -1 }", oracle.reverse(3)),
    Case(
        "ContinuationIndicator",
        [(4, 3, 2)],
        "continuation_indicator_param { time_step: 5 }",
        lambda x: oracle.continuation(5, 4),
    ),
    Case(
        "ContinuationIndicator",
        [(4, 3, 2)],
        "continuation_indicator_param { time_step: 2 axis: 1 }",
        lambda x: oracle.continuation(2, 3),
    ),
    Case("Gather", [(2, 3, 4)], "", lambda x: x),
    Case("Gather", [(2, 3), (4, 5, 6)], "", lambda x, y: [x, y], tops=2),
    reduction("", 0),
    reduction("", 3, more="coeff: 7"),
    reduction("level: 1", 1, operation="MEAN"),
    reduction("level: 2 level: 1", 1, (2, 5, 3), operation="MEAN", levels=(2, 1)),
    reduction("level: [1, 2, 3]", 1, (2, 14, 3), levels=(1, 2, 3)),
    reduction("level: 2", 2, (2, 3, 4, 5), operation="MEAN", levels=(2,)),
    reduction("", 1, operation="TOPK", k=4),
    reduction("", 0, (7, 3), operation="TOPK", k=1),
    reduction("pos: true", 1, (2, 4, 4, 3), operation="MEAN", pos=True),
    reduction("pos: true level: 2", 1, (2, 4, 4, 3), pos=True, levels=(2,)),
]


def not_reduced(config, inner, at, says, shape=X):
    text = f"batch_reduction_param {{ {config} reduction_param {{ {inner} }} }}"
    return Refusal("BatchReduction", [shape], text, at=at, says=says)


REFUSALS = [
    Refusal("Reverse", [(2, 3)], "reverse_param { axis: 2 }", "axis", "axis 2 is out of range"),
    Refusal("ContinuationIndicator", [(2, 3)], "", "time_step", "must be positive, not 0"),
    Refusal(
        "ContinuationIndicator",
        [(2, 3)],
        "continuation_indicator_param { time_step: 1 axis: 2 }",
        "axis",
        "axis 2 is out of range",
    ),
    Refusal("Gather", [(2, 3), (4, 5)], "", ".top", "1 tops for 2 bottoms"),
    not_reduced("", "axis: 4", "reduction_param.axis", "axis 4 is out of range"),
    not_reduced("", "operation: ASUM", "reduction_param.operation", "TOPK, not ASUM"),
    not_reduced("level: [2, 0]", "axis: 1", "level[1]", "positive, not 0"),
    not_reduced("level: [2, 1]", "axis: 1", "level", "have 5 steps, but axis 1 .* has 6"),
    not_reduced("", "axis: 1 operation: TOPK k: 7", "reduction_param.k", "from 1 to 6, not 7"),
    not_reduced("", "axis: 1 operation: TOPK k: 0", "reduction_param.k", "from 1 to 6, not 0"),
    not_reduced(
        "level: [1, 1, 2]", "axis: 1 operation: TOPK k: 2", "level", "TOPK takes one level, not 3"
    ),
    not_reduced(
        "pos: true level: [1, 2]", "", "level", "pos: true takes one level, not 2", (5, 5, 3)
    ),
    not_reduced(
        "pos: true", "operation: TOPK", "pos", "TOPK does not go with pos: true", (5, 5, 3)
    ),
    not_reduced("pos: true", "axis: 1", ".bottom[0]", "needs a square from axis 1 on"),
]
