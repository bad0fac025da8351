"""Recordings: the same launches again, on whatever the arrays hold by then."""

from __future__ import annotations

import gc
import threading
from typing import NamedTuple

import numpy as np
import pytest
from numba import config

from caffe_lite.kernels.parallel import clock, elementwise, launch, parallel, record, unrecorded

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")
MANY = 1e9  # elements: worth all threads


class Pair(NamedTuple):
    low: np.ndarray
    high: np.ndarray


@elementwise
def add(x, y, z):
    for i in range(x.size):
        z[i] = x[i] + y[i]


@parallel
def spread(first, last, factor, bounds, sizes, y):
    """y times a factor, cut to the bounds of its column; a task is a row of sizes[1] columns."""
    for row in range(first, last):
        for column in range(sizes[1]):
            value = factor * y[row, column]
            y[row, column] = min(max(value, bounds.low[column]), bounds.high[column])


@parallel
def needs_memory(first, last, sizes, y):
    for task in range(first, last):
        y[task] = np.empty(sizes[0])[0]


def no_times():
    return np.zeros((0, 2), np.int64)


@pytest.mark.parametrize("elements", [1, MANY])
def test_it_computes_with_the_values_of_now(elements):
    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    bounds = Pair(np.array([0.0, 2.0, 3.0]), np.array([1.0, 9.0, 40.0]))

    def run():
        add(x, y, y)
        launch(spread, 2, elements, 2.0, bounds, (2, 3), y)

    with record() as recording:
        run()
    assert recording.complete
    assert len(recording) == 2
    x[...], y[...] = [[1, 2, 3], [4, 5, 6]], 0.5
    bounds.high[1] = 7
    gc.collect()  # arrays that nobody else refers to are the recording's
    recording.repeat(no_times())
    assert y.tolist() == [[1, 5, 7], [1, 7, 13]]


def test_temporary_arrays_stay():
    x, y = np.arange(4.0), np.zeros(4)
    with record() as recording:
        between = np.empty(4)
        add(x, x, between)
        add(between, x, y)
    del between
    gc.collect()
    rubbish = [np.full(4, 99.0) for _ in range(100)]
    x += 1
    recording.repeat(no_times())
    assert y.tolist() == [3, 6, 9, 12]
    assert len(rubbish) == 100


def test_recordings_one_after_the_other_with_times():
    x, y = np.ones(3), np.zeros(3)
    with record() as first:
        add(x, x, y)
    with record() as second:
        add(y, y, y)
        add(y, y, x)
    first.append(second, 1)
    times = np.zeros((2, 2), np.int64)
    x[...] = 2
    began = clock()
    first.repeat(times)
    assert x.tolist() == [16, 16, 16]
    assert times[0].tolist() == [0, 0]
    if began is not None:
        assert began < times[1, 0] * 10**9 + times[1, 1] < began + 60 * 10**9


def test_a_task_without_memory_is_an_error():
    sizes, y = np.array([3]), np.zeros(4)
    with record() as recording:
        launch(needs_memory, 4, MANY, sizes, y)
    sizes[0] = 1 << 60
    with pytest.raises(MemoryError):
        recording.repeat(no_times())
    sizes[0] = 3
    recording.repeat(no_times())


def test_what_is_no_launch_is_said():
    x = np.ones(2)
    with record() as outer:
        with record() as inner:
            add(x, x, x)
            unrecorded()
        add(x, x, x)
    assert (inner.complete, outer.complete) == (False, True)
    assert (len(inner), len(outer)) == (1, 1)
    unrecorded()  # nothing is recorded, nobody to tell


def test_other_threads_launches_are_not_noted():
    x = np.ones(2)
    with record() as recording:
        thread = threading.Thread(target=add, args=(x, x, x))
        thread.start()
        thread.join()
    assert (len(recording), x.tolist()) == (0, [2, 2])


def test_no_tasks_are_no_entry():
    with record() as recording:
        launch(spread, 0, MANY, 2.0, Pair(np.ones(1), np.ones(1)), (0, 1), np.ones((0, 1)))
    assert len(recording) == 0
    recording.repeat(no_times())
