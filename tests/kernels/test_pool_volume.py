"""Pooling of videos where numbers are equal, or no numbers: what no case draws."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.pool import max_pool_volume_backward, max_pool_volume_forward
from tests.oracles import pooling as oracle

WINDOW = Window((2, 3, 3), (1, 2, 2), (0, 0, 0), (1, 1, 1))


def test_every_greatest_element_gets_the_gradient() -> None:
    rng = np.random.default_rng(7)
    x = rng.integers(0, 3, (2, 3, 4, 5, 7)).astype(np.float32)
    y = np.empty((2, 3, 3, 2, 3), np.float32)
    max_pool_volume_forward(x, WINDOW, y)
    dy, dx = rng.standard_normal(y.shape).astype(np.float32), np.empty_like(x)
    max_pool_volume_backward(x, y, dy, WINDOW, dx)
    expected, ties = np.zeros(x.shape), 0
    for place, frames, rows, columns, _ in oracle.volume_windows(x, *WINDOW[:1], *GEOMETRY):
        for n, c in np.ndindex(2, 3):
            inside = [(n, c, f, h, w) for f in frames for h in rows for w in columns]
            best = max(x[at] for at in inside)
            greatest = [at for at in inside if x[at] == best]
            ties += len(greatest) > 1
            for at in greatest:
                expected[at] += dy[(n, c, *place)]
    assert ties > 20
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-5)


GEOMETRY = ((0, 0, 0), (1, 2, 2))
"""The pad and the stride of `WINDOW`, as the oracle takes them."""


def test_what_is_no_number_or_less_than_all_finite_ones_never_wins() -> None:
    x = np.full((1, 1, 2, 3, 5), np.nan, np.float32)
    x[0, 0, 0, :, 4] = -np.inf
    x[0, 0, 1, 1, 1] = -2
    y = np.empty((1, 1, 1, 1, 2), np.float32)
    max_pool_volume_forward(x, WINDOW, y)
    assert y.ravel().tolist() == [-2, np.finfo(np.float32).min]
