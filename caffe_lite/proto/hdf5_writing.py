"""HDF5 files written whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caffe_lite.errors import CaffeError
from caffe_lite.proto.atomic import replacing


@contextmanager
def new_hdf5(
    path: str | os.PathLike[str], check: Callable[[Path], None] | None = None
) -> Iterator[Any]:
    """An h5py.File for the block to fill, which then takes the place of `path`.

    `check` is given the complete file before that.  Raises CaffeError when it cannot be written.
    """
    import h5py

    with replacing(path) as temporary:
        with _Disk(temporary) as disk:
            try:
                with h5py.File(disk, "w") as file:
                    yield file
            except (CaffeError, MemoryError):
                raise
            except Exception:
                if disk.failure is None:
                    raise
            if disk.failure is not None:
                raise disk.failure
        if check is not None:
            check(temporary)


class _Disk(io.FileIO):
    """The file that HDF5 writes to, which hides from HDF5 that the disk is full.

    After a write that failed the library cannot close its file, and complains of that to the end
    of the process.  So the failure is kept for afterwards.
    """

    failure: OSError | None = None

    def __init__(self, path: os.PathLike[str]) -> None:
        super().__init__(path, "w+")

    def write(self, content: Any) -> int:
        """Write all of it; after a failure, nothing."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            while len(rest) and self.failure is None:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size; after a failure, not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0
