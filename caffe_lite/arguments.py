"""Arguments of public functions: of the wrong type or size they are refused in one line.

pycaffe's programs get TypeError or ValueError for these, from Boost and NumPy; an `ArgumentError`
is both, and a CaffeError.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.errors import CaffeError

LARGEST = 2**63 - 1
"""The largest integer that an argument may be: that of a size of an array."""

_SHOWN = 60


class ArgumentError(CaffeError, TypeError, ValueError):
    """An argument of a type, or of a value, that the function does not take."""


def described(value: object) -> str:
    """What an argument is, for a message: its type, and its value if that is short."""
    kind = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    text = repr(value) if isinstance(value, (str, bytes, int, float, complex)) else ""
    return f"{text} ({kind})" if text and len(text) <= _SHOWN else f"a {kind}"


def path(value: object, what: str) -> str:
    """The path that a str or an os.PathLike is."""
    if isinstance(value, (str, os.PathLike)):
        name = os.fspath(value)
        if isinstance(name, str) and "\0" not in name:
            return name
    raise ArgumentError(f"{what} must be a path, a str or os.PathLike, not {described(value)}")


def integer(value: Any, what: str, least: int = -LARGEST, most: int = LARGEST) -> int:
    """The integer that a number is, NumPy's too; a bool or a float is none."""
    if not isinstance(value, (bool, np.bool_)):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if least <= number <= most:
                return number
            raise ArgumentError(f"{what} must be {_range(least, most)}, not {number}")
    raise ArgumentError(f"{what} must be an integer, not {described(value)}")


def _range(least: int, most: int) -> str:
    if least == -LARGEST:
        return f"at most {most}"
    return f"at least {least}" if most == LARGEST else f"{least} to {most}"


def names(value: object, what: str) -> list[str]:
    """The strings of a list, or of another iterable that is no string itself."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        found = list(value)
        if all(isinstance(each, str) for each in found):
            return found
    raise ArgumentError(f"{what} must be a list of str, not {described(value)}")


def dtype(value: Any, what: str = "dtype") -> np.dtype[Any]:
    """float32 or float64, however it is named."""
    try:
        found: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{what} must be float32 or float64, not {described(value)}") from None
    if value is None or found not in (np.float32, np.float64) or not found.isnative:
        raise ArgumentError(f"{what} must be float32 or float64, not {found}")
    return found


def numbers(value: Any, what: str) -> npt.NDArray[Any]:
    """The real numbers of an array, or of what NumPy makes one of; a bool is a number."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"{what} must be an array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"{what} must be an array of numbers, not of {array.dtype}")
    return array


def sizes(value: Any, what: str, count: int | None = None, least: int = 1) -> tuple[int, ...]:
    """Integers, so many if `count` is given, such as a height and a width."""
    wanted = "integers" if count is None else f"{count} integers"
    scalar = getattr(value, "ndim", 1) == 0 or isinstance(value, (str, bytes))
    if scalar or not isinstance(value, Iterable):
        raise ArgumentError(f"{what} must be {wanted}, not {described(value)}")
    found = tuple(integer(each, f"each of {what}", least) for each in value)
    if count is not None and len(found) != count:
        raise ArgumentError(f"{what} must be {wanted}, not {len(found)}")
    return found


def number(value: Any, what: str) -> float:
    """The real number that a float, an int or a NumPy scalar is."""
    array = numbers(value, what)
    if array.size != 1:
        raise ArgumentError(f"{what} must be one number, not {described(value)}")
    return float(array.reshape(-1)[0])


def instance(value: Any, kind: type, what: str) -> None:
    """Refuse anything but an object of that class."""
    if not isinstance(value, kind):
        raise ArgumentError(f"{what} must be a {kind.__name__}, not {described(value)}")
