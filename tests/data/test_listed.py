"""Lists that are shuffled anew: read alone, and in parts by several ranks."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.listed import ListedReader
from caffe_lite.data.readers import Batch
from caffe_lite.distributed.share import Share

COUNT = 7


class Drawing(ListedReader):
    """The items' numbers, and what is drawn for each."""

    item = "thing"

    def fill(self, old: Batch | None) -> Batch:
        data = np.empty((self._batch_size, 2))
        for place, index in self._places():
            data[place] = index, self._rng.random()
            for _ in range(index):  # some items draw more than others
                self._rng.random()
        return Batch(data, data[:, 0], self.get_state())


def reader(batch_size: int, shuffle: bool = True, share: Share | None = None) -> Drawing:
    found = Drawing(COUNT, batch_size, shuffle, "list.txt", np.random.default_rng(3))
    found.share = share or Share()
    return found


def items(found: Drawing, batches: int) -> np.ndarray:
    return np.concatenate([found.fill(None).data for _ in range(batches)])


def test_each_epoch_has_every_item_once_in_another_order() -> None:
    numbers = items(reader(COUNT), 3)[:, 0].reshape(3, COUNT)
    assert (np.sort(numbers) == np.arange(COUNT)).all()
    assert (numbers[0] != numbers[1]).any()
    in_order = items(reader(4, shuffle=False), 4)[:, 0]
    np.testing.assert_array_equal(in_order, np.arange(16) % COUNT)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_read_what_one_process_would(size: int, shuffle: bool) -> None:
    alone = items(reader(2 * size, shuffle), 5)
    parts = [items(reader(2, shuffle, Share(rank, size)), 5) for rank in range(size)]
    np.testing.assert_array_equal(np.stack(parts, axis=1).reshape(alone.shape), alone)


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_take_batches_in_turns(size: int) -> None:
    alone = items(reader(2), 4 * size).reshape(4, size, 2, 2)
    for rank in range(size):
        own = items(reader(2, share=Share(rank, size, by_batch=True)), 4)
        np.testing.assert_array_equal(own.reshape(4, 2, 2), alone[:, rank])


def test_it_goes_on_from_a_state() -> None:
    first, other = reader(3), reader(3)
    state = [first.fill(None) for _ in range(4)][-1].state
    other.set_state(state)
    np.testing.assert_array_equal(items(other, 4), items(first, 4))
