"""Cases of Flip, Pad and Reorg."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal
from tests.oracles import rearrange as oracle

X = (2, 3, 4, 5)


def pads(*paddings):
    *paddings, last = paddings
    last = last if isinstance(last, str) else f"paddings: {last}"
    return f"pad_param {{ {' '.join(f'paddings: {each}' for each in paddings)} {last} }}"


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
    Case("Pad", [(3, 4)], pads(0, 0, 2, 1), lambda x: oracle.pad(x, [(0, 0), (2, 1)])),
    Case(
        "Pad",
        [(2, 3, 4)],
        pads(1, 0, 0, 2, 3, 1, "constant_values: -1.5"),
        lambda x: oracle.pad(x, [(1, 0), (0, 2), (3, 1)], -1.5),
    ),
    Case("Pad", [()], expect=lambda x: x),
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
    Refusal("Pad", [(2, 3)], pads(1, 2), "paddings", r"2 paddings for the 2 axes of \(2, 3\)"),
    refused((2, 4, 6, 8), "", "stride", "1 or more, not 0"),
    refused((4, 6, 8), "stride: 2", ".bottom[0]", "4 axes"),
    refused((2, 6, 4, 8), "stride: 2", "stride", r"6 channels are no multiple of 2\^2 = 4"),
    refused((2, 4, 5, 8), "stride: 2", "stride", "5x8 pixels do not split into blocks of 2x2"),
    refused((2, 4, 6, 7), "stride: 2", "stride", "6x7 pixels do not split into blocks of 2x2"),
]
