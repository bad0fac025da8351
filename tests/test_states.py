"""States of layers as JSON, and what is refused of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe_lite import states
from caffe_lite.errors import DataError

VALUES = {
    "nothing": None,
    "yes": True,
    "count": 1 << 120,
    "mean": 0.1,
    "endless": float("-inf"),
    "text": 'a "name"\udc80\n',
    "key": b"\0\xff",
    "list": [1, [2.5, "three"], {"four": b"4"}],
    "empty": {},
}


def there_and_back(value):
    text = json.dumps(states.encode(value), allow_nan=False)
    return states.decode(json.loads(text))


def test_values_come_back():
    assert there_and_back(VALUES) == VALUES
    assert np.isnan(there_and_back(float("nan")))
    assert there_and_back((1, 2)) == [1, 2]
    assert there_and_back(np.float32(0.5)) == 0.5
    assert there_and_back(np.int64(7)) == 7


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 1)])
def test_arrays_come_back(dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    back = there_and_back(array)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == shape
    np.testing.assert_array_equal(back, array)
    back[...] = 0  # it can be written to


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), "a state has a object"),
        (np.array(["text"]), "a state has a ndarray"),
        ({1: 2}, "has the key 1; keys are strings"),
        ({"$array": 2}, r"has the key '\$array'"),
    ],
)
def test_what_cannot_be_written_is_refused(value, says):
    with pytest.raises(DataError, match=says):
        states.encode({"deep": [value]})


@pytest.mark.parametrize(
    "value",
    [
        {"$float": "1.5"},
        {"$float": []},
        {"$bytes": "a"},
        {"$bytes": 3},
        {"$bytes": "AAAA", "more": 1},
        {"$new": 1},
        {"$array": "AAAA", "dtype": "<f4", "shape": [1]},
        {"$array": "AAAAAA==", "dtype": "<f4", "shape": [-1]},
        {"$array": "AAAAAA==", "dtype": "<f4", "shape": [True]},
        {"$array": "AAAAAA==", "dtype": "<f4", "shape": 1},
        {"$array": "AAAAAA==", "dtype": "<f4,<f4", "shape": [1]},
        {"$array": "AAAAAA==", "dtype": "O", "shape": [1]},
        {"$array": "AAAAAA==", "dtype": None, "shape": [1]},
        {"$array": "AAAAAA==", "dtype": "f" * 100, "shape": [1]},
    ],
)
def test_what_was_never_written_is_refused(value):
    with pytest.raises(DataError, match="the state's \"\\$"):
        states.decode({"deep": [value]})


def test_a_stream_goes_on():
    stream = np.random.default_rng(3)
    stream.integers(5, dtype=np.uint32)  # half a word is left over
    state = there_and_back({"rng": states.of_generator(stream)})
    wanted = stream.integers(1000, size=5, dtype=np.uint32)
    other = np.random.default_rng(4)
    states.restore_generator(other, state)
    np.testing.assert_array_equal(other.integers(1000, size=5, dtype=np.uint32), wanted)


@pytest.mark.parametrize(
    ("current", "value"),
    [
        (1, 1.0),
        (1, True),
        (1, -1),
        (1.0, 1),
        (False, 0),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.zeros(2, np.float32), np.zeros((2, 1), np.float32)),
        (np.zeros(2, np.float32), [0.0, 0.0]),
    ],
)
def test_values_of_another_kind_are_refused(current, value):
    with pytest.raises(DataError, match='the state\'s "x" is'):
        states.like({"x": value}, "x", current)
    with pytest.raises(DataError, match='the state has no "x"'):
        states.like({}, "x", current)
