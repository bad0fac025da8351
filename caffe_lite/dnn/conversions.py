"""Arguments as OpenCV's bindings take them: None is the default, a Scalar is up to 4 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments
from caffe_lite.arguments import ArgumentError

Array = npt.NDArray[Any]

SCALAR = 4
"""The values of an OpenCV Scalar."""


def flag(value: Any, what: str) -> bool:
    """The bool that a bool or a number is; None is False."""
    if value is None or isinstance(value, (bool, int, np.bool_, np.integer)):
        return bool(value)
    raise ArgumentError(f"{what} must be True or False, not {arguments.described(value)}")


def real(value: Any, what: str, default: float = 0.0) -> float:
    """The number that a float, an int or a NumPy scalar is; None is the default."""
    return default if value is None else arguments.number(value, what)


def integer(value: Any, what: str, default: int = 0) -> int:
    """The integer that a number is; None is the default."""
    return default if value is None else arguments.integer(value, what)


def scalar(value: Any, what: str) -> npt.NDArray[np.float64]:
    """The four numbers of a Scalar, of which those not given are 0: one number, or a sequence."""
    given = arguments.numbers(() if value is None else value, what).astype(np.float64)
    if given.ndim > 1 or given.size > SCALAR:
        raise ArgumentError(
            f"{what} must be one number or up to {SCALAR}, not {arguments.described(value)}"
        )
    found = np.zeros(SCALAR)
    found[: given.size] = given
    return found


def size(value: Any, what: str) -> tuple[int, int] | None:
    """The width and the height of a Size; None for the default, which is (0, 0)."""
    if value is None:
        return None
    width, height = arguments.sizes(value, what, 2, least=0)
    if (width == 0) != (height == 0):
        raise ArgumentError(f"{what} must be a width and a height, not {width} x {height}")
    return (width, height) if width else None


def names(value: Any, what: str) -> list[str]:
    """A list of names."""
    return arguments.names(value, what)


def is_sequence(value: object) -> bool:
    """Whether OpenCV takes a value as a list: any sequence but a string, and arrays."""
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
