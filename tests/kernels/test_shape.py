"""Kernels that move numbers: against the oracles in odd shapes, and there and back."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.parallel import launcher
from caffe_lite.kernels.shape import (
    crop_backward,
    crop_forward,
    cut,
    join,
    permute,
    shuffle_channels,
    tile_backward,
    tile_forward,
)
from tests.oracles import shape as oracle


def count(*shape):
    """Every number once."""
    return np.arange(float(np.prod(shape))).reshape(shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_join_and_cut(axis):
    shapes = [[2, 3, 4] for _ in range(3)]
    for i, shape in enumerate(shapes):
        shape[axis] = i + 1
    xs = [count(*shape) + 100 * i for i, shape in enumerate(shapes)]
    y = np.empty(oracle.concat(*xs, axis=axis).shape)
    join(xs, axis, y)
    np.testing.assert_array_equal(y, oracle.concat(*xs, axis=axis))
    parts = [np.empty(x.shape) for x in xs]
    cut(y, axis, [(1, parts[0]), (2, None), (3, parts[2])])
    np.testing.assert_array_equal(parts[0], xs[0])
    np.testing.assert_array_equal(parts[2], xs[2])


@pytest.mark.parametrize(("shape", "axis"), [((4, 7, 9, 11), 1), ((1, 5, 60), 2), ((3, 8), 0)])
def test_arrays_are_moved_by_all_threads(shape, axis, monkeypatch):
    monkeypatch.setattr(launcher, "GRAIN", 1)
    lengths = (1, shape[axis] - 3, 2)
    xs = [np.random.default_rng(n).random((*shape[:axis], n, *shape[axis + 1 :])) for n in lengths]
    y = np.full(shape, np.nan)
    join(xs, axis, y)
    np.testing.assert_array_equal(y, np.concatenate(xs, axis))
    parts = [np.empty(x.shape) for x in xs]
    cut(y, axis, [(lengths[0], parts[0]), (lengths[1], None), (lengths[2], parts[2])])
    np.testing.assert_array_equal(parts[0], xs[0])
    np.testing.assert_array_equal(parts[2], xs[2])


def test_crop_and_back():
    x, y = count(2, 5, 7), np.empty((2, 3, 4))
    crop_forward(x, (0, 1, 2), y)
    np.testing.assert_array_equal(y, oracle.crop(x, np.empty((9, 3, 4)), 1, (1, 2)))
    dx = np.full(x.shape, 9.0)
    crop_backward(y, (0, 1, 2), dx)
    np.testing.assert_array_equal(dx[:, 1:4, 2:6], y)
    assert dx.sum() == y.sum()


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (3, 1, 0, 2), (0, 1, 2, 3)])
def test_permute(order):
    x = count(2, 3, 4, 5)
    y = np.empty([x.shape[axis] for axis in order])
    permute(x, order, y)
    np.testing.assert_array_equal(y, oracle.permute(x, order))


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 5), (1, 6, 2, 3)])
def test_shuffle_and_back(shape):
    x, y, back = count(*shape), np.empty(shape), np.empty(shape)
    shuffle_channels(x, 2, y)
    np.testing.assert_array_equal(y, oracle.shuffle_channels(x, 2))
    shuffle_channels(y, 3, back)
    np.testing.assert_array_equal(back, x)


def test_tile_and_back():
    x, y, dx = count(3, 4), np.empty((3, 2, 4)), np.empty((3, 4))
    tile_forward(x, y)
    np.testing.assert_array_equal(y.reshape(3, 8), oracle.tile(x, 2))
    tile_backward(y, dx)
    np.testing.assert_array_equal(dx, 2 * x)


def test_no_items_are_moved_too():
    x, y = np.empty((0, 6, 5)), np.empty((0, 6, 5))
    shuffle_channels(x, 3, y)
    join([x, y], 0, np.empty((0, 6, 5)))


# that the oracles can tell right from wrong


def test_the_oracles_reject_wrong_variants():
    x = count(2, 6, 3)
    assert oracle.concat(x, x, axis=1).shape != oracle.concat(x, x, axis=0).shape
    window = np.empty((2, 2, 2))
    assert (oracle.crop(x, window, 1, (1,)) != oracle.crop(x, window, 1, (2, 1))).all()
    assert (oracle.permute(x, [1]) != x.reshape(6, 2, 3)).any()
    assert (oracle.shuffle_channels(x, 2) != oracle.shuffle_channels(x, 3)).any()
    assert [piece.shape[1] for piece in oracle.slice_at(x, [1, 3])] == [1, 2, 3]
    assert (oracle.tile(x, 2) != np.repeat(x, 2, axis=1)).any()
