"""How centers are moved, which rows learn, and distances that are far and near."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import metric as kernels
from caffe_lite.testing import Case, Rig, integers
from tests.oracles import metric as oracle


@pytest.mark.parametrize(
    ("kind", "power", "often"),
    [("", 2, False), ('distance_type: "L2"', 2, True), ('distance_type: "L1"', 1, True)],
)
def test_centers_are_moved_by_their_mean_distance(kind, power, often):
    case = Case(
        "CenterLoss",
        [(7, 5), (7,)],
        f"center_loss_param {{ num_output: 6 {kind} }}",
        draw={1: integers(4)},
    )
    rig = Rig(case)
    rig.forward()
    rig.backward([True, False])
    x, label, centers = rig.bottom[0].data, rig.bottom[1].data, rig.layer.blobs[0]
    wanted = oracle.center_gradient(x, label, centers.data, power, often)
    np.testing.assert_allclose(centers.diff, wanted)
    other = oracle.center_gradient(x, label, centers.data, power, not often)
    assert not np.allclose(centers.diff, other)
    assert not centers.diff[4:].any()  # no item has these classes


@pytest.mark.parametrize("weight_bottom", [False, True])
def test_only_the_row_of_its_class_learns_from_an_item(weight_bottom):
    shapes = [(5, 3), (4, 3), (5,)] if weight_bottom else [(5, 3), (5,)]
    config = "inner_distance_param { num_output: 4 update_center_only: true }"
    rig = Rig(Case("InnerDistance", shapes, config, draw={len(shapes) - 1: integers(4)}))
    rig.forward()
    rig.backward([True] * (len(shapes) - 1) + [False])
    weight = rig.bottom[1] if weight_bottom else rig.layer.blobs[0]
    x, dy, label = rig.bottom[0].data, rig.top[0].diff, rig.bottom[-1].data.astype(int)
    wanted = np.zeros((4, 3))
    for m in range(5):
        wanted[label[m]] += dy[m, label[m]] * 2 * (weight.data[label[m]] - x[m])
    np.testing.assert_allclose(weight.diff, wanted)


def test_distances_of_numbers_that_nearly_cancel():
    x = np.array([[1000.0, 1000.5]], np.float32)
    w = np.array([[1000.25, 1000.25], [1000.0, 1000.5]], np.float32)
    for squared, wanted in ((True, [0.125, 0]), (False, [0.5, 0])):
        y = np.empty((1, 2), np.float32)
        kernels.distances(x, w, squared, y)
        np.testing.assert_array_equal(y, [wanted])


def test_the_oracle_knows_squares_from_magnitudes():
    x, w = np.random.default_rng(1).standard_normal((2, 3, 5))
    y = np.empty((3, 3))
    kernels.distances(x, w, False, y)
    np.testing.assert_allclose(y, oracle.inner_distance(x, w, 1))
    assert not np.allclose(y, oracle.inner_distance(x, w, 2))
