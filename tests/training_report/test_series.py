from __future__ import annotations

import math

import numpy as np
import pytest

from caffe_lite.training_report.series import Series


def filled(values, limit=8):
    series = Series(limit)
    for iteration, value in enumerate(values):
        series.add(iteration, value)
    return series


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 33, 100, 1000])
def test_points_are_of_all_values_and_bounded(count):
    values = np.random.default_rng(count).standard_normal(count)
    series = filled(values.tolist())
    points = series.points
    assert len(points) <= 8
    begin = 0
    for point in points:
        part = values[begin : begin + series.stride]
        assert point.y == pytest.approx(part.mean())
        assert (point.low, point.high) == (part.min(), part.max())
        assert point.x == begin + (len(part) - 1) / 2
        begin += series.stride
    assert begin >= count > begin - series.stride


def test_values_that_are_not_finite_are_counted_and_shown_nowhere():
    series = filled([1.0, math.nan, 2.0, math.inf, 3.0])
    assert [(point.x, point.y) for point in series.points] == [(0, 1.0), (2, 2.0), (4, 3.0)]
    assert (series.bad, series.first_bad, series.last) == (2, 1, 3.0)
    assert math.isnan(filled([1.0, math.nan]).last)


def test_best():
    series = filled([3.0, 1.0, 5.0, 4.0])
    assert series.best(smallest=True) == (1, 1.0)
    assert series.best(smallest=False) == (2, 5.0)
    assert filled([math.nan]).best(smallest=True) is None
