"""Average precisions against loops and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.evaluate import FOUND, IGNORED, WANTED, average_precision, judge
from tests.cases.evaluate import CLASSES, found, truths
from tests.oracles import evaluate as oracle

VERSIONS = ["11point", "MaxIntegral", "Integral"]


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(5))
def test_precision_is_that_of_the_loops(version, seed):
    rng = np.random.default_rng(seed)
    right = rng.integers(2, size=23).astype(float)
    scores = rng.permutation(23) / 23
    wanted = oracle.average_precision(scores, right, 17, version)
    assert average_precision(scores, right, 17, version) == pytest.approx(wanted, rel=1e-6)
    for other in set(VERSIONS) - {version}:
        assert wanted != pytest.approx(
            oracle.average_precision(scores, right, 17, other), rel=0.01
        )


@pytest.mark.parametrize(
    ("version", "value"),
    # found 1 of 2 at once, 2 of 2 with the third: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1
    [
        ("11point", (6 + 5 * 2 / 3) / 11),
        ("Integral", (1 + 2 / 3) / 2),
        ("MaxIntegral", (1 + 2 / 3) / 2),
    ],
)
def test_precision_by_hand(version, value):
    scores, right = np.array([0.9, 0.2, 0.5]), np.array([1.0, 1.0, 0.0])
    assert average_precision(scores, right, 2, version) == pytest.approx(value)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_detection_or_no_truth_has_precision_0(version):
    none = np.empty(0)
    assert average_precision(none, none, 3, version) == 0
    assert average_precision(np.ones(2), np.zeros(2), 0, version) == 0


def test_the_first_of_two_detections_is_right():
    box = np.array([[0, 0, 2, 2, 4.0]])
    state, verdict = np.array([WANTED, IGNORED]), np.empty((4, 2))
    keys, truth_keys = np.array([5, 5, 6, 7]), np.array([5, 6])
    judge(np.repeat(box, 4, 0), keys, np.repeat(box, 2, 0), truth_keys, 0, 0.5, state, verdict)
    assert verdict.tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]
    assert state.tolist() == [FOUND, IGNORED]


def test_the_oracle_rejects_wrong_settings(rng):
    rows = found(rng, (1, 1, 61, 7)), truths(rng, (1, 1, 15, 8))
    right = oracle.detection_evaluate(*rows, CLASSES)
    for wrong in ({"threshold": 0.8}, {"difficult": False}, {"background": 1}):
        assert not np.array_equal(oracle.detection_evaluate(*rows, CLASSES, **wrong), right)
    tight = {"threshold": 0.85, "sizes": [(5, 7)]}
    padded = oracle.detection_evaluate(
        *rows, CLASSES, resize=("FIT_LARGE_SIZE_AND_PAD", 9, 4), **tight
    )
    assert not np.array_equal(padded, oracle.detection_evaluate(*rows, CLASSES, **tight))
