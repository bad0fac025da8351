"""exp, log, powers and the sigmoid, in a form whose loops the compiler can vectorise.

A loop that calls the C library computes one element at a time.  In compiled float32 kernels the
functions here are polynomials instead, whose bits depend neither on the number of threads nor on
the element's offset.  Errors, in units in the last place of float32: less than 2 for exp, expm1,
log, log1p and power, less than 3 for sigmoid and tanh.  Results below 1.7e-38 may be 0; NaN stays
NaN.  float64 kernels, and those that run as plain Python, call the library.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from caffe_lite.kernels.jit import jit

LEAST_NORMAL = np.finfo(np.float32).tiny
BITS_OF_SQRT_HALF = 0x3F3504F3
SIGN_BIT = np.int32(-(2**31))
NAN_BITS = np.int32(0x7FC00000)
ROUNDING = np.float32(1.5 * 2**23)  # x + ROUNDING has no fractional bits


def exp(x):
    """The exponential function."""
    return np.exp(x)


def expm1(x):
    """exp(x) - 1, as accurate near 0 as elsewhere."""
    return np.expm1(x)


def log(x):
    """The natural logarithm; -infinity at 0, NaN below."""
    return np.log(x)


def log1p(x):
    """log(1 + x) for 0 <= x <= 1."""
    return np.log1p(x)


def power_rules(p):
    """What `power` needs to know of p, computed once: inside its loop it would prevent vectors."""
    return


def power(x, p, rules):
    """x^p; p: of x's type, finite, not 0; rules: `power_rules(p)`.  NaN for a root of x < 0."""
    return x**p


@jit
def sigmoid(x, one):
    """1 / (1 + exp(-x)) without overflow; `one` is 1 of x's type."""
    e = exp(-abs(x))
    return (one if x >= 0 else e) / (one + e)


@jit
def tanh(x, two):
    """-e / (2 + e) with e = exp(-2 |x|) - 1, and the sign of x; `two` is 2 of x's type."""
    e = expm1(-two * abs(x))
    t = e / (two + e)
    return t if x < 0 else -t


@jit
def _half_power(x):
    """(n, s) with n = x / ln(2) rounded and s = 2^(n - 1), for -87.5 <= x <= 89.

    s is 0 where n is -126, and half of the power, so that results up to the greatest float32 do
    not overflow on the way.
    """
    rounded = x * np.float32(1 / np.log(2)) + ROUNDING
    bits = np.float32(rounded).view(np.int32)  # n is in its last bits
    s = np.int32((bits + np.int32(126)) << np.int32(23)).view(np.float32)
    return rounded - ROUNDING, s


@jit
def _short_expm1(r):
    """exp(r) - 1 for |r| <= ln(2) / 2: the Taylor series to r^7 / 7!, good to 5e-9."""
    q = np.float32(1 / 5040)
    q = q * r + np.float32(1 / 720)
    q = q * r + np.float32(1 / 120)
    q = q * r + np.float32(1 / 24)
    q = q * r + np.float32(1 / 6)
    q = q * r + np.float32(1 / 2)
    return q * r * r + r


@jit
def _scaled_expm1(x):
    """(s, q) with exp(x) = 2 s (1 + q): s as in `_half_power`, q = `_short_expm1` of the rest."""
    x = np.float32(-87.5) if x < np.float32(-87.5) else x
    x = np.float32(89) if x > np.float32(89) else x
    n, s = _half_power(x)
    # ln(2) in two parts, the first of so few bits that its product with n is exact
    r = (x - n * np.float32(0.693359375)) - n * np.float32(np.log(2) - 0.693359375)
    return s, _short_expm1(r)


@jit
def _split(x):
    """(m, e) with x = m 2^e, sqrt(1 / 2) <= m < sqrt(2) and e an integer; 0 < x < infinity."""
    small = x < np.float32(LEAST_NORMAL)
    bits = np.float32(x * np.float32(2**23) if small else x).view(np.int32)
    e = np.int32(np.int32(bits - np.int32(BITS_OF_SQRT_HALF)) >> np.int32(23))
    m = np.int32(bits - np.int32(e << np.int32(23))).view(np.float32)
    return m, np.float32(e) - (np.float32(23) if small else np.float32(0))


@overload(exp)
def _compiled_exp(x):
    if x != types.float32:
        return lambda x: np.exp(x)

    def definition(x):
        s, q = _scaled_expm1(x)
        return (s + s * q) * np.float32(2)

    return definition


