"""Values that the cases do not draw: numbers in the place of whole ones, and what is no number."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.errors import CaffeError
from caffe_lite.layers.base import Loss
from caffe_lite.testing import Case, Draw, Rig, given, integers, normal, results
from tests.every_case import CASES, SOME, label

WHOLE = integers(1).__qualname__
TARGETS = {"SigmoidCrossEntropyLoss", "SigmoidCrossEntropyBalanceLoss", "BoxAnnotatorOHEM"}
"""The types that use a label as a number: a probability, a value to hand on."""
REFUSES = {"BatchReindex"}
"""The types that compare an index with 0 before they cut it."""

MORE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a half more": lambda x: np.where(x < 0, x - 0.5, x + 0.5),
    "less than one more": lambda x: np.where(x < 0, x - 0.96875, x + 0.96875),
    "a half below zero": lambda x: np.where(x == 0, -0.5, x),
    "negative zero": lambda x: np.where(x == 0, -0.0, x),
}
LABELLED = [
    (case, index)
    for case in CASES
    for index, draw in case.draw.items()
    if getattr(draw, "__qualname__", "") == WHOLE and isinstance(index, int)
]


def drawn_with(case: Case, index: int, change: Callable[[np.ndarray], np.ndarray]) -> Case:
    """The case with other values in a bottom."""
    draw: Draw = case.draw.get(index, normal)
    return replace(case, draw={**case.draw, index: lambda rng, s: change(draw(rng, s))})


@pytest.mark.parametrize(("case", "index"), LABELLED, ids=label)
def test_labels_are_cut_towards_zero(case: Case, index: int, tmp_path: Path) -> None:
    """``static_cast<int>`` in Caffe: 1.5 is 1, -0.5 is 0."""
    if case.type in TARGETS or (index == 0 and case.type in ("Accuracy", "ArgMax")):
        pytest.skip("not a label")
    wanted = results(case, tmp_path)
    for how, change in MORE.items():
        changed = drawn_with(case, index, change)
        if how == "a half below zero" and case.type in REFUSES:
            with pytest.raises(CaffeError, match=r"index -0\.5"):
                results(changed, tmp_path)
            continue
        for got, want in zip(results(changed, tmp_path), wanted, strict=True):
            np.testing.assert_array_equal(got, want, how)


@pytest.mark.skipif(SOME, reason="some families are left out")
def test_some_labels_are_not_skipped() -> None:
    types = {case.type for case, _ in LABELLED} - TARGETS
    assert {"SoftmaxWithLoss", "InfogainLoss", "Embed", "Accuracy", "HingeLoss"} <= types
    assert types >= REFUSES


def test_a_target_is_ignored_by_its_whole_part() -> None:
    """Caffe's SigmoidCrossEntropyLoss casts for `ignore_label` only."""
    config = "loss_param { ignore_label: 1 normalization: NONE }"
    x = np.array([0.5, -2.0, 1.25])
    case = Case(
        "SigmoidCrossEntropyLoss",
        [(1, 3), (1, 3)],
        config,
        draw={0: given(*x), 1: given(1.5, 0.75, -0.5)},
    )
    total = results(case, Path())[0]
    own = [
        np.log1p(np.exp(value)) - value * target for value, target in ((-2, 0.75), (1.25, -0.5))
    ]
    np.testing.assert_allclose(total, sum(own), rtol=1e-6)


PLAIN = os.environ.get("NUMBA_DISABLE_JIT") == "1"


@pytest.mark.parametrize("case", [case for case in CASES if case.bottoms], ids=label)
def test_no_number_breaks_a_layer(case: Case, tmp_path: Path) -> None:
    """It gives some numbers, or an error of this package."""
    if PLAIN and case.type in ("RegionLoss", "Yolov3"):
        pytest.skip("plain Python's math.exp raises where compiled code gives infinity")

    def holes(x: np.ndarray) -> np.ndarray:
        flat = np.array(x, np.float64)
        for start, value in enumerate((np.nan, np.inf, -np.inf, 1e30, -1e30)):
            flat.reshape(-1)[start::7] = value
        return flat

    for index in range(len(case.bottoms)):
        for change in (holes, lambda x: np.full(np.shape(x), np.nan)):
            with np.errstate(all="ignore"):
                try:
                    rig = Rig(drawn_with(case, index, change), np.float32, tmp_path)
                    rig.forward()
                    if rig.layer.differentiable:
                        rig.backward()
                except CaffeError:
                    continue


# -- scores on their threshold ----------------------------------------------------------------


def forward(type_: str, config: str, *bottoms: np.ndarray, tops: int = 1) -> list[np.ndarray]:
    case = Case(
        type_,
        [np.shape(bottom) for bottom in bottoms],
        config,
        tops=tops,
        draw={i: given(*np.ravel(bottom)) for i, bottom in enumerate(bottoms)},
        phase="TEST",
    )
    return Rig(case, np.float32).forward()


def test_a_number_on_the_threshold_is_below() -> None:
    x = np.array([[0.25, 0.5, 0.75]])
    (y,) = forward("Threshold", "threshold_param { threshold: 0.5 }", x)
    assert y.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("scores", "top_k", "hits"),
    [
        ([1, 1, 0], 1, 0),  # a tie across the border is a miss
        ([1, 1, 0], 2, 1),
        ([np.nan, 1, 0], 1, 1),  # no comparison with NaN holds, so none is better
        ([1, np.nan, np.nan], 1, 1),
        ([-0.0, 0.0, -1], 1, 0),
    ],
)
def test_accuracy_counts_what_is_not_smaller(scores: list[float], top_k: int, hits: int) -> None:
    config = f"accuracy_param {{ top_k: {top_k} }}"
    assert forward("Accuracy", config, np.array([scores]), np.zeros(1))[0] == hits


def test_losses_at_the_margin() -> None:
    """Hinge: x = -1 for a wrong class has no slope with L1 or L2."""
    for norm in ("L1", "L2"):
        case = Case(
            "HingeLoss",
            [(1, 3), (1,)],
            f"hinge_loss_param {{ norm: {norm} }}",
            draw={0: given(1, -1, -0.5), 1: given(0)},
        )
        rig = Rig(case, np.float64)
        assert issubclass(type(rig.layer), Loss)
        assert rig.forward()[0] == (0.5 if norm == "L1" else 0.25)
        rig.top[0].diff[...] = 1
        rig.layer.backward(rig.top, [True, False], rig.bottom)
        assert rig.bottom[0].diff.tolist() == [[0, 0, 1 if norm == "L1" else 1.0]]


def test_slopes_at_the_kinks() -> None:
    """As Caffe has them: ReLU and AbsVal have none at 0, Clip has one on its bounds."""
    x = np.array([[-1.0, -0.0, 0.0, 1.0]])
    for type_, config, slopes in (
        ("ReLU", "", [0, 0, 0, 1]),
        ("ReLU", "relu_param { negative_slope: 0.5 }", [0.5, 0.5, 0.5, 1]),
        ("AbsVal", "", [-1, 0, 0, 1]),
        ("Clip", "clip_param { min: -1 max: 1 }", [1, 1, 1, 1]),
        ("ELU", "elu_param { alpha: 0.5 }", [0.5 * np.exp(-1), 0.5, 0.5, 1]),
    ):
        case = Case(type_, [(1, 4)], config, draw={0: given(*x[0])})
        rig = Rig(case, np.float64)
        rig.forward()
        rig.top[0].diff[...] = 1
        rig.layer.backward(rig.top, [True], rig.bottom)
        np.testing.assert_allclose(rig.bottom[0].diff[0], slopes, rtol=1e-12, err_msg=type_)
