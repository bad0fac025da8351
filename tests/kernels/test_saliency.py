from __future__ import annotations

import numpy as np

from caffe_lite.kernels import saliency as kernels
from tests.oracles import saliency as oracle

RNG = np.random.default_rng(0)
X, TARGET = RNG.uniform(0.2, 2, (3, 7)), RNG.uniform(0.1, 1, (3, 7))


def gradient(function, x, step=1e-6):
    dx = np.empty_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        dx[place] = (function(up) - function(down)) / (2 * step)
    return dx


def test_the_divergence_has_the_forks_gradient():
    dx = np.empty_like(X)
    kernels.divergence_backward(X, TARGET, 0.5 / len(X), dx)
    np.testing.assert_allclose(dx, 0.5 * oracle.divergence_gradient(X, TARGET), rtol=1e-5)


def test_which_is_the_derivative_less_what_the_sum_gives():
    true = gradient(lambda x: oracle.divergence(x, TARGET), X)
    sums = X.sum(axis=1, keepdims=True)
    share = TARGET / TARGET.sum(axis=1, keepdims=True)
    given = oracle.divergence_gradient(X, TARGET)
    np.testing.assert_allclose(true - given, (1 - share) / sums / len(X), rtol=1e-3)


def test_the_scanpath_has_its_derivative():
    dx = np.empty_like(X)
    kernels.scanpath_backward(TARGET, 1 / len(X), dx)
    np.testing.assert_allclose(dx, gradient(lambda x: oracle.scanpath(x, TARGET), X), rtol=1e-6)


def test_the_oracles_reject_wrong_variants():
    swapped = oracle.divergence(TARGET, X)
    assert abs(swapped - oracle.divergence(X, TARGET)) > 0.01
    wrong = oracle.scanpath(X, TARGET) * TARGET.sum(axis=1).mean()
    assert abs(wrong - oracle.scanpath(X, TARGET)) > 0.1
