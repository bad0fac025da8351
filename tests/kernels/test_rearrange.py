"""Pixels in other places: there and back, and which place."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import rearrange as kernels
from tests.oracles import rearrange as oracle


def count(*shape):
    """Every number once."""
    return np.arange(float(np.prod(shape))).reshape(shape)


def test_flip_knows_height_from_width():
    x = count(2, 3, 4, 5)
    y = np.empty_like(x)
    kernels.flip(x, True, False, y)
    np.testing.assert_array_equal(y, oracle.flip(x, True, False))
    assert not np.array_equal(y, oracle.flip(x, False, True))


@pytest.mark.parametrize(
    ("stride", "shape"), [(1, (2, 3, 4, 5)), (2, (2, 8, 6, 4)), (3, (1, 9, 3, 6))]
)
def test_blocks_are_gathered_and_spread(stride, shape):
    x = count(*shape)
    y, back = np.empty_like(x), np.empty_like(x)
    kernels.gather_blocks(x, stride, y)
    np.testing.assert_array_equal(y.ravel(), oracle.gather(x, stride).ravel())
    kernels.spread_blocks(y, stride, back)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_array_equal(back.ravel(), oracle.spread(y, stride).ravel())


def test_darknet_s_blocks_are_no_neighbours():
    x = count(2, 8, 6, 4)
    y = np.empty_like(x)
    kernels.gather_blocks(x, 2, y)
    assert not np.array_equal(y.ravel(), oracle.gather(x, 2, as_darknet=False).ravel())
