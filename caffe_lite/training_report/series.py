"""Values over iterations, of a run of any length in a bounded number of points."""

from __future__ import annotations

import math
from itertools import chain
from typing import NamedTuple


class Point(NamedTuple):
    """The values of some iterations in a row: their mean, the smallest and the largest."""

    x: float
    """The middle of the iterations."""
    y: float
    low: float
    high: float


class _Bucket:
    """Sums of up to `Series.stride` values."""

    __slots__ = ("count", "first", "high", "last", "low", "total")

    def __init__(self, x: float, y: float) -> None:
        self.count, self.first, self.last = 1, x, x
        self.total = self.low = self.high = y

    def merge(self, other: _Bucket) -> None:
        self.count += other.count
        self.last = other.last
        self.total += other.total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)


class Series:
    """Values that are added one by one; of those that are not finite only the number is kept.

    At `limit` points, two neighbours each become one.
    """

    def __init__(self, limit: int = 400) -> None:
        self._limit = limit
        self._buckets: list[_Bucket] = []
        self.stride = 1
        """How many values a point is of; the last may be of fewer."""
        self.last = math.nan
        """The last value, also one that is not finite."""
        self.first_bad: float | None = None
        """The first iteration whose value was not finite."""
        self.bad = 0

    def add(self, x: float, y: float) -> None:
        """Add the value `y` of an iteration; iterations never decrease."""
        self.last = y
        if not math.isfinite(y):
            self.bad += 1
            if self.first_bad is None:
                self.first_bad = x
            return
        bucket = _Bucket(x, y)
        if self._buckets and self._buckets[-1].count < self.stride:
            self._buckets[-1].merge(bucket)
            return
        if len(self._buckets) == self._limit:
            self._halve()
        self._buckets.append(bucket)

    def _halve(self) -> None:
        for left, right in zip(self._buckets[::2], self._buckets[1::2]):
            left.merge(right)
        self._buckets = self._buckets[::2]
        self.stride *= 2

    @property
    def points(self) -> list[Point]:
        """The points, in the order of their iterations."""
        return [
            Point((each.first + each.last) / 2, each.total / each.count, each.low, each.high)
            for each in self._buckets
        ]

    def best(self, smallest: bool) -> tuple[float, float] | None:
        """The iteration and the value of the smallest or largest point; None without any."""
        if not self._buckets:
            return None
        choose = min if smallest else max
        found = choose(self._buckets, key=lambda each: each.low if smallest else each.high)
        return found.last, found.low if smallest else found.high


def span(series: list[Series]) -> tuple[float, float]:
    """The smallest and the largest of all points' means; (nan, nan) if there is none."""
    means = list(chain.from_iterable((point.y for point in each.points) for each in series))
    return (min(means), max(means)) if means else (math.nan, math.nan)
