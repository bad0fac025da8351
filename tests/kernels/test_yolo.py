"""What YOLO's losses pass down, box by box; and the measures of likeness."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.yolo import losses as kernels
from caffe_lite.kernels.yolo import overlaps
from caffe_lite.testing import Case, Rig
from tests.cases.yolo import ANCHORS, CASES, PIXELS, TRUTH, WIDE, boxes
from tests.oracles import yolo as oracle

KINDS = {"IOU": 0, "GIOU": 1, "MSE": 2, "DIOU": 3, "CIOU": 4}
OVERLAPPING = [
    ((0.5, 0.4, 0.3, 0.2), (0.45, 0.47, 0.25, 0.3)),
    ((0.5, 0.5, 0.6, 0.5), (0.25, 0.55, 0.2, 0.3)),
    ((0.3, 0.6, 0.1, 0.7), (0.33, 0.5, 0.6, 0.2)),
]
APART = ((0.2, 0.3, 0.1, 0.2), (0.7, 0.35, 0.3, 0.4))


def changes(case):
    """What a layer passes down, and the oracle's."""
    rig = Rig(case)
    rig.forward()
    rig.backward([i == 0 for i in range(len(rig.bottom))])
    wanted = wanted_of(case)(*(blob.data for blob in rig.bottom))
    scale = float(rig.top[0].diff) / len(rig.bottom[0].data)
    return rig.bottom[0].diff, wanted * scale


def wanted_of(case):
    """The oracle's second answer, with the settings of the case's first."""
    names = case.expect.__code__.co_freevars
    settings = dict(zip(names, (cell.cell_contents for cell in case.expect.__closure__ or ())))
    if case.type == "RegionLoss":
        return lambda x, t: oracle.region_loss(x, t, ANCHORS, **settings["settings"])[1]
    if case.type == "Yolov3":
        mask, more = list(settings["mask"]), settings["settings"]
        return lambda x, t: oracle.yolo_loss(x, t, PIXELS, mask, **more)[1]
    scale = 1.5 if case.config else 5.0
    return lambda *bottoms: oracle.segmentation_loss(*bottoms, scale=scale)[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type}-{case.config[-40:]}")
def test_a_loss_passes_down_what_it_wants_changed(case):
    got, wanted = changes(case)
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(got, wanted, atol=1e-7 * np.abs(wanted).max(), rtol=1e-4)


def test_the_oracle_knows_the_fork_s_slopes_from_derivatives():
    a, b = OVERLAPPING[0]
    derivatives = [
        oracle.difference(lambda box: oracle.measure("CIOU", box, b), a, i) for i in range(4)
    ]
    assert not np.allclose(overlaps.ascent(KINDS["CIOU"], a, b), derivatives, rtol=1e-2)


@pytest.mark.parametrize("pair", [*OVERLAPPING, APART])
@pytest.mark.parametrize("kind", KINDS)
def test_measures_of_likeness(kind, pair):
    a, b = pair
    assert overlaps.similarity(KINDS[kind], a, b) == pytest.approx(oracle.measure(kind, a, b))
    for other in ("GIOU", "DIOU", "CIOU"):
        if other != kind:
            assert overlaps.similarity(KINDS[kind], a, b) != pytest.approx(
                oracle.measure(other, a, b)
            )


@pytest.mark.parametrize("pair", OVERLAPPING)
@pytest.mark.parametrize("kind", ["IOU", "GIOU", "DIOU", "CIOU"])
def test_slopes_of_boxes_that_overlap(kind, pair):
    np.testing.assert_allclose(
        overlaps.ascent(KINDS[kind], *pair), oracle.slopes(kind, *pair), rtol=1e-6, atol=1e-8
    )


def test_boxes_that_are_apart_are_drawn_together():
    a, b = APART
    for kind in ("GIOU", "DIOU", "CIOU"):
        x, _, _, _ = overlaps.ascent(KINDS[kind], a, b)
        assert x > 0, kind
    x, y, w, h = overlaps.ascent(KINDS["DIOU"], a, b)
    diagonal, distance = oracle.square_diagonal(a, b), oracle.apart(a, b)
    width = oracle.around(a, b)[0]
    assert x == pytest.approx((2 * 0.5 * diagonal + 2 * width * distance) / diagonal**2)
    assert w == pytest.approx(width * distance / diagonal**2)
    assert (y, h) == (pytest.approx(2 * 0.05 / diagonal), 0)


def test_a_logistic_function_without_overflow():
    x = np.array([-1000.0, 0.0, 1000.0, 2.0], np.float32)
    y = np.empty_like(x)
    kernels.sigmoid(x, y)
    np.testing.assert_allclose(y, [0, 0.5, 1, 1 / (1 + np.exp(-2))], rtol=1e-6)


def test_boxes_after_the_end_do_not_count():
    config = " ".join(f"biases: {v}" for pair in PIXELS for v in pair)
    case = Case(
        "Yolov3",
        [WIDE, TRUTH],
        f"yolov3_param {{ num: 3 num_class: 2 mask: 1 mask: 2 mask: 3 {config} }}",
        draw={1: boxes},
    )
    rig = Rig(case)
    (first,) = rig.forward()
    rig.bottom[1].data[1, 0, 4] = [0, 0.5, 0.5, 0.3, 0.3]  # row 3 of item 1 ends it
    assert rig.forward()[0] == first
    rig.bottom[1].data[1, 0, 1, 3] *= 1.2
    assert rig.forward()[0] != first
