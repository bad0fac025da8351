"""Cases of the normalisation layers."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, away_from
from tests.oracles import normalization as oracle

X = (2, 7, 3, 5)
TWO_TOPS = 'top: "y" top: "norm" normalize_param'


def given(type_, field, config, expect, shape=X, **more):
    return Case(type_, [shape], f"{field} {{ {config} }}", expect, **more)


CASES = [
    Case("LRN", [X], "", oracle.lrn_channels()),
    given("LRN", "lrn_param", "local_size: 3 alpha: 2 k: 1.5", oracle.lrn_channels(3, 2, k=1.5)),
    given("LRN", "lrn_param", "beta: 0.6 alpha: 3", oracle.lrn_channels(alpha=3, beta=0.6)),
    given("LRN", "lrn_param", "local_size: 9", oracle.lrn_channels(9), (2, 3, 2, 4)),
    given(
        "LRN",
        "lrn_param",
        "local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL k: 5",
        oracle.lrn_pixels(3, 2),
        (2, 3, 6, 4),
    ),
    given(
        "LRN",
        "lrn_param",
        "local_size: 5 alpha: 1.5 beta: 1.25 norm_region: WITHIN_CHANNEL",
        oracle.lrn_pixels(5, 1.5, 1.25),
        (2, 3, 3, 7),
    ),
    Case("MVN", [(2, 3, 4, 5)], "", oracle.mvn()),
    given("MVN", "mvn_param", "across_channels: true", oracle.mvn(True), (3, 2, 4, 5)),
    given("MVN", "mvn_param", "normalize_variance: false", oracle.mvn(False, False), (2, 3, 4)),
    given(
        "MVN", "mvn_param", "eps: 0.5", oracle.mvn(eps=0.5), (2, 3, 4, 5), gradient=()
    ),  # Caffe's gradient is exact for small eps only
    Case("Normalize", [X], "", oracle.normalize()),
    given(
        "Normalize",
        "norm_param",
        "across_spatial: false channel_shared: false scale_filler { value: 20 } eps: 0.5",
        oracle.normalize(False, 0.5),
    ),
    given("Normalize", "norm_param", "channel_shared: false", oracle.normalize(), (2, 5, 3)),
    given("Normalize", "norm_param", "across_spatial: false", oracle.normalize(False), (4, 3)),
    given("Normalize", "normalize_param", "", oracle.normalize_channels(2)),
    given("Normalize", "normalize_param", "bp_norm: true", oracle.normalize_channels(2), (4, 3)),
    given(
        "Normalize",
        "normalize_param",
        'normalize_type: "L1" fix_gradient: true',
        oracle.normalize_channels(1),
        (2, 5, 3),
        draw={0: away_from(0)},
    ),
    given(
        "Normalize",
        TWO_TOPS,
        'normalize_type: "L1" bp_norm: true',
        oracle.normalize_channels(1, norms=True),
        tops=2,
        draw={0: away_from(0)},
    ),
    given(
        "Normalize",
        TWO_TOPS,
        "bp_norm: true",
        oracle.normalize_channels(2, norms=True),
        tops=2,
    ),
    Case(
        "Normalize",
        [X],
        'top: "y" top: "norm"',
        oracle.normalize_channels(2, norms=True),
        tops=2,
        top_gradient=(0,),
    ),
]

REFUSALS = [
    Refusal("LRN", [X], "lrn_param { local_size: 4 }", "local_size", "odd, not 4"),
    Refusal("LRN", [X[:3]], "", ".bottom[0]", r"\(N, C, H, W\), not \(2, 7, 3\)"),
    Refusal("MVN", [(2, 3, 4, 5, 6)], "", ".bottom[0]", "1 to 4 axes"),
    Refusal("Normalize", [(3,)], "", ".bottom[0]", r"at least 2 axes .* not \(3,\)"),
    Refusal(
        "Normalize", [(3,)], "normalize_param { }", ".bottom[0]", r"2 to 4 axes .* not \(3,\)"
    ),
    Refusal(
        "Normalize",
        [X],
        'normalize_param { normalize_type: "L3" }',
        "normalize_type",
        'L1 or L2, not "L3"',
    ),
]
