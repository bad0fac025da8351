"""Plans: the whole numbers that a kernel needs, with names, in one array.

A plan is a NamedTuple of integers.  It is packed once for each shape, and the array is the
kernel's argument, as Numba takes an array in a fifth of the time of a tuple.  The kernel unpacks
it: ``p = unpack(Plan, numbers)``, then reads ``p.kernel_h``.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numba import types
from numba.extending import overload
from numba.np.unsafe.ndarray import to_fixed_tuple

__all__ = ["pack", "unpack"]

P = TypeVar("P", bound=tuple[Any, ...])


def pack(plan: tuple[Any, ...]) -> np.ndarray:
    """The fields of a plan, in an array of int64; truth values are 0 or 1."""
    return np.array(plan, np.int64)


def unpack(kind: type[P], numbers: np.ndarray) -> P:
    """The plan of a kind that `pack` made an array of; more may follow in the array."""
    count = len(kind._fields)  # type: ignore[attr-defined]
    return kind(*numbers[:count].tolist())


@overload(unpack)
def _compiled_unpack(kind, numbers):
    if not isinstance(kind, types.NamedTupleClass):
        return None
    count = len(kind.instance_class._fields)

    def definition(kind, numbers):
        return kind(*to_fixed_tuple(numbers, count))

    return definition
