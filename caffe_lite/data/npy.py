"""Arrays in NumPy's .npy files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import reading
from caffe_lite.errors import DataError

LARGEST_ARRAY = 1 << 33  # bytes


def read_array(path: str) -> npt.NDArray[Any]:
    """The array in an .npy file.  Raises DataError for any other file; nothing is unpickled."""
    try:
        content = reading.read_bytes(path, LARGEST_ARRAY)
    except OSError as error:
        raise DataError(f'cannot read "{path}": {error.strerror}') from None
    try:
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:  # its header is Python, and read as such: every kind is possible
        array = None
    if array is None or array.dtype.kind not in "fiu":
        raise DataError(f'"{path}" is not an .npy file of a numeric array')
    return array
