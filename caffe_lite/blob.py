"""Blob: Caffe's N-dimensional array of values (`data`) with gradients (`diff`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments, huge_pages
from caffe_lite.errors import CaffeError
from caffe_lite.limits import check_memory

Shape = tuple[int, ...]
Array = npt.NDArray[Any]

MAX_AXES = 32  # Caffe's kMaxBlobAxes


class Changes:
    """The last change of any blob's shape or memory, of any list of parameters, of any buffer.

    A net that has seen `latest` need not look at its blobs again until it is another object.
    """

    __slots__ = ("latest",)

    def __init__(self) -> None:
        self.latest = object()

    def note(self) -> None:
        """Say that something has changed; call it after the change, as threads run nets."""
        self.latest = object()


CHANGES = Changes()


class Storage:
    """A flat array that only grows, for all blobs that share it.

    It is allocated on first access, so a net that only runs forward has no diffs.
    """

    __slots__ = ("array",)

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.array: Array = np.zeros(0, dtype)

    def reserve(self, count: int) -> Array:
        """The whole array, grown to at least `count` elements; existing elements are kept."""
        if self.array.size < count:
            grown = huge_pages.zeros(count, self.array.dtype)
            grown[: self.array.size] = self.array
            self.array = grown
            CHANGES.note()
        return self.array

    def move(self) -> None:
        """Move the values to an array of its own, out of one that it has a part of."""
        moved = huge_pages.zeros(self.array.size, self.array.dtype)
        moved[...] = self.array
        self.array = moved
        CHANGES.note()


def _integers(shape: Iterable[int]) -> Shape:
    """A shape of Python's integers.  Raises ArgumentError for sizes that are none."""
    return tuple(arguments.integer(size, "a blob's size", 0) for size in shape)


