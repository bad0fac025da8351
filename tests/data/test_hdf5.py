"""Rows of HDF5 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffe_lite.data.hdf5 import Hdf5Rows, growing_dataset, read_datasets, write_datasets
from caffe_lite.errors import CaffeError, DataError


def write(folder: Path, sizes: list[int]) -> str:
    """Files 0.h5, 1.h5, ... whose rows are 0, 1, 2, ... in all."""
    start, names = 0, []
    for index, size in enumerate(sizes):
        rows = np.arange(start, start + size)
        name = str(folder / f"{index}.h5")
        write_datasets(name, {"x": np.stack([rows, -rows], axis=1), "n": rows.astype(np.uint16)})
        names.append(name)
        start += size
    (folder / "list.txt").write_text("\n".join(names))
    return str(folder / "list.txt")


def batches(source: str, size: int, count: int, shuffle: bool = False) -> list[list[float]]:
    rows = Hdf5Rows(source, ["n", "x"], shuffle, np.random.default_rng(1), np.float32)
    assert rows.row_shapes == [(), (2,)]
    found = []
    for _ in range(count):
        n, x = np.empty(size, np.float32), np.empty((size, 2), np.float32)
        rows.read_into([n, x])
        np.testing.assert_array_equal(x, np.stack([n, -n], axis=1))
        found.append(list(n))
    return found


def test_rows_go_on_into_the_next_file_and_round(tmp_path: Path) -> None:
    source = write(tmp_path, [3, 2])
    assert batches(source, 4, 3) == [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4, 0, 1]]


def test_a_batch_larger_than_all_files(tmp_path: Path) -> None:
    assert batches(write(tmp_path, [2]), 5, 1) == [[0, 1, 0, 1, 0]]


def test_shuffle_draws_files_and_rows_anew(tmp_path: Path) -> None:
    source = write(tmp_path, [20, 20, 20])
    rounds = batches(source, 60, 3, shuffle=True)
    for found in rounds:
        assert sorted(found) == list(range(60))
        for start in (0, 20, 40):  # a file's rows stay together
            assert len({value // 20 for value in found[start : start + 20]}) == 1
    assert rounds[0] != rounds[1] != rounds[2]
    assert rounds == batches(source, 60, 3, shuffle=True)
    [first, second] = batches(write(tmp_path, [20]), 20, 2, shuffle=True)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_shuffle_draws_the_order_of_the_files_anew(tmp_path: Path) -> None:
    """With a row for each file the order of the rows is that of the files."""
    source = write(tmp_path, [1] * 5)
    rounds = [tuple(found) for found in batches(source, 5, 12, shuffle=True)]
    assert all(sorted(found) == list(range(5)) for found in rounds)
    assert len(set(rounds)) > 6
    assert batches(source, 5, 2) == [list(range(5))] * 2


def failing(source: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Hdf5Rows(str(source), ["n", "x"], False, np.random.default_rng(1), np.float32)


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    failing("nowhere", 'cannot read the list of HDF5 files "nowhere": No such file')
    (tmp_path / "list").write_text(" \n")
    failing(tmp_path / "list", "is empty")
    (tmp_path / "list").write_text("nowhere.h5")
    failing(tmp_path / "list", 'no HDF5 file "nowhere.h5"')


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(str(tmp_path / "a.h5"))
    source = tmp_path / "list"
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    failing(source, "unreadable or damaged HDF5 file")
    contents: list[tuple[dict[str, Any], str]] = [
        ({"n": [1]}, 'has no dataset "x" for the top; it has n'),
        ({"n": [1], "x": [[1], [2]]}, r"differ in their number of rows: \{'n': 1, 'x': 2\}"),
        ({"n": ["a"], "x": [[1]]}, "/n is not numeric"),
        ({"n": 3, "x": [[1]]}, '"n" is a scalar'),
        ({"n": np.zeros(0), "x": np.zeros((0, 2))}, "has no rows"),
    ]
    for datasets, says in contents:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, values in datasets.items():
                file[name] = values
        failing(source, says)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("n")
    failing(source, "/n is a group, not a dataset")


def test_rows_of_another_shape_in_a_later_file(tmp_path: Path) -> None:
    source = write(tmp_path, [1, 1])
    write_datasets(str(tmp_path / "1.h5"), {"n": np.zeros(1), "x": np.zeros((1, 3))})
    with pytest.raises(
        DataError, match=r'1.h5": the rows of "x" have shape \(3,\), but .* \(2,\)'
    ):
        batches(source, 2, 1)


def test_write_and_read(tmp_path: Path) -> None:
    path = str(tmp_path / "a.h5")
    write_datasets(path, {"x": np.ones((2, 3))})
    [x] = read_datasets(path, ["x"], np.float64)
    np.testing.assert_array_equal(x, np.ones((2, 3)))
    with pytest.raises(CaffeError, match="cannot be written: there is no folder"):
        write_datasets(str(tmp_path / "no" / "a.h5"), {})


def test_a_dataset_grows(tmp_path: Path) -> None:
    rows = np.arange(30, dtype=np.float32).reshape(5, 2, 3)
    with growing_dataset(str(tmp_path / "f.h5"), "a/b") as append:
        append(rows[:2])
        append(rows[2:])
        assert not (tmp_path / "f.h5").exists()
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["a/b"][()], rows)
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_a_dataset_that_does_not_get_ready(tmp_path: Path) -> None:
    def fail() -> None:
        with growing_dataset(str(tmp_path / "f.h5"), "a") as append:
            append(np.zeros((2, 3), np.float32))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
