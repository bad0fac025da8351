"""Items dealt to ranks in blocks, and their results in order."""

from __future__ import annotations

import json
from itertools import chain

import pytest

from caffe_lite import distributed
from caffe_lite.distributed import Group, dealt, in_order
from tests.distributed import ordering
from tests.distributed.launching import needs_mpi, run


def group_of(rank: int, size: int) -> Group:
    group = Group()
    group.rank, group.size = rank, size
    return group


@pytest.mark.parametrize(
    ("count", "size", "block"), [(17, 3, 2), (12, 3, 2), (2, 5, 3), (0, 2, 4)]
)
def test_every_item_is_dealt_once_and_in_blocks(count, size, block):
    parts = [list(dealt(group_of(rank, size), range(count), block)) for rank in range(size)]
    assert sorted(chain.from_iterable(parts)) == list(range(count))
    for rank, part in enumerate(parts):
        assert all(item // block % size == rank for item in part)
        assert part == sorted(part)


def test_a_process_alone_computes_one_result_at_a_time():
    seen = []
    results = in_order(distributed.Group(), (seen.append(i) or i for i in range(5)), 2)
    assert next(results) == 0
    assert seen == [0]
    assert list(results) == [1, 2, 3, 4]


@needs_mpi
def test_results_come_in_order_at_rank_0(tmp_path):
    found = json.loads(run(3, ordering.__file__, "counted", folder=tmp_path).stdout)
    for count, block, results, others in found:
        assert results == [n * n for n in range(count)], (count, block)
        assert others == [[], []]


@needs_mpi
@pytest.mark.parametrize("failing", [7, 10])  # of rank 0, which has blocks 0 and 3; and of rank 1
def test_an_error_comes_after_the_results_before_it(failing, tmp_path):
    done = run(3, ordering.__file__, "failing", str(failing), folder=tmp_path, code=1)
    assert [int(line) for line in done.stdout.split()] == list(range(failing))
    assert done.stderr.count(f"item {failing} is bad") == 1
    assert ("(rank 2 of 3, on " in done.stderr) == (failing == 10)
