"""Epilogues against their formula: min(act(scale (y + b) + shift), limit)."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.epilogue import Epilogue, complete, completion

OUTPUTS, PIXELS = 5, 7


def arrays(dtype):
    rng = np.random.default_rng(5)
    return [rng.standard_normal(OUTPUTS).astype(dtype) for _ in range(3)]


def formula(y, b, scale, shift, slope, limit=None):
    y = y + (b[:, None] if b.size else 0)
    y = y * (scale[:, None] if scale.size else 1) + (shift[:, None] if shift.size else 0)
    y = y if slope is None else np.where(y > 0, y, slope * y)
    return y if limit is None else np.minimum(y, limit)


@pytest.mark.parametrize("given", [(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1), (1, 0, 1)])
@pytest.mark.parametrize("slope", [None, 0.0, 0.25, -0.5])
@pytest.mark.parametrize("limit", [None, 0.75])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_rows_of_outputs(given, slope, limit, dtype, tolerance):
    b, scale, shift = (each if use else each[:0] for each, use in zip(arrays(dtype), given))
    y = np.random.default_rng(6).standard_normal((OUTPUTS, PIXELS)).astype(dtype)
    wanted = formula(y, b, scale, shift, slope, limit)
    extra = completion(b, Epilogue(scale, shift, slope, limit), OUTPUTS, dtype)
    flat = np.full(3 + OUTPUTS * 9, 77, dtype)  # rows 9 apart, from element 3 on
    rows = flat[3:].reshape(OUTPUTS, 9)
    rows[:, :PIXELS] = y
    complete(flat, 3, 9, 2, PIXELS, 0, OUTPUTS, extra)
    complete(flat, 3 + 2 * 9, 9, OUTPUTS - 2, PIXELS, 2, OUTPUTS, extra)
    np.testing.assert_allclose(rows[:, :PIXELS], wanted, rtol=tolerance, atol=tolerance)
    assert (flat[:3] == 77).all()
    assert (rows[:, PIXELS:] == 77).all()


def test_the_formula_tells_variants_apart():
    b, scale, shift = arrays(np.float64)
    y = np.ones((OUTPUTS, PIXELS))
    right = formula(y, b, scale, shift, 0.25)
    assert not np.allclose(right, formula(y, b * scale, scale, shift, 0.25))
    assert not np.allclose(right, formula(y, b, scale, shift, 0.5))
    assert not np.allclose(right, formula(y, b, scale, shift, 0.25, 0.75))
