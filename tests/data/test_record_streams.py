"""A random stream for each record: what is drawn for one changes nothing for another."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.record_streams import RecordStreams
from caffe_lite.errors import DataError


def streams() -> RecordStreams:
    return RecordStreams(np.random.default_rng(3))


def drawn(of: RecordStreams, rows: list[int], counts: list[int]) -> list[list[int]]:
    found = []
    for row, count in zip(rows, counts, strict=True):
        of.go_to(row)
        found.append(of.rng.integers(1 << 40, size=count).tolist())
    return found


def test_how_much_is_drawn_for_a_record_changes_no_other():
    few, many = drawn(streams(), [0, 1, 2], [1, 1, 1]), drawn(streams(), [0, 1, 2], [1, 9, 1])
    assert few[0] == many[0]
    assert few[2] == many[2]
    assert few[1] == many[1][:1]
    assert len({tuple(each) for each in few}) == 3


def test_records_may_be_left_out_and_have_one_number_over_all_batches():
    whole = drawn(streams(), [0, 1, 2, 3, 4, 5], [2] * 6)
    assert drawn(streams(), [1, 3], [2, 2]) == [whole[1], whole[3]]
    later = streams()
    later.leave(4)
    assert drawn(later, [1], [2]) == [whole[5]]


def test_the_source_s_own_stream_is_left_alone():
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    own = RecordStreams(rng)
    drawn(own, [0, 1], [3, 3])
    own.leave(2)
    assert rng.integers(1 << 40, size=5).tolist() == same.integers(1 << 40, size=5).tolist()
    assert (
        drawn(streams(), [0], [5])[0]
        != np.random.default_rng(3).integers(1 << 40, size=5).tolist()
    )


def test_a_state_goes_on_at_the_next_batch():
    whole = drawn(streams(), [0, 1, 2, 3], [2] * 4)
    before = streams()
    drawn(before, [0, 1], [2, 2])
    before.leave(2)
    again = RecordStreams(np.random.default_rng(8))
    again.set_state({"records_rng": before.get_state()}, "records_rng")
    assert drawn(again, [0, 1], [2, 2]) == whole[2:]
    with pytest.raises(DataError, match='"records_rng"'):
        again.set_state({"records_rng": {"bit_generator": "PCG64"}}, "records_rng")
