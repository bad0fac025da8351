"""States: what a run needs to continue in another process, as plain values.

A state is a dictionary from names to values: None, booleans, numbers, strings, bytes, arrays of
NumPy, and lists and dictionaries of these.  Whoever gives one takes it back later, perhaps from a
file that somebody else has changed: so the functions here read values and refuse those of another
kind.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from caffe_lite import glog
from caffe_lite.errors import DataError

State = dict[str, Any]

Array = npt.NDArray[Any]

_log = glog.logger("caffe_lite.data")

_LARGEST = 1 << 128
"""Above all integers of a generator's state, and of any position."""


def refuse(key: str, value: object, wanted: str) -> DataError:
    """The error for a value of a state that is not what it must be."""
    shown = repr(value)
    if len(shown) > 40:
        shown = shown[:40] + "…"
    return DataError(f'the state\'s "{key}" is {shown}, not {wanted}')


def take(state: State, key: str) -> Any:
    """The value of that name.  Raises DataError if there is none."""
    if key not in state:
        raise DataError(f'the state has no "{key}"')
    return state[key]


def integer(state: State, key: str, below: int = _LARGEST) -> int:
    """A whole number from 0 to `below` - 1.  Raises DataError for any other value."""
    value = take(state, key)
    if type(value) is not int or not 0 <= value < below:
        wanted = "a whole number" if below == _LARGEST else f"a whole number from 0 to {below - 1}"
        raise refuse(key, value, wanted)
    return value


def part(state: State, key: str) -> State:
    """A state within a state.  Raises DataError for any other value."""
    value = take(state, key)
    if not isinstance(value, dict):
        raise refuse(key, value, "a state of its own")
    return value


def like(state: State, key: str, current: object) -> Any:
    """A number or an array of the kind of `current`; an array may have another shape.

    Raises DataError for any other value.
    """
    value = take(state, key)
    if isinstance(current, np.ndarray):
        fits = isinstance(value, np.ndarray) and (value.dtype, value.ndim) == (
            current.dtype,
            current.ndim,
        )
        if not fits:
            raise refuse(key, value, f"an array of {current.ndim} axes of {current.dtype}")
        return value
    if type(value) is not type(current) or (isinstance(value, int) and value < 0):
        raise refuse(key, value, f"a {type(current).__name__}, as {current!r} is")
    return value


def note_change(state: State, key: str, now: int | None, source: str) -> None:
    """Say that a source has `now` items, but had another number when the state was taken."""
    before = state.get(key)
    if before is not None and before != now:
        before = integer(state, key)
        _log.warning('"%s" has %s %s now, but had %d at the snapshot', source, now, key, before)


# -- random streams ------------------------------------------------------------------------


def of_generator(generator: np.random.Generator) -> State:
    """Where a random stream is."""
    return cast(State, generator.bit_generator.state)


def restore_generator(generator: np.random.Generator, state: State, key: str = "rng") -> None:
    """Put a random stream where a state's `key` says.  Raises DataError if it cannot be there."""
    wanted = part(state, key)
    if not _same_form(wanted, of_generator(generator)):
        raise refuse(key, wanted, f"one of {type(generator.bit_generator).__name__}")
    try:
        generator.bit_generator.state = wanted
    except (ValueError, TypeError, KeyError, OverflowError):
        raise refuse(key, wanted, "a random state") from None


def _same_form(value: Any, current: Any) -> bool:
    """Whether a value has the keys, types and words of a generator's current state."""
    if type(value) is not type(current):
        return False
    if isinstance(current, dict):
        return value.keys() == current.keys() and all(
            _same_form(value[key], current[key]) for key in current
        )
    if isinstance(current, np.ndarray):
        return bool((value.shape, value.dtype) == (current.shape, current.dtype))
    if isinstance(current, int):
        return bool(0 <= value < _LARGEST)
    return bool(value == current)


# -- as JSON -------------------------------------------------------------------------------

# JSON has no bytes, arrays or numbers that are not finite: each is an object of one member, whose
# name begins with this sign.
_SIGN = "$"


def encode(value: Any) -> Any:
    """A value of a state as one of JSON.  Raises DataError if it is of another type."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"$float": str(number)}
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        array = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        data = base64.b64encode(array.tobytes()).decode()
        return {"$array": data, "dtype": array.dtype.str, "shape": list(value.shape)}
    if isinstance(value, (list, tuple)):
        return [encode(each) for each in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key.startswith(_SIGN):
                raise DataError(
                    f"a state has the key {key!r}; keys are strings that do not begin with {_SIGN}"
                )
        return {key: encode(each) for key, each in value.items()}
    raise DataError(
        f"a state has a {type(value).__name__}; it may have numbers, strings, bytes, arrays, and "
        "lists and dictionaries of these"
    )


def decode(value: Any) -> Any:
    """What `encode` was given.  Raises DataError for what it never gives."""
    if isinstance(value, list):
        return [decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    if not any(key.startswith(_SIGN) for key in value):
        return {key: decode(each) for key, each in value.items()}
    try:
        if value.keys() == {"$float"} and value["$float"] in ("nan", "inf", "-inf"):
            return float(value["$float"])
        if value.keys() == {"$bytes"}:
            return base64.b64decode(value["$bytes"], validate=True)
        if value.keys() == {"$array", "dtype", "shape"}:
            return _decode_array(value)
    except (ValueError, TypeError, binascii.Error, OverflowError):
        pass
    raise refuse(next(iter(value)), value, "a value of a state")


def _decode_array(value: dict[str, Any]) -> Array:
    shape = value["shape"]
    dtype = np.dtype(str(value["dtype"]))
    if dtype.kind not in "fiub" or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError
    array = np.frombuffer(base64.b64decode(value["$array"], validate=True), dtype)
    native: Array = array.reshape(shape).astype(dtype.newbyteorder("="))
    return native
