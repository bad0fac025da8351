from __future__ import annotations

import math

import numpy as np
import pytest
from numba import config

from caffe_lite.kernels import update
from caffe_lite.kernels.parallel import get_num_threads, set_num_threads
from tests.oracles import update as oracle

SCALE, L2, L1, RATE = 0.25, 0.125, 0.0625, 0.75


def momentum_rule(kernel, definition):
    def run(w, dw, h, _):
        kernel((SCALE, L2, L1), (RATE, 0.5), w, dw, h)

    def expect(w, g, h, _):
        return definition(w, g, h, RATE, 0.5)

    return run, expect


def adaptive_rule():
    def run(w, dw, h, _):
        update.adagrad((SCALE, L2, L1), (RATE, 0.375), w, dw, h)

    def expect(w, g, h, _):
        return oracle.adagrad(w, g, h, RATE, 0.375)

    return run, expect


def rmsprop_rule():
    def run(w, dw, h, _):
        update.rmsprop((SCALE, L2, L1), (RATE, 0.875, 0.375), w, dw, h)

    def expect(w, g, h, _):
        return oracle.rmsprop(w, g, h, RATE, 0.875, 0.375)

    return run, expect


def adadelta_rule():
    def run(w, dw, h, u):
        update.adadelta((SCALE, L2, L1), (RATE, 0.875, 0.375), w, dw, h, u)

    def expect(w, g, h, u):
        return oracle.adadelta(w, g, h, u, RATE, 0.875, 0.375)

    return run, expect


def adam_rule():
    t = 3
    correction = math.sqrt(1 - 0.75**t) / (1 - 0.5**t)

    def run(w, dw, h, u):
        update.adam((SCALE, L2, L1), (RATE * correction, 0.5, 0.75, 0.375), w, dw, h, u)

    def expect(w, g, h, u):
        return oracle.adam(w, g, h, u, RATE, 0.5, 0.75, 0.375, t)

    return run, expect


RULES = {
    "sgd": momentum_rule(update.sgd, oracle.sgd),
    "nesterov": momentum_rule(update.nesterov, oracle.nesterov),
    "adagrad": adaptive_rule(),
    "rmsprop": rmsprop_rule(),
    "adadelta": adadelta_rule(),
    "adam": adam_rule(),
}


def arrays(n, dtype, seed=7):
    """Weights (some 0), gradients, and two positive history arrays."""
    rng = np.random.default_rng(seed)
    w, dw = rng.standard_normal((2, n))
    w[::5] = 0.0
    h, u = rng.uniform(0.5, 2.0, (2, n))
    return [x.astype(dtype) for x in (w, dw, h, u)]


def error(got, expected):
    expected = np.asarray(expected)
    return np.abs(got - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_rule_follows_its_definition(rule, dtype, tolerance):
    run, expect = RULES[rule]
    w, dw, h, u = arrays(37, dtype)
    start = [x.astype(np.float64).tolist() for x in (w, dw, h, u)]
    gradient = oracle.regularise(start[0], [SCALE * g for g in start[1]], L2, L1)
    weights, history = expect(start[0], gradient, start[2], start[3])
    run(w, dw, h, u)
    assert error(w, weights) < tolerance
    for got, expected in zip((h, u), history, strict=False):
        assert error(got, expected) < tolerance
    assert error(dw, np.subtract(start[0], weights)) < 10 * tolerance, "dw holds the step"
    if len(history) == 1:
        np.testing.assert_array_equal(u, np.asarray(start[3], dtype))


@pytest.mark.parametrize("rule", RULES)
def test_threads_change_nothing(rule):
    n = 213 if config.DISABLE_JIT else 70_013
    run, expect = RULES[rule]
    results = []
    threads = get_num_threads()
    for count in {1, threads}:
        set_num_threads(count)
        results.append(arrays(n, np.float32))
        run(*results[-1])
    set_num_threads(threads)
    for first, other in zip(results[0], results[-1], strict=True):
        np.testing.assert_array_equal(first, other)
    start = [x.astype(np.float64).tolist() for x in arrays(n, np.float32)]
    gradient = oracle.regularise(start[0], [SCALE * g for g in start[1]], L2, L1)
    assert error(results[0][0], expect(start[0], gradient, start[2], start[3])[0]) < 2e-6


@pytest.mark.parametrize("n", [0, 1, 1000, 70001])
def test_sum_of_squares(n):
    x = np.random.default_rng(3).standard_normal(n).astype(np.float32)
    assert update.sum_of_squares(x) == pytest.approx(oracle.sum_of_squares(x), rel=1e-12)


def test_infinite_gradient_stays_visible():
    w, dw, h, _ = arrays(9, np.float32)
    dw[4] = np.inf
    with np.errstate(all="ignore"):
        update.sgd((1.0, 0.0, 0.0), (1.0, 0.0), w, dw, h)
    assert np.isinf(w[4])
    assert np.isfinite(np.delete(w, 4)).all()


# every oracle rejects a wrong variant


def test_oracles_tell_variants_apart():
    w, g, h, u = (x.tolist() for x in arrays(11, np.float64))
    plain = oracle.sgd(w, g, h, 0.5, 0.5)[0]
    assert error(plain, oracle.nesterov(w, g, h, 0.5, 0.5)[0]) > 1e-2
    assert error(plain, oracle.sgd(w, g, h, 0.5, 0.25)[0]) > 1e-2
    inside = [wi - 0.5 * gi / math.sqrt(hi + gi**2 + 0.5) for wi, gi, hi in zip(w, g, h)]
    assert error(inside, oracle.adagrad(w, g, h, 0.5, 0.5)[0]) > 1e-2
    summed = oracle.adagrad(w, g, h, 0.5, 0.5)[0]
    assert error(summed, oracle.rmsprop(w, g, h, 0.5, 0.5, 0.5)[0]) > 1e-2
    swapped = oracle.adadelta(w, g, u, h, 0.5, 0.5, 0.5)[0]
    assert error(swapped, oracle.adadelta(w, g, h, u, 0.5, 0.5, 0.5)[0]) > 1e-2
    late = oracle.adam(w, g, h, u, 0.5, 0.5, 0.75, 0.5, 100)[0]
    assert error(late, oracle.adam(w, g, h, u, 0.5, 0.5, 0.75, 0.5, 2)[0]) > 1e-2
    assert oracle.regularise([2.0], [1.0], l2=0.5) != oracle.regularise([2.0], [1.0], l1=0.5)
    assert oracle.sum_of_squares([3.0, 4.0]) == 25.0
