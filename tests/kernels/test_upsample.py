"""Planes made larger: shapes that no layer's case has, and oracles that reject what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import upsample
from caffe_lite.testing import Case, Rig
from tests.oracles import upsample as oracle

X = np.random.default_rng(1).standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize("size", [(1, 1), (2, 17), (11, 3), (31, 40)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 2), (5, 9)])
def test_interpolation_between_any_sizes(shape, size) -> None:
    config = f"interp_param {{ height: {size[0]} width: {size[1]} }}"
    rig = Rig(Case("Interp", [(2, 3, *shape)], config))
    (y,) = rig.forward()
    wanted = oracle.interpolate(*size)(rig.bottom[0].data)
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12)
    rig.backward()
    dx, dy = rig.bottom[0].diff, rig.top[0].diff
    u = np.random.default_rng(2).standard_normal(dx.shape)
    assert np.vdot(dx, u) == pytest.approx(np.vdot(dy, oracle.interpolate(*size)(u)), abs=1e-10)


def test_a_number_that_is_not_one_stays_where_its_share_is_not_zero() -> None:
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = np.inf
    rig = Rig(Case("Interp", [x.shape], "interp_param { height: 3 width: 3 }"))
    rig.bottom[0].data[...] = x
    np.testing.assert_array_equal(rig.forward()[0], x)


def test_two_numbers_of_one_place_as_in_segnet() -> None:
    x, place = np.array([[1.0, 2.0, 3.0]]), np.array([[4, 0, 4]], np.int32)
    y, dx = np.full((1, 5), np.nan), np.full((1, 3), np.nan)
    upsample.unpool_forward(x, place, y)
    np.testing.assert_array_equal(y, [[2, 0, 0, 0, 3]])
    upsample.unpool_backward(np.array([[10.0, 11, 12, 13, 14]]), place, dx)
    np.testing.assert_array_equal(dx, [[14, 10, 14]])


def wrong_interpolation(x, height, width):
    """Pixel centres onto pixel centres, as most programs have it today."""
    y = np.zeros((*x.shape[:2], height, width))
    for h, w in np.ndindex(height, width):
        row = min(max((h + 0.5) * x.shape[2] / height - 0.5, 0), x.shape[2] - 1)
        column = min(max((w + 0.5) * x.shape[3] / width - 0.5, 0), x.shape[3] - 1)
        for i, j in np.ndindex(*x.shape[2:]):
            share = max(0.0, 1 - abs(row - i)) * max(0.0, 1 - abs(column - j))
            y[:, :, h, w] += share * x[:, :, i, j]
    return y


PLACES = np.random.default_rng(3).permutation(120).reshape(2, 3, 4, 5) % 80


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.interpolate(9, 13)(X), wrong_interpolation(X, 9, 13)),
        (oracle.repeat(2)(X), np.tile(X, (1, 1, 2, 2))),
        (oracle.unpool(8, 10)(X, PLACES), oracle.unpool(10, 8)(X, PLACES).swapaxes(2, 3)),
    ],
)
def test_wrong_answers_are_rejected(right, wrong) -> None:
    assert right.shape == wrong.shape
    assert not np.allclose(right, wrong, rtol=1e-3)


def test_places_that_are_told_have_a_gradient_of_0() -> None:
    config = 'bottom: "x" bottom: "mask" upsample_param { scale: 2 }'
    rig = Rig(Case("Upsample", [X.shape, X.shape], config, draw={1: lambda rng, s: np.zeros(s)}))
    rig.forward()
    for flags in ([True, True], [False, True], [True, False]):
        for blob in rig.bottom:
            blob.diff[...] = 9
        rig.backward(flags)
        assert (rig.bottom[1].diff == (0 if flags[1] else 9)).all()
        assert (rig.bottom[0].diff == 9).all() == (not flags[0])
