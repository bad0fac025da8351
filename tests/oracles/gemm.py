"""The matrix product by its definition, in float64."""

from __future__ import annotations

import numpy as np


def product(a, b, c, transpose_a=False, transpose_b=False, accumulate=False):
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    a = a.T if transpose_a else a
    b = b.T if transpose_b else b
    wanted = np.array(c, np.float64) if accumulate else np.zeros(c.shape)
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            wanted[i] += a[i, k] * b[k]
    return wanted
