"""The background reader: order, bounds, errors, and its end."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from caffe_lite.data.prefetch import Prefetcher
from caffe_lite.errors import DataError


class Numbers:
    """Fills one-element lists with 0, 1, 2, ...; fails instead of reaching `end`."""

    def __init__(self, end: int = 10**9) -> None:
        self.count = 0
        self.end = end
        self.closed = 0
        self.reused = 0

    def fill(self, old: list[int] | None) -> list[int]:
        if self.count == self.end:
            raise DataError(f"record {self.end} is broken")
        self.reused += old is not None
        batch = [] if old is None else old
        batch[:] = [self.count]
        self.count += 1
        return batch

    def close(self) -> None:
        self.closed += 1


def readers() -> int:
    return sum(thread.name == "caffe_lite reader" for thread in threading.enumerate())


def wait_until(condition: object) -> None:
    for _ in range(200):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.01)
    pytest.fail("did not happen in 2 s")


@pytest.fixture
def numbers() -> Iterator[Numbers]:
    before = readers()
    yield Numbers()
    wait_until(lambda: readers() == before)


def test_batches_come_in_order(numbers: Numbers) -> None:
    prefetcher = Prefetcher(numbers.fill, 3, numbers.close)
    for wanted in range(20):
        batch = prefetcher.next()
        assert batch == [wanted]
        prefetcher.recycle(batch)
    assert numbers.reused > 0
    prefetcher.close()
    prefetcher.close()
    assert numbers.closed == 1


def made(numbers: Numbers) -> int:
    """How many batches there are after a while in which nobody takes one."""
    time.sleep(0.05)
    return numbers.count


def test_it_keeps_one_batch_while_nobody_waits(numbers: Numbers) -> None:
    prefetcher = Prefetcher(numbers.fill, 3, numbers.close)
    for taken in range(1, 6):
        batch = prefetcher.next()
        assert made(numbers) == taken
        prefetcher.recycle(batch)
        wait_until(lambda: numbers.count > taken)  # noqa: B023 - it is called here
        assert made(numbers) == taken + 1
    assert numbers.reused == 5
    prefetcher.close()


@pytest.mark.parametrize(("waits", "ahead"), [(0, 0), (1, 1), (2, 2), (3, 3), (5, 3)])
def test_each_wait_allows_one_more_up_to_its_depth(
    waits: int, ahead: int, numbers: Numbers
) -> None:
    def fill(old: list[int] | None) -> list[int]:
        time.sleep(0.1)
        return numbers.fill(old)

    prefetcher = Prefetcher(fill, 3, numbers.close)
    for _ in range(1 + waits):  # the first has to wait however fast the reader is
        prefetcher.next()
    wait_until(lambda: numbers.count == 1 + waits + ahead)
    time.sleep(0.15)
    assert numbers.count == 1 + waits + ahead
    prefetcher.close()


def test_no_thread_before_the_first_batch(numbers: Numbers) -> None:
    before = readers()
    prefetcher = Prefetcher(numbers.fill, 3, numbers.close)
    assert readers() == before
    prefetcher.close()
    assert numbers.closed == 1


def test_an_error_comes_in_its_turn_and_again(numbers: Numbers) -> None:
    numbers.end = 2
    prefetcher = Prefetcher(numbers.fill, 4, numbers.close)
    assert [prefetcher.next(), prefetcher.next()] == [[0], [1]]
    for _ in range(2):
        with pytest.raises(DataError, match="record 2 is broken"):
            prefetcher.next()
    prefetcher.close()


def test_closed(numbers: Numbers) -> None:
    prefetcher = Prefetcher(numbers.fill, 2, numbers.close)
    prefetcher.next()
    prefetcher.close()
    with pytest.raises(DataError, match="was closed"):
        prefetcher.next()


def test_the_collector_closes_it(numbers: Numbers) -> None:
    prefetcher = Prefetcher(numbers.fill, 2, numbers.close)
    prefetcher.next()
    del prefetcher
    gc.collect()
    assert numbers.closed == 1


def test_the_interpreter_exits_with_a_reader_at_work() -> None:
    program = (
        "from caffe_lite.data.prefetch import Prefetcher\n"
        "kept = Prefetcher(lambda old: [0], 2, lambda: print('closed'))\n"
        "kept.next()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


def test_restart_drops_what_was_made_ahead(numbers: Numbers) -> None:
    prefetcher = Prefetcher(numbers.fill, 4, numbers.close)
    for wanted in range(3):
        batch = prefetcher.next()
        assert batch == [wanted]
        prefetcher.recycle(batch)
    wait_until(lambda: numbers.count > 3)

    def move() -> None:
        assert readers() == 0, "nobody fills meanwhile"
        numbers.count = 20

    prefetcher.restart(move)
    assert [prefetcher.next()[0] for _ in range(3)] == [20, 21, 22]
    assert numbers.closed == 0
    prefetcher.close()
    assert numbers.closed == 1
    with pytest.raises(DataError, match="closed with its net"):
        prefetcher.restart(move)


def test_restart_forgets_a_failure(numbers: Numbers) -> None:
    numbers.end = 1
    prefetcher = Prefetcher(numbers.fill, 2, numbers.close)
    prefetcher.next()
    with pytest.raises(DataError, match="record 1 is broken"):
        prefetcher.next()
    numbers.end = 10
    prefetcher.restart(lambda: None)
    assert prefetcher.next() == [1]
    prefetcher.close()
