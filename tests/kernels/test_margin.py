"""Margins at every angle, what SphereFace passes down, and counters that go on."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import margin as kernels
from caffe_lite.testing import Case, Rig, integers
from tests.cases.margin import TYPES
from tests.oracles import margin as oracle


@pytest.mark.parametrize("margin", [2, 3, 4])
def test_a_margin_at_every_angle(margin):
    angles = np.linspace(0.01, np.pi - 0.01, 101)
    c = np.cos(angles)
    y, slope = np.empty_like(c), np.empty_like(c)
    kernels.margin_cosine(c, margin, y, slope)
    np.testing.assert_allclose(y, [oracle.harder(v, margin) for v in c], atol=1e-12)
    wanted = [oracle.slope(lambda v: oracle.harder(v, margin), v) for v in c]
    np.testing.assert_allclose(slope, wanted, atol=1e-4)
    assert (np.diff(y) < 0).all()
    other = [oracle.harder(v, 2 if margin > 2 else 3) for v in c]
    assert not np.allclose(y, other, atol=0.1)


@pytest.mark.parametrize("kind", TYPES)
def test_sphereface_scales_the_gradient_of_own_scores(kind):
    case = Case(
        "MarginInnerProduct",
        [(5, 6), (5,)],
        f"margin_inner_product_param {{ num_output: 4 type: {kind} base: 1.5 }}",
        draw={1: integers(4)},
    )
    rig = Rig(case)
    rig.forward()
    rig.backward([True, False])
    x, label, w = rig.bottom[0].data, rig.bottom[1].data, rig.layer.blobs[0]
    dy = rig.top[0].diff
    wanted = oracle.sphere_gradient(x, w.data, label, TYPES[kind], 1.5, dy)
    np.testing.assert_allclose(rig.bottom[0].diff, wanted, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(w.diff, dy.T @ x)
    if kind != "SINGLE":
        plain = oracle.sphere_gradient(x, w.data, label, 1, 1.5, dy)
        assert not np.allclose(rig.bottom[0].diff, plain, rtol=1e-2)


@pytest.mark.parametrize("type_", ["MarginInnerProduct", "LargeMarginInnerProduct"])
def test_lambda_falls_from_forward_to_forward(type_):
    field = "margin" if type_[0] == "M" else "largemargin"
    settings = "base: 3 gamma: 0.5 power: 2 lambda_min: 0.1 iteration: 3"
    case = Case(
        type_,
        [(5, 6), (5,)],
        f"{field}_inner_product_param {{ num_output: 4 type: DOUBLE {settings} }}",
        tops=2,
        draw={1: integers(4)},
    )
    rig = Rig(case)
    for iteration in range(4, 12):
        wanted = oracle.blend(3, 0.5, 2, 0.1, iteration)
        assert rig.forward()[1] == pytest.approx(wanted)
    assert wanted == 0.1


def test_weights_of_length_one_and_of_zeros():
    w = np.array([[3.0, 4.0], [0.0, 0.0]])
    kernels.normalize_rows(w)
    np.testing.assert_allclose(w, [[0.6, 0.8], [0, 0]])


def test_a_bias_that_grows():
    settings = "bias_base: -0.5 bias_gamma: 0.5 bias_power: 2 bias_min: -0.2 bias_max: 3"
    case = Case(
        "LabelSpecificAdd",
        [(3, 4), (3,)],
        f"label_specific_add_param {{ {settings} iteration: 0 }}",
        tops=2,
        draw={1: integers(4)},
    )
    rig = Rig(case)
    for iteration in range(4):
        grown = -0.5 + (1 + 0.5 * iteration) ** 2 - 1
        y, bias = rig.forward()
        assert bias == pytest.approx(min(max(grown, -0.2), 3))
        wanted = oracle.add_to_own(rig.bottom[0].data, rig.bottom[1].data, bias[0])
        np.testing.assert_allclose(y, wanted)
    assert bias == 3


def test_a_weight_that_falls():
    settings = "positive_weight_base: 4 gamma: 0.5 power: 2 positive_weight_min: 0.5"
    case = Case(
        "LabelSpecificRescale",
        [(3, 4), (3,)],
        f"label_specific_rescale_param {{ {settings} iteration: 1 }}",
        tops=2,
        draw={1: integers(4)},
    )
    rig = Rig(case)
    for iteration in range(2, 6):
        y, weight = rig.forward()
        assert weight == pytest.approx(max(4 / (1 + 0.5 * iteration) ** 2, 0.5))
        wanted = oracle.rescale_own(rig.bottom[0].data, rig.bottom[1].data, weight[0])
        np.testing.assert_allclose(y, wanted)
    assert weight == 0.5


def test_the_oracle_of_rescaling_tells_variants_apart():
    x, labels = np.array([[0.5, -2.0], [3.0, -0.25]]), np.array([0, 1])
    right = oracle.rescale_own(x, labels, 0.5, 2.0)
    for other in ({"only_positive": True}, {"fixed": True}, {"power": True}):
        assert np.abs(right - oracle.rescale_own(x, labels, 0.5, 2.0, **other)).max() > 0.1
    assert np.abs(right - oracle.rescale_own(x, 1 - labels, 0.5, 2.0)).max() > 0.1
