"""The launcher and its pool: every task once, whatever happens to threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numba import config

from caffe_lite.kernels.parallel import (
    elementwise,
    get_num_threads,
    launch,
    launcher,
    parallel,
    pieces_of,
    set_num_threads,
)

ROOT = Path(__file__).resolve().parents[2]
MANY = 1e9  # elements: worth all threads
compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")


@parallel
def count_tasks(first, last, counts, ends):
    """Count each task once; mark where a piece begins."""
    ends[first] = 1
    for task in range(first, last):
        counts[task] += 1


@parallel
def needs_memory(first, last, size, y):
    for task in range(first, last):
        y[task] = np.empty(size)[0]


@elementwise
def affine(x, scale, shift, y):
    a = x.dtype.type(scale)
    for i in range(x.size):
        y[i] = a * x[i] + shift[i]


@pytest.mark.parametrize("tasks", [1, 2, 3, 7, 8, 9, 1000])
@pytest.mark.parametrize("threads", [1, 2])
def test_each_task_is_done_once(tasks, threads):
    counts, ends = np.zeros(tasks, np.int64), np.zeros(tasks, np.int64)
    set_num_threads(threads)
    try:
        for repeat in range(1, 50):
            launch(count_tasks, tasks, MANY, counts, ends)
            assert (counts == repeat).all()
    finally:
        set_num_threads(2)
    if not config.DISABLE_JIT:
        assert ends.sum() == pieces_of_threads(tasks, threads)


def pieces_of_threads(tasks, threads):
    return 1 if threads == 1 else min(tasks, launcher.PIECES * threads)


@compiled
def test_more_pieces_than_a_word_has_bits(monkeypatch):
    monkeypatch.setattr(launcher, "PIECES", 500)
    counts, ends = np.zeros(1000, np.int64), np.zeros(1000, np.int64)
    launch(count_tasks, 1000, MANY, counts, ends)
    assert (counts == 1).all()
    assert 2 < ends.sum() <= 64


def test_no_tasks_are_no_work():
    launch(count_tasks, 0, MANY, np.zeros(0, np.int64), np.zeros(0, np.int64))


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4, 50)])
def test_elementwise_on_any_shape(shape):
    x = np.asarray(np.random.default_rng(0).standard_normal(shape), np.float32)
    shift, y = np.asarray(np.cos(x)), np.zeros_like(x)
    affine(x, 2.5, shift, y)
    np.testing.assert_array_equal(y, np.float32(2.5) * x + shift)


def test_elementwise_refuses_arrays_of_other_sizes():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="affine: arrays of 6 and of 5 elements"):
        affine(x, 1.0, x, np.zeros(5, np.float32))


@compiled
@pytest.mark.parametrize("elements", [1, MANY])
def test_a_task_without_memory_is_an_error(elements):
    with pytest.raises(MemoryError):
        launch(needs_memory, 6, elements, 1 << 58, np.zeros(6))
    launch(needs_memory, 6, elements, 5, np.zeros(6))  # and the pool still works


def test_small_work_stays_on_one_thread(monkeypatch):
    monkeypatch.setattr(launcher, "GRAIN", 1000)
    assert pieces_of(10, 1999) == 1
    assert pieces_of(10, 2000) == 2
    assert pieces_of(1, MANY) == 1
    assert pieces_of(1000, MANY) == launcher.PIECES * 2


@pytest.mark.parametrize("count", [0, -1, 10_000])
def test_as_many_threads_as_there_are(count):
    with pytest.raises(ValueError, match=f"{count} threads; choose 1 to"):
        set_num_threads(count)
    assert get_num_threads() == 2


@compiled
def test_several_threads_may_launch_at_once():
    failures = []

    def work(seed):
        x = np.random.default_rng(seed).standard_normal(40_000).astype(np.float32)
        shift, y = np.cos(x), np.zeros_like(x)
        for _ in range(200):
            y[:] = 0
            affine(x, 1.5, shift, y)
            if not np.array_equal(y, np.float32(1.5) * x + shift):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@compiled
def test_idle_workers_take_no_processor_time():
    launch(count_tasks, 8, MANY, np.zeros(8, np.int64), np.zeros(8, np.int64))
    time.sleep(0.05)  # until they sleep
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


PROGRAM = """
import multiprocessing, os, sys
import numpy as np
from caffe_lite.kernels.neuron import absval_forward

def run(_=0):
    x = np.arange(-50_000, 50_000, dtype=np.float32)
    y = np.zeros_like(x)
    for _ in range(20):
        absval_forward(x, y)
    return bool(np.array_equal(y, abs(x)))

if __name__ == "__main__":
    assert run()
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(run, range(4)) == [True] * 4
    assert run()
    print("done")
"""


@compiled
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_child_processes_launch_too(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", program, method],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "done\n", "")
