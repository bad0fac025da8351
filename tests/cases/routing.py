"""Cases of BatchReindex, Filter, Parameter, Silence and Split."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, given, integers
from tests.oracles import routing as oracle


def over_and_over(*values):
    """These values, repeated to fill the shape."""
    return lambda rng, shape: np.resize(values, shape)


CASES = [
    Case(
        "BatchReindex",
        [(4, 3, 2), (6,)],
        expect=oracle.batch_reindex,
        draw={1: integers(3)},
        gradient=(0,),
    ),
    Case(
        "Filter",
        [(5, 3, 2), (5,)],
        expect=oracle.select,
        draw={1: over_and_over(1, 0, -2, 0.5, 0)},
        gradient=(0,),
    ),
    Case(
        "Filter",
        [(4, 3), (4, 2, 5), (4, 1, 1)],
        expect=oracle.select,
        tops=2,
        draw={2: over_and_over(0, 1, 1)},
        gradient=(0, 1),
    ),
    Case("Parameter", [], "parameter_param { shape { dim: 3 dim: 4 } }", expect=lambda w: w),
    Case(
        "Parameter",
        [],
        "parameter_param { shape { dim: 2 dim: 5 } blob_filler { value: 1.5 } }",
        expect=lambda w: w,
    ),
    Case("Silence", [(2, 3), (4,)]),
    Case("Split", [(2, 3, 4)], expect=lambda x: x, tops=1),
    Case("Split", [(2, 3, 4)], expect=lambda x: (x, x), tops=2),
    Case("Split", [(2, 3, 4)], expect=lambda x: (x, x, x, x), tops=4),
]

REFUSALS = [
    Refusal("BatchReindex", [(4, 3), (2, 1)], "", at=".bottom[1]", says="must have one axis"),
    Refusal("BatchReindex", [(), (2,)], "", at=".bottom[0]", says="a scalar has no items"),
    Refusal(
        "BatchReindex",
        [(4, 3), (3,)],
        "",
        at=".bottom[1]",
        says="index 4 at place 1 is not one of the 4 items 0 to 3",
        draw={1: given(0, 4, 1)},
    ),
    Refusal(
        "BatchReindex",
        [(4, 3), (2,)],
        "",
        at=".bottom[1]",
        says="index -1 at place 1",
        draw={1: given(0, -1)},
    ),
    Refusal("Filter", [(4, 3), (4,)], "", at=".top", says="need 1 tops, not 2", tops=2),
    Refusal("Filter", [(4, 3), (4, 2)], "", at=".bottom[1]", says="one number for each item"),
    Refusal("Filter", [(4, 3), (5,)], "", at=".bottom[0]", says="as many items as the selector"),
    Refusal(
        "Parameter",
        [],
        "parameter_param { shape { dim: 3 dim: -4 } }",
        at="shape.dim[1]",
        says="a size cannot be -4",
    ),
]
