"""Plans: what is packed is unpacked, compiled and not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.plan import pack, unpack


class Sizes(NamedTuple):
    height: int
    width: int
    flipped: bool


@jit
def read(numbers, found):
    sizes = unpack(Sizes, numbers)
    found[0], found[1], found[2] = sizes.width, sizes.height, 7 if sizes.flipped else 8


def test_fields_keep_their_names_and_order():
    numbers = pack(Sizes(height=3, width=1 << 40, flipped=True))
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [3, 1 << 40, 1]
    found = np.zeros(3, np.int64)
    read(numbers, found)
    assert found.tolist() == [1 << 40, 3, 7]
    read(pack(Sizes(5, 6, False)), found)
    assert found.tolist() == [6, 5, 8]
