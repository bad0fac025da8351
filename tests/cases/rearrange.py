"""Cases of Flip and Reorg."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal
from tests.oracles import rearrange as oracle

X = (2, 3, 4, 5)

CASES = [
    Case("Flip", [X], expect=oracle.flip),
    Case(
        "Flip",
        [X],
        "flip_param { flip_width: false flip_height: true }",
        lambda x: oracle.flip(x, True, False),
    ),
    Case("Flip", [X], "flip_param { flip_height: true }", lambda x: oracle.flip(x, True)),
    Case(
        "Flip",
        [(2, 3, 4)],
        "flip_param { flip_height: true }",
        lambda x: oracle.flip(x, True),
    ),
    Case("Reorg", [(2, 8, 4, 6)], "reorg_param { stride: 2 }", lambda x: oracle.gather(x, 2)),
    Case("Reorg", [(2, 9, 3, 6)], "reorg_param { stride: 3 }", lambda x: oracle.gather(x, 3)),
    Case("Reorg", [X], "reorg_param { stride: 1 }", lambda x: x),
    Case(
        "Reorg",
        [(2, 12, 3, 5)],
        "reorg_param { stride: 2 reverse: true }",
        lambda x: oracle.spread(x, 2),
    ),
]


def refused(shape, config, at, says):
    return Refusal("Reorg", [shape], f"reorg_param {{ {config} }}", at, says)


REFUSALS = [
    Refusal("Flip", [(2, 3, 4, 5, 6)], "", ".bottom[0]", "at most 4 axes"),
    refused((2, 4, 6, 8), "", "stride", "1 or more, not 0"),
    refused((4, 6, 8), "stride: 2", ".bottom[0]", "4 axes"),
    refused((2, 6, 4, 8), "stride: 2", "stride", r"6 channels are no multiple of 2\^2 = 4"),
    refused((2, 4, 5, 8), "stride: 2", "stride", "5x8 pixels do not split into blocks of 2x2"),
    refused((2, 4, 6, 7), "stride: 2", "stride", "6x7 pixels do not split into blocks of 2x2"),
]
