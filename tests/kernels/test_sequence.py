"""Sequences: equal numbers, and oracles that reject what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import sequence
from tests.oracles import sequence as oracle

X = np.random.default_rng(1).standard_normal((2, 5, 5, 3))


def test_of_equal_numbers_the_first_are_the_greatest() -> None:
    x = np.array([3.0, 5, 5, 5, 1]).reshape(1, 5, 1)
    chosen, y, dx = np.empty((1, 2, 1), np.int64), np.empty((1, 1)), np.empty((1, 5, 1))
    sequence.mean_of_best_forward(x, chosen, y)
    assert y == 5
    sequence.mean_of_best_backward(np.full((1, 1), 8.0), chosen, dx)
    np.testing.assert_array_equal(dx.ravel(), [0, 4, 4, 0, 0])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.reverse(1)(X), oracle.reverse(2)(X)),
        (oracle.continuation(3, 2), oracle.continuation(2, 3).T),
        (oracle.batch_reduction(1, pos=True)(X), oracle.batch_reduction(1)(X)[:, 0]),
        (
            oracle.batch_reduction(1, "TOPK", k=2)(X),
            -oracle.batch_reduction(1, "TOPK", k=2)(-X),
        ),
        (
            oracle.batch_reduction(1, levels=(2, 1))(X),
            oracle.batch_reduction(1, levels=(1, 2))(X),
        ),
    ],
)
def test_wrong_answers_are_rejected(right, wrong) -> None:
    assert right.shape == wrong.shape
    assert not np.allclose(right, wrong, rtol=1e-3)
