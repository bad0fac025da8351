"""The errors that kernels/_math.py promises, and what it makes of 0, infinity and NaN."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numba import config

from caffe_lite.kernels import math as _math
from caffe_lite.kernels.jit import jit

LEAST = 1.7e-38  # what is smaller may become 0
LIBRARY = 4 if config.DISABLE_JIT else 0  # NumPy's own bound


def loop(function: Callable, settings: int = 0) -> Callable:
    """y = function(x) of each number, with 1, or 2, of x's type as its second argument."""
    if settings:

        @jit
        def kernel(x, y):
            setting = x.dtype.type(settings)
            for i in range(x.size):
                y[i] = function(x[i], setting)
    else:

        @jit
        def kernel(x, y):
            for i in range(x.size):
                y[i] = function(x[i])

    return kernel


power_of, rules_of = _math.power, _math.power_rules


@jit
def powers(x, p, y):
    p = x.dtype.type(p)
    rules = rules_of(p)
    for i in range(x.size):
        y[i] = power_of(x[i], p, rules)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def every_scale(low: float, high: float) -> np.ndarray:
    """Positive float32 numbers, as many between 2^k and 2^(k + 1) for each k."""
    bits = np.array([low, high], np.float32).view(np.int32)
    count = 2000 if config.DISABLE_JIT else 200_003
    return np.linspace(*bits, count).astype(np.int32).view(np.float32)


def worst(y: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest error in units in the last place, where float32 has the number."""
    counts = (abs(wanted) > LEAST) & (abs(wanted) < np.finfo(np.float32).max)
    y, wanted = y[counts].astype(np.float64), wanted[counts]
    return float((abs(y - wanted) / np.spacing(abs(wanted).astype(np.float32))).max())


@pytest.mark.parametrize(
    ("function", "settings", "definition", "bound", "low", "high", "signs"),
    [
        (_math.exp, 0, np.exp, 2, 1e-30, 88.7, (-1, 1)),
        (_math.expm1, 0, np.expm1, 2, 1e-30, 88.7, (-1, 1)),
        (_math.log, 0, np.log, 2, 1e-45, 3.4e38, (1,)),
        (_math.log, 0, np.log, 2, 0.5, 2, (1,)),
        (_math.log1p, 0, np.log1p, 2, 1e-30, 1, (1,)),
        (_math.sigmoid, 1, sigmoid, 3, 1e-30, 87, (-1, 1)),
        (_math.tanh, 2, np.tanh, 3, 1e-30, 80, (-1, 1)),
    ],
)
def test_float32_keeps_the_bounds(function, settings, definition, bound, low, high, signs) -> None:
    kernel, size = loop(function, settings), every_scale(low, high)
    for sign in signs:
        x = size * np.float32(sign)
        y = np.empty_like(x)
        kernel(x, y)
        assert worst(y, definition(x.astype(np.float64))) < max(bound, LIBRARY)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:underflow")
@pytest.mark.parametrize("p", [0.7, -0.3, 0.5, -0.75, 3.0, -2.0, -1.0, 0.01, 30.5])
def test_powers_keep_the_bound(p: float) -> None:
    p = float(np.float32(p))
    for x in (every_scale(1e-45, 3.4e38), every_scale(0.5, 2)):
        y = np.empty_like(x)
        powers(x, p, y)
        with np.errstate(over="ignore"):
            assert worst(y, x.astype(np.float64) ** p) < 2


@pytest.mark.parametrize(
    ("function", "exact", "xs"),
    [
        (_math.exp, Decimal.exp, [-700.1, -1.3, -1e-9, 0.7, 88.9, 709.1]),
        (_math.log, Decimal.ln, [1e-300, 0.3, 0.999, 1.7, 1e10]),
        (_math.expm1, lambda x: x.exp() - 1, [-30.0, -0.3, -1e-9, 1e-12, 0.4, 300.0]),
        (_math.log1p, lambda x: (1 + x).ln(), [1e-12, 1e-5, 0.1, 0.9]),
    ],
)
def test_float64_is_that_of_the_library(function, exact, xs) -> None:
    x, y = np.array(xs), np.empty(len(xs))
    loop(function)(x, y)
    with localcontext() as context:
        context.prec = 60
        wanted = [exact(Decimal(v)) for v in xs]
        errors = [abs(Decimal(v) - w) for v, w in zip(y.tolist(), wanted, strict=True)]
    assert all(float(e) <= 2 * np.spacing(abs(v)) for e, v in zip(errors, y, strict=True))


def test_float64_powers_are_those_of_the_library() -> None:
    x, y, p = np.array([1e-200, 0.3, 1.7, 1e50]), np.empty(4), 0.7
    powers(x, p, y)
    with localcontext() as context:
        context.prec = 60
        wanted = [float((Decimal(p) * Decimal(v).ln()).exp()) for v in x.tolist()]
    np.testing.assert_allclose(y, wanted, rtol=5e-16)


NO_NUMBERS = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, -2.0, -0.3, 1.0, 1e-40, 3e38]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("p", [0.7, -0.3, 1.0, 3.0, -2.0, -3.0, -1.0, 2.0, 4e7])
def test_powers_of_what_is_not_a_positive_number(p: float) -> None:
    x = np.array(NO_NUMBERS * 4, np.float32)  # vectors and what is left of them
    y, wanted = np.empty_like(x), np.power(x, np.float32(p))
    powers(x, p, y)
    np.testing.assert_allclose(y, wanted, rtol=1e-6, atol=LEAST)
    there = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(y)[there], np.signbit(wanted)[there])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("function", "definition"),
    [(_math.exp, np.exp), (_math.expm1, np.expm1), (_math.log, np.log)],
)
def test_the_ends_of_each_function(function, definition) -> None:
    x = np.array([*NO_NUMBERS, 88.5, 89.0, 1000.0, -87.0, -1000.0] * 3, np.float32)
    y = np.empty_like(x)
    loop(function)(x, y)
    wanted = definition(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(y, wanted, rtol=3e-7, atol=LEAST)


def test_a_number_is_the_same_wherever_it_stands() -> None:
    for function in (_math.exp, _math.log):
        kernel = loop(function)
        x = np.full(67, 0.7, np.float32)
        y = np.empty_like(x)
        for start in range(17):
            kernel(x[start:], y[start:])
            assert len(set(y[start:].tolist())) == 1


def test_the_bound_rejects_an_error_of_three_units() -> None:
    x = every_scale(1, 2)
    assert worst(x + 3 * np.spacing(x), x.astype(np.float64)) > 2
