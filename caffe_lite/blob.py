"""Blob: Caffe's N-dimensional array with a value (`data`) and a gradient (`diff`)."""

from __future__ import annotations

import math
import os
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.errors import CaffeError

Shape = tuple[int, ...]
Array = npt.NDArray[Any]

MAX_AXES = 32  # Caffe's kMaxBlobAxes


@cache
def physical_memory() -> int | None:
    """The bytes of memory that this machine has; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def check_memory(needed: int, what: str) -> None:
    """Raise CaffeError if `needed` bytes are more than the machine has, before taking them."""
    available = physical_memory()
    if available is not None and needed > available:
        raise CaffeError(
            f"{what} would take {needed / 1e9:.4g} GB of memory, but this machine has "
            f"{available / 1e9:.3g} GB; make the batch or the layer smaller"
        )


class Storage:
    """One flat array that only grows; every blob that shares it sees it grow.

    It is allocated when first touched, so a net that never goes backward has no diffs.
    """

    __slots__ = ("array",)

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.array: Array = np.zeros(0, dtype)

    def reserve(self, count: int) -> Array:
        """The whole array, with room for `count` numbers; old values keep their places."""
        if self.array.size < count:
            grown = np.zeros(count, self.array.dtype)
            grown[: self.array.size] = self.array
            self.array = grown
        return self.array


class Blob:
    """A shape with two arrays of it, `data` and `diff`, both C-contiguous and zero at first.

    `data` and `diff` are NumPy views: writing into them writes into the net.  They stay valid
    until the blob is reshaped to more numbers than it ever had.
    """

    __slots__ = ("_data", "_data_of", "_data_view", "_diff", "_diff_of", "_diff_view", "shape")

    def __init__(self, shape: Shape = (), dtype: npt.DTypeLike = np.float32) -> None:
        self._data = Storage(dtype)
        self._diff = Storage(dtype)
        self._data_view: Array | None = None
        self._diff_view: Array | None = None
        self._data_of = self._diff_of = self._data.array  # what the views are views of
        self.shape: Shape = ()
        self.reshape(*shape)

    @classmethod
    def over(cls, data: Array) -> Blob:
        """A blob whose data are the C-contiguous array `data` itself."""
        blob = cls(data.shape, data.dtype)
        blob._data.array = data.reshape(-1)
        return blob

    def __repr__(self) -> str:
        return f"Blob(shape={self.shape}, dtype={self.dtype})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers: float32, or float64 for gradient checks."""
        return self._data.array.dtype

    @property
    def count(self) -> int:
        """How many numbers `data` holds: the product of the shape."""
        return math.prod(self.shape)

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
        """Whether a gradient was ever asked for: false for all blobs of a net only run forward."""
        return self._diff.array.size > 0

    def _view(self, storage: Storage) -> Array:
        count = self.count
        return storage.reserve(max(count, 1))[:count].reshape(self.shape)

    def reshape(self, *shape: int) -> None:
        """Give it another shape.  Values keep their places in memory, as in Caffe.

        Raises CaffeError for more than 32 axes or a negative size.
        """
        shape = tuple(map(int, shape))
        if shape == self.shape:
            return
        if len(shape) > MAX_AXES:
            raise CaffeError(f"a blob has at most {MAX_AXES} axes, not {len(shape)}")
        if min(shape, default=0) < 0:
            raise CaffeError(f"a blob's sizes cannot be negative: {shape}")
        check_memory(math.prod(shape) * self.dtype.itemsize, f"a blob of shape {shape}")
        self.shape = shape
        self._data_view = self._diff_view = None

    def share_data(self, other: Blob) -> None:
        """Use the memory of `other`'s data from now on; both must have as many numbers."""
        self._data, self._data_view = other._data, None

    def share_diff(self, other: Blob) -> None:
        """Use the memory of `other`'s diff from now on; both must have as many numbers."""
        self._diff, self._diff_view = other._diff, None

    @property
    def data_memory(self) -> Storage:
        """What holds the values: the same object for blobs that share them."""
        return self._data

    @property
    def diff_memory(self) -> Storage:
        """What holds the gradients: the same object for blobs that share them."""
        return self._diff

    def shares_data_with(self, other: Blob) -> bool:
        """Whether both use one memory for their data."""
        return self._data is other._data

    def shares_diff_with(self, other: Blob) -> bool:
        """Whether both use one memory for their diff."""
        return self._diff is other._diff

    # pycaffe's names for the first four axes of a blob; a missing axis has size 1

    def _legacy(self, axis: int) -> int:
        if len(self.shape) > 4:
            raise CaffeError(
                f"num, channels, height and width are of blobs with up to 4 axes, not {self.shape}"
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
    """A list of blobs that makes its own: what pycaffe calls a layer's `blobs`."""

    def __init__(self, dtype: npt.DTypeLike = np.float32) -> None:
        super().__init__()
        self._dtype = dtype

    def add_blob(self, *shape: int) -> Blob:
        """A new blob of this shape, all zeros, at the end of the list."""
        blob = Blob(shape, self._dtype)
        self.append(blob)
        return blob
