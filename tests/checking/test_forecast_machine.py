"""The two speeds of a machine: what is multiplied and copied, and which of several runs counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from caffe_lite.checking.forecast import machine

MB64 = 64 << 20


@pytest.mark.parametrize(("processors", "threads"), [(2, 2), (3, 3), (None, 1)])
def test_what_is_multiplied_and_copied(processors, threads, monkeypatch) -> None:
    """A product of 1536 x 1536 takes 4 seconds here; to copy 64 MB, read and written, 0.5."""
    products: list[tuple[int, ...]] = []
    copies: list[tuple[int, float]] = []
    seconds = iter((4.0, 0.5))

    def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        products.append((*a.shape, *b.shape, *out.shape))
        assert a.dtype == b.dtype == out.dtype == np.float32

    def copy(target: np.ndarray, source: np.ndarray) -> None:
        copies.append((source.nbytes, float(source.min() - target.max())))
        assert target.shape == source.shape

    def once(run: Callable[[], object]) -> float:
        run()
        return next(seconds)

    monkeypatch.setattr(machine.os, "cpu_count", lambda: processors)
    monkeypatch.setattr(machine.np, "matmul", multiply)
    monkeypatch.setattr(machine.np, "copyto", copy)
    monkeypatch.setattr(machine, "_best", once)
    found = machine.this_machine.__wrapped__()
    assert products == [(1536,) * 6]
    assert len(copies) == threads
    assert {change for _, change in copies} == {1.0}  # of ones over zeros
    copied = sum(size for size, _ in copies)
    assert MB64 - 4 * threads < copied <= MB64
    assert found.flops == 2 * 1536**3 / 4
    assert found.bandwidth == 2 * copied / 0.5


def test_the_fastest_run_counts(monkeypatch) -> None:
    """One run to warm up, and more until 0.2 seconds are over."""

    def clock() -> Iterator[float]:
        now = 10.0
        yield now
        for length in (0.06, 0.03, 0.05, 0.09):
            yield now  # is it over?
            yield now  # begin
            now += length
            yield now  # end
        yield now

    times = clock()
    runs: list[int] = []
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(times))
    assert machine._best(lambda: runs.append(1)) == pytest.approx(0.03)
    assert len(runs) == 5
    assert machine.SECONDS == 0.2
