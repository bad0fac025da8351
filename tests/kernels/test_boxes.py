"""Overlap, coding and suppression of boxes, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import boxes as kernel
from tests.cases.detection import confidences, priors
from tests.oracles import boxes as oracle

CODES = ["CORNER", "CENTER_SIZE", "CORNER_SIZE"]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_boxes_overlap_by_the_share_of_their_common_area():
    a, b = np.array([0.0, 0.0, 4.0, 2.0]), np.array([1.0, 1.0, 5.0, 3.0])
    assert kernel.overlap(a, b) == pytest.approx(3 / 13)
    assert kernel.overlap(a, a + 9) == 0
    assert kernel.overlap(a, np.array([4.0, 0.0, 8.0, 2.0])) == 0


def test_a_box_turned_inside_out_overlaps_nothing():
    box = np.array([3.0, 3.0, 1.0, 1.0])
    assert kernel.overlap(box, np.array([0.0, 0.0, 4.0, 4.0])) == 0


@pytest.mark.parametrize("code", CODES)
def test_codes_are_those_of_the_loops(rng, code):
    origin, boxes = (priors(rng, (1, 2, 4 * 7))[0, 0].reshape(-1, 4) for _ in range(2))
    shift, back = np.empty_like(boxes), np.empty_like(boxes)
    kernel.encode(code, origin, boxes, shift)
    np.testing.assert_allclose(
        shift, [oracle.shift_to(a, b, code) for a, b in zip(origin, boxes)], rtol=1e-12
    )
    kernel.decode(code, origin, shift, back)
    np.testing.assert_allclose(back, boxes, rtol=1e-12)
    loops = [oracle.moved(a, d, code) for a, d in zip(origin, shift)]
    np.testing.assert_allclose(back, loops, rtol=1e-12)
    for other in set(CODES) - {code}:
        wrong = [oracle.moved(a, d, other) for a, d in zip(origin, shift)]
        assert not np.allclose(back, wrong, rtol=0.01)


@pytest.mark.parametrize(("threshold", "eta"), [(0.3, 1.0), (0.9, 0.6)])
@pytest.mark.parametrize("in_place", [False, True])
def test_suppression_keeps_what_the_loops_keep(rng, threshold, eta, in_place):
    boxes = priors(rng, (1, 2, 4 * 61))[0, 0].reshape(-1, 4)
    scores = confidences(rng, (61,))
    order = np.argsort(-scores, kind="stable")
    kept = order if in_place else np.empty(61, np.int64)
    count = kernel.suppress(boxes, order, threshold, eta, kept)
    assert 1 < count < 61
    assert list(kept[:count]) == oracle.suppressed(boxes, scores, -1, threshold, -1, eta)
    other = oracle.suppressed(boxes, scores, -1, threshold + 0.1, -1, 0.9 * eta)
    assert list(kept[:count]) != other