class Blob:
    """A shape and two arrays of that shape, `data` and `diff`, C-contiguous and initially zero.

    `data` and `diff` are NumPy views: writing to them changes the net.  A view stays valid until
    the blob is reshaped to more elements than it ever had.
    """

    __slots__ = ("_data", "_data_of", "_data_view", "_diff", "_diff_of", "_diff_view", "_shape")

    def __init__(self, shape: Shape = (), dtype: npt.DTypeLike = np.float32) -> None:
        self._data = Storage(dtype)
        self._diff = Storage(dtype)
        self._data_view: Array | None = None
        self._diff_view: Array | None = None
        self._data_of = self._diff_of = self._data.array  # the arrays that the views belong to
        arguments.instance(shape, Iterable, "a blob's shape")
        self._shape = self._checked(_integers(shape))  # no change to note: no net has it yet

    @classmethod
    def over(cls, data: Array) -> Blob:
        """A blob whose data are the C-contiguous array `data` itself."""
        blob = cls(data.shape, data.dtype)
        blob._data.array = data.reshape(-1)
        return blob

    def __repr__(self) -> str:
        return f"Blob(shape={self.shape}, dtype={self.dtype})"

    @property
    def shape(self) -> Shape:
        """The size of each axis; `reshape` changes it."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type: float32, or float64 for gradient checks."""
        return self._data.array.dtype

    @property
    def diff_dtype(self) -> np.dtype[Any]:
        """The element type of `diff`: that of `data`, in any blob that a program makes."""
        return self._diff.array.dtype

    @property
    def count(self) -> int:
        """The number of elements: the product of the shape."""
        return math.prod(self._shape)

    @property
    def data(self) -> Array:
        """The values, an array of this blob's shape."""
        if self._data_view is None or self._data_of is not self._data.array:
            self._data_view = self._view(self._data)
            self._data_of = self._data.array
        return self._data_view

    @property
    def diff(self) -> Array:
        """The gradients, an array of this blob's shape."""
        if self._diff_view is None or self._diff_of is not self._diff.array:
            self._diff_view = self._view(self._diff)
            self._diff_of = self._diff.array
        return self._diff_view

    @property
    def has_diff(self) -> bool:
        """Whether `diff` is allocated, which it is not in a net that only ran forward."""
        return self._diff.array.size > 0

    def _view(self, storage: Storage) -> Array:
        count = self.count
        return storage.reserve(max(count, 1))[:count].reshape(self._shape)

    def reshape(self, *shape: int) -> None:
        """Change the shape.  The elements keep their offsets in memory, as in Caffe.

        Raises CaffeError for more than 32 axes, a negative size, or more memory than there is.
        """
        shape = _integers(shape)
        if shape != self._shape:
            self._shape = self._checked(shape)
            self._data_view = self._diff_view = None
            CHANGES.note()

    def _checked(self, shape: Shape) -> Shape:
        """The shape itself, if a blob may have it."""
        if len(shape) > MAX_AXES:
            raise CaffeError(f"a blob has at most {MAX_AXES} axes, not {len(shape)}")
        check_memory(math.prod(shape) * self.dtype.itemsize, f"a blob of shape {shape}")
        return shape

    def share_data(self, other: Blob) -> None:
        """Use the memory of `other`'s data.

        Raises CaffeError unless both have the same number of elements of the same type.
        """
        self._check_alike(other)
        if self._data is not other._data:
            self._data, self._data_view = other._data, None
            CHANGES.note()

    def share_diff(self, other: Blob) -> None:
        """Use the memory of `other`'s diff.

        Raises CaffeError unless both have the same number of elements of the same type.
        """
        self._check_alike(other)
        if self._diff is not other._diff:
            self._diff, self._diff_view = other._diff, None
            CHANGES.note()

    def _check_alike(self, other: Blob) -> None:
        if (self.count, self.dtype) != (other.count, other.dtype):
            raise CaffeError(
                f"a blob of shape {self.shape} and {self.dtype} cannot share the memory of one of "
                f"shape {other.shape} and {other.dtype}; it takes as many elements of one type"
            )

    @property
    def data_memory(self) -> Storage:
        """The storage of the values; blobs that share values have the same object."""
        return self._data

    @property
    def diff_memory(self) -> Storage:
        """The storage of the gradients; blobs that share gradients have the same object."""
        return self._diff

    def shares_data_with(self, other: Blob) -> bool:
        """Whether both blobs store their data in the same memory."""
        return self._data is other._data

    def shares_diff_with(self, other: Blob) -> bool:
        """Whether both blobs store their diff in the same memory."""
        return self._diff is other._diff

    # pycaffe's names for the first four axes of a blob; a missing axis has size 1

    def _legacy(self, axis: int) -> int:
        if len(self.shape) > 4:
            raise CaffeError(
                f"num, channels, height and width need a blob of at most 4 axes, not {self.shape}"
            )
        return self.shape[axis] if axis < len(self.shape) else 1

    @property
    def num(self) -> int:
        """Size of axis 0."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Size of axis 1."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Size of axis 2."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Size of axis 3."""
        return self._legacy(3)


class BlobVec(list[Blob]):
    """A list of blobs that can create new ones: pycaffe's type of a layer's `blobs`."""

    def __init__(self, dtype: npt.DTypeLike = np.float32) -> None:
        super().__init__()
        self._dtype = dtype

    def add_blob(self, *shape: int) -> Blob:
        """Append a new blob of this shape, all zeros, and return it."""
        blob = Blob(shape, self._dtype)
        self.append(blob)
        return blob


def _noting(change: Callable[..., Any]) -> Callable[..., Any]:
    """A method of lists that changes one, and notes that."""

    @wraps(change)
    def changed(self: BlobVec, *args: Any, **settings: Any) -> Any:
        try:
            return change(self, *args, **settings)
        finally:
            CHANGES.note()

    return changed


for _name in (
    *("__delitem__", "__iadd__", "__imul__", "__setitem__", "append", "clear", "extend"),
    *("insert", "pop", "remove", "reverse", "sort"),
):
    setattr(BlobVec, _name, _noting(getattr(list, _name)))
