"""HDF5 data: a list of files, whose datasets have the names of the layer's tops."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite import reading, states
from caffe_lite.distributed.share import ALONE
from caffe_lite.errors import DataError
from caffe_lite.limits import check_memory
from caffe_lite.proto.hdf5_files import is_hdf5, opened
from caffe_lite.proto.hdf5_policy import (
    InvalidFileError,
    check_dataset,
    dataset_in,
)
from caffe_lite.proto.hdf5_writing import new_hdf5
from caffe_lite.states import State

Array = npt.NDArray[Any]


class Hdf5Rows:
    """Cycles through the rows of a list of files, file by file.

    `share` is the part of the rows that it reads; set it before the first.

    `source` is a text file of file names separated by white space, relative to the current
    folder.  Each file is read into memory as a whole.  `shuffle` draws a new order of the files in
    each cycle, and of the rows each time a file is read.  Raises DataError for a list or file that
    cannot be read.
    """

    share = ALONE

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
        self._first = True  # no rows were read from here on
        self._begin_cycle()
        self._load()

    @property
    def row_shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each dataset, in the order of the names."""
        return [data.shape[1:] for data in self._data]

    def read_into(self, outputs: Sequence[Array]) -> None:
        """Fill arrays (N, ...), one for each name, with the next N rows."""
        share, count = self.share, len(outputs[0])
        self._skip(count * share.batches_before(self._first))
        self._first = False
        filled, place, end = 0, 0, share.rows(count)
        while place < end:
            turns = self._rows[self._row : self._row + end - place]
            rows = turns[(share.before - place) % share.turn :: share.turn]
            for output, data, name in zip(outputs, self._data, self._names, strict=True):
                if data.shape[1:] != output.shape[1:]:
                    raise DataError(
                        f'"{self._path}": the rows of "{name}" have shape {data.shape[1:]}, '
                        f"but those of the first file have {output.shape[1:]}"
                    )
                np.take(data, rows, axis=0, out=output[filled : filled + len(rows)], mode="clip")
            filled += len(rows)
            place += len(turns)
            self._skip(len(turns))

    def _skip(self, count: int) -> None:
        while count:
            passed = min(count, len(self._rows) - self._row)
            self._row += passed
            count -= passed
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
        self._first = True
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
    if not os.path.exists(path):
        raise DataError(f'there is no HDF5 file "{path}" (current folder: {os.getcwd()})')
    with opened(path, DataError, names) as file:
        arrays = [_read_dataset(file, name, dtype) for name in names]
    rows = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(rows.values())) > 1:
        raise DataError(f'"{path}": the datasets differ in their number of rows: {rows}')
    if not arrays[0].size:
        raise DataError(f'"{path}" has no rows')
    return arrays


def first_values(source: str, name: str, most: int) -> tuple[Array, bool]:
    """The first values of a dataset in a list's files, and whether these are all.

    As many rows as have at most `most` values, but at least one; the values are those of the
    files.  Raises DataError for a list or file that cannot be read.
    """
    paths = _read_list(source)
    found: list[Array] = []
    for path in paths:
        with opened(path, DataError, [name]) as file:
            dataset = _dataset_with_rows(file, name)
            left = most - sum(map(len, found))
            rows = max(left // max(math.prod(dataset.shape[1:]), 1), not found)
            found.append(np.ravel(dataset[:rows]))
            if rows < len(dataset):
                return np.concatenate(found), False
    return np.concatenate(found), True


def _dataset_with_rows(file: Any, name: str) -> Any:
    """The dataset, which may be read."""
    if name.split("/")[0] not in file:
        existing = ", ".join(sorted(file)) or "nothing"
        raise InvalidFileError(f'has no dataset "{name}" for the top; it has {existing}')
    dataset = dataset_in(file, name)
    if dataset.shape == ():
        raise InvalidFileError(f'the dataset "{name}" is a scalar; it must have rows')
    check_dataset(dataset)
    return dataset


def _read_dataset(file: Any, name: str, dtype: npt.DTypeLike) -> Array:
    dataset = _dataset_with_rows(file, name)
    check_memory(
        dataset.size * (dataset.dtype.itemsize + np.dtype(dtype).itemsize),
        f'the dataset "{name}" of {dataset.shape}, which is read as a whole,',
    )
    return np.ascontiguousarray(dataset[()], dtype)


def _read_list(source: str) -> list[str]:
    try:
        paths = reading.read_text(source).split()
    except OSError as error:
        raise DataError(
            f'cannot read the list of HDF5 files "{source}": {error.strerror}'
        ) from None
    if not paths:
        raise DataError(f'the list of HDF5 files "{source}" is empty')
    return paths


_MARK = "written_by"
_WRITER = "HDF5Output of caffe_lite"


def write_datasets(path: str, datasets: Mapping[str, Array]) -> None:
    """Write an HDF5 file of these datasets, with the mark that `is_marked` looks for.

    Raises CaffeError if it cannot be written; it is written whole or not at all.
    """
    with new_hdf5(path) as file:
        file.attrs[_MARK] = _WRITER
        for name, array in datasets.items():
            file.create_dataset(name, data=array)


def is_marked(path: str) -> bool:
    """Whether this is an HDF5 file that `write_datasets` has written."""
    if not is_hdf5(path):
        return False
    try:
        with opened(path, DataError, names=()) as file:
            return bool(file.attrs.get(_MARK) == _WRITER)
    except DataError:
        return False


@contextmanager
def growing_dataset(path: str, name: str) -> Iterator[Callable[[Array], None]]:
    """A function that appends rows (N, ...) to the single dataset of a new HDF5 file.

    The file has a temporary name and is renamed to `path` when the block ends without an error.
    """
    with new_hdf5(path) as file:

        def append(rows: Array) -> None:
            if name not in file:
                file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
                return
            start = len(file[name])
            file[name].resize(start + len(rows), axis=0)
            file[name][start:] = rows

        yield append
