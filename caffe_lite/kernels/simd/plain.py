# ruff: noqa: D102 - what the methods do is said at `Emitter`
"""The emitter's interface on plain values: what vector code does where nothing is compiled.

An integer is a Python integer, a vector a NumPy array, a pointer an array with an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from caffe_lite.kernels.simd.processor import VECTOR_BYTES

__all__ = ["Plain", "PlainPointer"]


class PlainPointer:
    """An element of a flat array; the offset may be outside of it as long as nothing is read."""

    __slots__ = ("array", "offset")

    def __init__(self, array: np.ndarray, offset: int) -> None:
        self.array = array
        self.offset = offset

    @classmethod
    def to(cls, array: np.ndarray) -> PlainPointer:
        """To the first element of an array; what is before it in a larger one can be reached."""
        whole = array if array.base is None else array.base
        if not isinstance(whole, np.ndarray) or whole.dtype != array.dtype:
            whole = array
        offset = (array.ctypes.data - whole.ctypes.data) // array.itemsize
        return cls(whole.reshape(-1), offset)

    def __add__(self, count: int) -> PlainPointer:
        return PlainPointer(self.array, self.offset + count)

    def __getitem__(self, i: int) -> Any:
        return self.array[self._place(i, 1)]

    def __setitem__(self, i: int, value: Any) -> None:
        self.array[self._place(i, 1)] = value

    def stretch(self, count: int) -> np.ndarray:
        """A view of the elements from here on."""
        start = self._place(0, count)
        return self.array[start : start + count]

    def _place(self, i: int, count: int) -> int:
        place = self.offset + i
        if not 0 <= place <= self.array.size - count:
            raise IndexError(f"elements {place} to {place + count - 1} of {self.array.size}")
        return place


class Plain:
    """What `Emitter` emits, done at once; see there."""

    def __init__(self, dtype: Any, lanes: int = 0) -> None:
        self.dtype = np.dtype(dtype)
        self.bits = 8 * self.dtype.itemsize
        self.lanes = lanes or VECTOR_BYTES // self.dtype.itemsize

    def of_lanes(self, lanes: int) -> Plain:
        return Plain(self.dtype, lanes)

    def scalar(self, value: float) -> Any:
        return self.dtype.type(value)

    def constant(self, value: float) -> np.ndarray:
        return np.full(self.lanes, value, self.dtype)

    def zeros(self) -> np.ndarray:
        return np.zeros(self.lanes, self.dtype)

    def int32s(self, values: Iterable[int]) -> np.ndarray:
        return np.array(list(values), np.int32)

    def int32(self, value: int) -> Any:
        return np.int32(value)

    def broadcast(self, value: Any) -> np.ndarray:
        return np.full(self.lanes, value)

    def first_lanes(self, count: int) -> np.ndarray:
        return np.arange(self.lanes) < count

    def mask(self, lanes: Iterable[bool]) -> np.ndarray:
        return np.array(list(lanes))

    def doubles(self, value: np.ndarray) -> np.ndarray:
        return value.astype(np.float64)

    def zero_doubles(self) -> np.ndarray:
        return np.zeros(self.lanes)

    def one_or_zero(self, condition: bool) -> Any:
        return self.dtype.type(condition)

    def load(self, pointer: PlainPointer) -> np.ndarray:
        return pointer.stretch(self.lanes).copy()

    def store(self, value: np.ndarray, pointer: PlainPointer) -> None:
        pointer.stretch(len(value))[:] = value

    def load_masked(self, pointer: PlainPointer, mask: Any, other: np.ndarray) -> np.ndarray:
        found = other.copy()
        for lane in np.flatnonzero(mask):
            found[lane] = pointer[int(lane)]
        return found

    def store_masked(self, value: np.ndarray, pointer: PlainPointer, mask: Any) -> None:
        for lane in np.flatnonzero(mask):
            pointer[int(lane)] = value[lane]

    def prefetch(self, pointer: PlainPointer) -> None:
        pass

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        return x * y + z

    def select(self, condition: Any, x: Any, y: Any) -> Any:
        if np.ndim(condition):
            return np.where(condition, x, y)
        return x if condition else y

    def min(self, x: int, y: int) -> int:
        return x if x < y else y

    def max(self, x: int, y: int) -> int:
        return x if x > y else y

    def is_nan(self, x: Any) -> Any:
        return np.isnan(x)

    def all(self, mask: np.ndarray) -> bool:
        return bool(mask.all())

    def shuffle(self, x: np.ndarray, y: np.ndarray, lanes: Iterable[int]) -> np.ndarray:
        return np.concatenate((x, y))[list(lanes)]

    def range(
        self, stop: int, step: int = 1, carried: list[Any] | None = None, nonempty: bool = False
    ) -> Iterator[int]:
        if nonempty and stop <= 0:
            raise ValueError(f"a loop to {stop} was said to be not empty")
        return iter(range(0, int(stop), step))

    def if_then(
        self, condition: Any, body: Callable[..., Any], carried: Iterable[Any] = ()
    ) -> list[Any]:
        return list(body(*carried) or ()) if condition else list(carried)

    def if_else(
        self, condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]
    ) -> list[Any]:
        return list((then if condition else otherwise)() or ())

    def switch(self, cases: Iterable[tuple[Any, Callable[[], None]]]) -> None:
        for condition, body in cases:
            if condition:
                body()
                return