@overload(expm1)
def _compiled_expm1(x):
    if x != types.float32:
        return lambda x: np.expm1(x)

    def definition(x):
        s, q = _scaled_expm1(x)
        return (s * q + (s - np.float32(0.5))) * np.float32(2)

    return definition


@overload(log)
def _compiled_log(x):
    if x != types.float32:
        return lambda x: np.log(x)

    def definition(x):
        """f - t (f - t^2 (2 / 3 + ... + 2 t^6 / 9)) with f = m - 1 and t = f / (2 + f) <= 0.172.

        That is 2 artanh(t), whose largest term, f, is exact.
        """
        m, e = _split(x)
        f = m - np.float32(1)
        t = f / (np.float32(2) + f)
        square = t * t
        total = np.float32(2 / 9)
        total = total * square + np.float32(2 / 7)
        total = total * square + np.float32(2 / 5)
        total = total * square + np.float32(2 / 3)
        low = e * np.float32(np.log(2) - 0.693359375) - t * (f - square * total)
        y = e * np.float32(0.693359375) + (low + f)
        y = y if x < np.float32(np.inf) else x
        y = y if x > np.float32(0) else np.float32(np.nan)
        return np.float32(-np.inf) if x == np.float32(0) else y

    return definition


@overload(log1p)
def _compiled_log1p(x):
    if x != types.float32:
        return lambda x: np.log1p(x)

    def definition(x):
        """2 artanh(t) = 2 (t + t^3 / 3 + ... + t^15 / 15) with t = x / (2 + x) <= 1 / 3."""
        t = x / (np.float32(2) + x)
        square = t * t
        total = np.float32(2 / 15)
        total = total * square + np.float32(2 / 13)
        total = total * square + np.float32(2 / 11)
        total = total * square + np.float32(2 / 9)
        total = total * square + np.float32(2 / 7)
        total = total * square + np.float32(2 / 5)
        total = total * square + np.float32(2 / 3)
        return total * square * t + np.float32(2) * t

    return definition


@jit
def _exact_log(x):
    """log(x) of a float32 in float64, good to 5e-11: 2 (t + t^3 / 3 + ... + t^11 / 11)."""
    m, e = _split(x)
    f = np.float64(m) - 1.0
    t = f / (2.0 + f)
    square = t * t
    total = 2 / 11
    total = total * square + 2 / 9
    total = total * square + 2 / 7
    total = total * square + 2 / 5
    total = total * square + 2 / 3
    return np.float64(e) * np.log(2.0) + (total * square * t + 2.0 * t)


@jit
def _positive_power(x, p):
    """exp(p log(x)) for 0 < x < infinity, where p times the logarithm is in float64."""
    z = np.float64(p) * _exact_log(x)
    n, s = _half_power(np.float32(z))
    q = _short_expm1(np.float32(z - np.float64(n) * np.log(2.0)))
    y = (s + s * q) * np.float32(2)
    # after the arithmetic, as in `power`: before it, the compiler would emit branches
    y = np.float32(0) if z < -87.5 else y
    return np.float32(np.inf) if z > 89.0 else y


@overload(power_rules)
def _compiled_power_rules(p):
    if p != types.float32:
        return lambda p: None

    def definition(p):
        """0^p and infinity^p; the bits set in x^p where x < 0: NaN's for a root, the sign's."""
        half = p * np.float32(0.5)
        whole = p == np.floor(p)
        odd = half != np.floor(half) if whole else False
        zero, infinity = np.float32(0), np.float32(np.inf)
        of_zero, of_infinity = (zero, infinity) if p > zero else (infinity, zero)
        root_bits = np.int32(0) if whole else NAN_BITS
        return of_zero, of_infinity, root_bits, SIGN_BIT if odd else np.int32(0)

    return definition


@overload(power)
def _compiled_power(x, p, rules):
    if x != types.float32:
        return lambda x, p, rules: x**p

    def definition(x, p, rules):
        of_zero, of_infinity, root_bits, sign_bit = rules
        size = abs(x)
        negative = np.int32(np.float32(x).view(np.int32) >> np.int32(31))  # -1 or 0
        y = _positive_power(size, p)
        y = np.int32(np.float32(y).view(np.int32) | negative & root_bits).view(np.float32)
        y = of_zero if size == np.float32(0) else y
        y = y if size < np.float32(np.inf) else of_infinity
        y = x if x != x else y
        return np.int32(np.float32(y).view(np.int32) | negative & sign_bit).view(np.float32)

    return definition
