"""HDF5 data: a list of files, whose datasets have the names of the layer's tops."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite import states, unfinished
from caffe_lite.errors import DataError
from caffe_lite.proto.temporary import temporary_path
from caffe_lite.states import State

Array = npt.NDArray[Any]


class Hdf5Rows:
    """Cycles through the rows of a list of files, file by file.

    `source` is a text file of file names separated by white space, relative to the current
    folder.  Each file is read into memory as a whole.  `shuffle` draws a new order of the files in
    each cycle, and of the rows each time a file is read.  Raises DataError for a list or file that
    cannot be read.
    """

    def __init__(
        self,
        source: str,
        names: Sequence[str],
        shuffle: bool,
        rng: Generator,
        dtype: npt.DTypeLike,
    ) -> None:
        self._paths = _read_list(source)
        self._names = list(names)
        self._shuffle = shuffle
        self._rng = rng
        self._dtype = dtype
        self._source = source
        self._begin_cycle()
        self._load()

    @property
    def row_shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each dataset, in the order of the names."""
        return [data.shape[1:] for data in self._data]

    def read_into(self, outputs: Sequence[Array]) -> None:
        """Fill arrays (N, ...), one for each name, with the next N rows."""
        filled, count = 0, len(outputs[0])
        while filled < count:
            rows = self._rows[self._row : self._row + count - filled]
            for output, data, name in zip(outputs, self._data, self._names, strict=True):
                if data.shape[1:] != output.shape[1:]:
                    raise DataError(
                        f'"{self._path}": the rows of "{name}" have shape {data.shape[1:]}, '
                        f"but those of the first file have {output.shape[1:]}"
                    )
                np.take(data, rows, axis=0, out=output[filled : filled + len(rows)], mode="clip")
            filled += len(rows)
            self._row += len(rows)
            if self._row == len(self._rows):
                self._advance()

    def _advance(self) -> None:
        """Start the next file, or the only file again."""
        if len(self._paths) > 1:
            self._file += 1
            if self._file == len(self._paths):
                self._begin_cycle()
            self._load()
        else:
            self._begin()

    def get_state(self) -> State:
        """What the next rows depend on: the file and the row, and how both were shuffled."""
        return {
            "rng": states.of_generator(self._rng),
            "file": self._file,
            "files": len(self._paths),
            "file_order": self._before_files,
            "row": self._row,
            "rows": len(self._rows),
            "row_order": self._before_rows,
        }

    def set_state(self, state: State) -> None:
        """Go on as after `get_state`.  Raises DataError if there is no such row."""
        file = states.integer(state, "file", below=len(self._paths))
        if self._shuffle:
            states.restore_generator(self._rng, state, "file_order")
        self._begin_cycle()
        self._file = file
        if self._shuffle:
            states.restore_generator(self._rng, state, "row_order")
        self._load()
        self._row = states.integer(state, "row", below=len(self._rows))
        states.restore_generator(self._rng, state)
        states.note_change(state, "files", len(self._paths), self._source)
        states.note_change(state, "rows", len(self._rows), self._path)

    def _begin_cycle(self) -> None:
        self._before_files = states.of_generator(self._rng) if self._shuffle else None
        self._order = self._arrange(len(self._paths))
        self._file = 0

    def _load(self) -> None:
        self._path = self._paths[self._order[self._file]]
        self._data = read_datasets(self._path, self._names, self._dtype)
        self._begin()

    def _begin(self) -> None:
        self._before_rows = states.of_generator(self._rng) if self._shuffle else None
        self._rows = self._arrange(len(self._data[0]))
        self._row = 0

    def _arrange(self, count: int) -> Array:
        return self._rng.permutation(count) if self._shuffle else np.arange(count)


def read_datasets(path: str, names: Sequence[str], dtype: npt.DTypeLike) -> list[Array]:
    """The datasets `names`, each (rows, ...), with equal numbers of rows, at least one."""
    import h5py

    if not os.path.isfile(path):
        raise DataError(f'there is no HDF5 file "{path}" (current folder: {os.getcwd()})')
    try:
        with h5py.File(path, "r") as file:
            arrays = [_read_dataset(file, path, name, dtype) for name in names]
    except OSError as error:
        raise DataError(f'"{path}" cannot be read as HDF5: {error}') from None
    except MemoryError:
        raise DataError(
            f'"{path}" does not fit in memory as a whole; split it into several files'
        ) from None
    rows = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(rows.values())) > 1:
        raise DataError(f'"{path}": the datasets differ in their number of rows: {rows}')
    if not arrays[0].size:
        raise DataError(f'"{path}" has no rows')
    return arrays


def _read_dataset(file: Any, path: str, name: str, dtype: npt.DTypeLike) -> Array:
    import h5py

    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        existing = ", ".join(sorted(file)) or "nothing"
        raise DataError(f'"{path}" has no dataset "{name}" for the top; it has {existing}')
    if dataset.dtype.kind not in "fiu":
        raise DataError(f'"{path}": the dataset "{name}" is not numeric, but {dataset.dtype}')
    if dataset.ndim < 1:
        raise DataError(f'"{path}": the dataset "{name}" is a scalar; it must have rows')
    return np.ascontiguousarray(dataset[()], dtype)


def _read_list(source: str) -> list[str]:
    try:
        with open(source, encoding="utf-8", errors="surrogateescape") as file:
            paths = file.read().split()
    except OSError as error:
        raise DataError(
            f'cannot read the list of HDF5 files "{source}": {error.strerror}'
        ) from None
    except ValueError as error:
        raise DataError(f'the list of HDF5 files "{source}" is not text: {error}') from None
    if not paths:
        raise DataError(f'the list of HDF5 files "{source}" is empty')
    return paths


def write_datasets(path: str, datasets: Mapping[str, Array]) -> None:
    """Write an HDF5 file of these datasets, replacing an existing file."""
    import h5py

    try:
        with h5py.File(path, "w") as file:
            for name, array in datasets.items():
                file.create_dataset(name, data=array)
    except OSError as error:
        raise DataError(f'cannot write the HDF5 file "{path}": {_reason(error)}') from None


@contextmanager
def growing_dataset(path: str, name: str) -> Iterator[Callable[[Array], None]]:
    """A function that appends rows (N, ...) to the single dataset of a new HDF5 file.

    The file has a temporary name and is renamed to `path` when the block ends without an error.
    """
    import h5py

    temporary = temporary_path(Path(path))
    unfinished.remember(temporary)
    try:
        with h5py.File(temporary, "w") as file:

            def append(rows: Array) -> None:
                if name not in file:
                    file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
                    return
                start = len(file[name])
                file[name].resize(start + len(rows), axis=0)
                file[name][start:] = rows

            yield append
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f'cannot write the HDF5 file "{path}": {_reason(error)}') from None
    finally:
        temporary.unlink(missing_ok=True)
        unfinished.forget(temporary)


def _reason(error: OSError) -> str:
    """The reason without the names of HDF5's functions that h5py adds."""
    return os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]
