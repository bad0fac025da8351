"""Cases of SegAccuracy."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, integers
from tests.oracles import segmentation as oracle

X, LABEL = (2, 5, 3, 4), (2, 1, 3, 4)


def accuracy(config, labels, shape=LABEL, x=X, **settings):
    expect = oracle.seg_accuracy(**settings)
    text = f"seg_accuracy_param {{ {config} }}"
    return Case("SegAccuracy", [x, shape], text, expect, draw={0: integers(4), 1: labels})


CASES = [
    accuracy("", integers(5)),
    accuracy("metric: PixelIOU", integers(2), (2, 3, 4)),
    accuracy("ignore_label: [2, 7]", integers(4), ignored=(2, 7)),
    accuracy("ignore_label: 255", lambda rng, s: rng.choice([1, 255], s), ignored=(255,)),
    accuracy("ignore_label: 3", integers(4, 3), ignored=(3,)),
    accuracy("", integers(3), (7,), (7, 3)),
]


def refused(bottoms, at, says, **more):
    return Refusal("SegAccuracy", bottoms, "", at=at, says=says, **more)


REFUSALS = [
    refused([(2,), LABEL], ".bottom[0]", "at least 2 axes"),
    refused([X, X], ".bottom[1]", r"shape \(2, 1, 3, 4\), not \(2, 5, 3, 4\)"),
    refused(
        [X, LABEL],
        ".bottom[1]",
        "label 5 of pixel 0 of item 0 is not one of the 5 classes 0 to 4",
        draw={1: integers(6, 5)},
    ),
    refused([X, LABEL], ".bottom[1]", "label -1 of", draw={1: integers(0, -1)}),
]
