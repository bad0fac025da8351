"""HDF5 files that somebody else made, opened for what `hdf5_policy` lets be read.

HDF5's library ends the process on some damaged files, so a process of its own reads each file
first (`hdf5_trial`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from caffe_lite import arguments, reading
from caffe_lite.errors import CaffeError
from caffe_lite.proto import hdf5_trial
from caffe_lite.proto.hdf5_policy import InvalidFileError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file exists and its content is HDF5, whatever its name."""
    try:
        with reading.open_regular(arguments.path(path, "the file")) as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


@contextmanager
def opened(
    path: str | os.PathLike[str],
    error_class: type[CaffeError],
    names: Sequence[str] | None = None,
) -> Iterator[Any]:
    """An HDF5 file, open for reading; its groups are for `hdf5_policy`.

    `names` are the datasets that will be read, None if they may be all.  Raises `error_class` for
    whatever goes wrong in the block, with the file's name.
    """
    try:
        reading.require_regular(path)
        if not hdf5_trial.survives(os.fsdecode(path), names):
            raise InvalidFileError("damaged: HDF5's library cannot read it")
        import h5py

        with h5py.File(path, "r") as file:
            yield file
    except CaffeError:
        raise
    except InvalidFileError as error:
        raise error_class(f"{os.fsdecode(path)}: {error}") from None
    except FileNotFoundError:
        raise error_class(f"{os.fsdecode(path)}: no such file") from None
    except Exception as error:  # h5py lets every kind through, from whatever call
        message = f"{os.fsdecode(path)}: unreadable or damaged HDF5 file: {_reason(error)}"
        raise error_class(message) from error


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit in memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error.args[-1] if error.args else error).partition("\n")[0]
