"""Cases of Accuracy, ArgMax and Softmax."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, distinct, given, integers
from tests.oracles import classify as oracle

CASES = [
    Case(
        "Accuracy",
        [(7, 5), (7,)],
        expect=oracle.accuracy,
        draw={1: integers(5)},
        gradient=(),
    ),
    Case(
        "Accuracy",
        [(9, 6), (9, 1, 1, 1)],
        "accuracy_param { top_k: 3 }",
        expect=lambda x, t: oracle.accuracy(x, t, top_k=3, per_class=True),
        tops=2,
        draw={0: integers(4), 1: integers(6)},  # ties
        gradient=(),
    ),
    Case(
        "Accuracy",
        [(2, 3, 5, 4), (2, 3, 4)],
        "accuracy_param { axis: -2 ignore_label: 2 top_k: 2 }",
        expect=lambda x, t: oracle.accuracy(x, t, top_k=2, axis=2, ignore=2, per_class=True),
        tops=2,
        draw={1: integers(5)},
        gradient=(),
    ),
    Case(
        "Accuracy",
        [(3, 4), (3,)],
        "accuracy_param { ignore_label: 255 }",
        expect=lambda x, t: 0.0,
        draw={1: integers(256, low=255)},
        gradient=(),
    ),
    Case("ArgMax", [(3, 7)], expect=oracle.argmax, draw={0: distinct}, gradient=()),
    Case(
        "ArgMax",
        [(2, 3, 4, 5, 1)],
        "argmax_param { top_k: 4 out_max_val: true }",
        expect=lambda x: oracle.argmax(x, top_k=4, out_max_val=True),
        gradient=(),
    ),
    Case(
        "ArgMax",
        [(2, 6, 3, 4)],
        "argmax_param { axis: 1 top_k: 2 }",
        expect=lambda x: oracle.argmax(x, top_k=2, axis=1),
        draw={0: integers(3)},  # ties
        gradient=(),
    ),
    Case(
        "ArgMax",
        [(2, 6, 3)],
        "argmax_param { axis: -2 top_k: 3 out_max_val: true }",
        expect=lambda x: oracle.argmax(x, top_k=3, axis=1, out_max_val=True),
        gradient=(),
    ),
    Case("Softmax", [(4, 7)], expect=oracle.softmax),
    Case("Softmax", [(2, 5, 3, 4)], expect=oracle.softmax),
    Case(
        "Softmax",
        [(3, 4, 5)],
        "softmax_param { axis: -1 }",
        expect=lambda x: oracle.softmax(x, axis=2),
    ),
    Case(
        "Softmax",
        [(6, 3)],
        "softmax_param { axis: 0 }",
        expect=lambda x: oracle.softmax(x, axis=0),
    ),
]

REFUSALS = [
    Refusal("Accuracy", [(4, 5), (3,)], "", at=".bottom[1]", says="3 labels .* for 4 items"),
    Refusal(
        "Accuracy",
        [(4, 5), (4,)],
        "accuracy_param { top_k: 6 }",
        at="top_k",
        says="top_k 6 must be 1 to 5",
    ),
    Refusal(
        "Accuracy",
        [(4, 5), (4,)],
        "accuracy_param { axis: 2 }",
        at="axis",
        says="axis 2 is out of range .* -2 to 1",
    ),
    Refusal(
        "Accuracy",
        [(3, 4), (3,)],
        "",
        at=".bottom[1]",
        says="label 4 of item 2 is not one of the 4 classes 0 to 3; "
        "accuracy_param { ignore_label: 4 } leaves it out",
        draw={1: given(0, 3, 4)},
    ),
    Refusal(
        "Accuracy",
        [(3, 4), (3,)],
        "accuracy_param { ignore_label: 9 }",
        at=".bottom[1]",
        says="label 5 of item 1 is not one of the 4 classes 0 to 3$",
        draw={1: given(9, 5, 2)},
    ),
    Refusal(
        "ArgMax", [(3, 2, 2)], "argmax_param { top_k: 5 }", at="top_k", says="5 must be 1 to 4"
    ),
    Refusal(
        "ArgMax",
        [(3, 2, 2)],
        "argmax_param { top_k: 3 axis: 1 }",
        at="top_k",
        says="3 must be 1 to 2",
    ),
    Refusal("ArgMax", [()], "", at=".bottom[0]", says="a scalar has no largest"),
    Refusal("Softmax", [(3,)], "", at="axis", says="axis 1 is out of range"),
]
