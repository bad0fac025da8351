"""Arrays that share chunks of huge pages behave as those of `np.zeros`."""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from caffe_lite.blob import Blob
from caffe_lite.huge_pages import CHUNK, LEAST, LINE, PAGE, zeros

Array = np.ndarray[Any, Any]


def span(array: Array) -> tuple[int, int]:
    return array.ctypes.data, array.ctypes.data + array.nbytes


def memory_of(array: Array) -> Any:
    """The object at the end of the chain of bases."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.uint8])
@pytest.mark.parametrize("shape", [(), 0, 7, (3, 5), LEAST // 2 + 1, (17, 4099), CHUNK + 3])
def test_as_of_numpy(shape: Any, dtype: Any) -> None:
    found, expected = zeros(shape, dtype), np.zeros(shape, dtype)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.flags.aligned
    assert not found.any()
    found[...] = 1
    assert found.sum(dtype=np.float64) == found.size


def in_new_thread(function: Any) -> Any:
    """What a function returns in a thread that has no chunk yet."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_no_two_have_a_part_of_a_cache_line() -> None:
    sizes = [LEAST + 1, 3 * LEAST + 17, CHUNK // 2, CHUNK // 2 + 5, PAGE, CHUNK - 1, LEAST] * 3
    arrays = [zeros(size, np.uint8) for size in sizes]
    for number, array in enumerate(arrays):
        array[...] = number + 1
    assert all((array == number + 1).all() for number, array in enumerate(arrays))
    spans = sorted(map(span, arrays))
    assert all(start % LINE == 0 for start, _ in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_small_and_large_ones_leave_the_chunk_to_others() -> None:
    sizes = LEAST, LEAST - 1, CHUNK + 1, LEAST
    before, small, large, after = in_new_thread(lambda: [zeros(each, np.uint8) for each in sizes])
    assert memory_of(before) is memory_of(after)
    assert small.base is None
    assert large.base is None
    assert before.ctypes.data % PAGE == 0


def test_a_chunk_is_freed_with_the_last_of_its_arrays() -> None:
    first, second = in_new_thread(lambda: [zeros(CHUNK // 2, np.uint8) for _ in range(2)])
    chunk = weakref.ref(memory_of(first))
    del first
    assert chunk() is memory_of(second)
    del second
    assert chunk() is None


def test_threads_have_chunks_of_their_own() -> None:
    mine, theirs = zeros(LEAST, np.uint8), in_new_thread(lambda: zeros(LEAST, np.uint8))
    assert memory_of(theirs) is not memory_of(mine)


def test_blobs_lie_in_them() -> None:
    one, other = in_new_thread(lambda: [Blob((3, LEAST)).data, Blob((5, LEAST)).data])
    assert memory_of(one) is memory_of(other)
