"""Bounds of what may be read from an HDF5 file, with stand-ins for datasets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from caffe_lite.errors import WeightsError
from caffe_lite.proto import files, hdf5_policy
from caffe_lite.proto.hdf5_policy import InvalidFileError, check_dataset, dataset_in


def dataset(
    shape: tuple[int, ...] | None = (4,),
    dtype: Any = "f4",
    filters: tuple[int, ...] = (),
    stored: int = 0,
    chunks: tuple[int, ...] | None = None,
    **more: Any,
) -> Any:
    settings = SimpleNamespace(
        get_nfilters=lambda: len(filters), get_filter=lambda index: (filters[index], 0, ())
    )
    identity = SimpleNamespace(get_create_plist=lambda: settings, get_storage_size=lambda: stored)
    return SimpleNamespace(
        name="/x", shape=shape, dtype=np.dtype(dtype), chunks=chunks, id=identity,
        **{"external": None, "is_virtual": False, **more},
    )  # fmt: skip


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 32000])
def test_filters_that_are_hdf5s_own(number: int) -> None:
    check_dataset(dataset(filters=(number,)))
    check_dataset(dataset(filters=(2, number)))


@pytest.mark.parametrize("number", [0, 7, 305, 31999, 32001])
def test_filters_that_are_programs(number: int) -> None:
    for filters in ((number,), (2, number), (number, 1), (40000, number)):
        with pytest.raises(InvalidFileError, match=rf"^/x is packed by filter {number}, not one"):
            check_dataset(dataset(filters=filters))


@pytest.mark.parametrize(
    ("dtype", "as_number", "as_text"),
    [("f2", True, True), ("f8", True, True), ("i4", True, True), ("u1", True, True),
     ("?", True, True), ("S7", False, True), ("c8", False, False), ("U3", False, False),
     ("O", False, False), ("(3,)f4", False, False), ("f4,i4", False, False)],
)  # fmt: skip
def test_kinds_of_values(dtype: str, as_number: bool, as_text: bool) -> None:
    for text, is_allowed in ((False, as_number), (True, as_text)):
        if is_allowed:
            check_dataset(dataset(dtype=dtype), text)
        else:
            with pytest.raises(InvalidFileError, match="/x is not numeric, but"):
                check_dataset(dataset(dtype=dtype), text)


MB64 = 64 << 20


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks", "stored", "is_allowed"),
    [
        ((MB64,), "u1", None, 0, True),
        ((MB64 + 1,), "u1", None, 0, False),
        ((MB64 // 8,), "f8", None, 0, True),
        ((2, MB64 // 4), "f4", None, 0, False),
        ((4,), "u1", (MB64,), 0, True),
        ((4,), "u1", (MB64 + 1,), 0, False),
        ((4,), "f4", (4, MB64 // 4), 0, False),
        ((1032, 100_000), "u1", None, 100_000, True),  # as much as deflate can unpack to
        ((1032, 100_000), "u1", None, 99_999, False),
        ((1032, 100_000, 4), "u1", (1, 100_000), 400_000, True),
    ],
)
def test_how_much_may_be_unpacked(shape, dtype, chunks, stored, is_allowed, monkeypatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(hdf5_policy, "check_memory", lambda size, what: asked.append(size))
    each = dataset(shape, dtype, chunks=chunks, stored=stored)
    if is_allowed:
        check_dataset(each)
        item = np.dtype(dtype).itemsize
        assert asked == [max(int(np.prod(shape)), int(np.prod(chunks or (0,)))) * item]
        return
    with pytest.raises(InvalidFileError, match=rf"the file has {stored} bytes of it"):
        check_dataset(each)
    assert asked == []


def test_values_that_are_elsewhere() -> None:
    for more in ({"external": [("a", 0, 1)]}, {"is_virtual": True}):
        with pytest.raises(InvalidFileError, match="stores its values in another file"):
            check_dataset(dataset(**more))
    with pytest.raises(InvalidFileError, match="/x has no values"):
        check_dataset(dataset(shape=None))


def test_paths_in_a_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/b/x"] = np.ones(3)
        assert dataset_in(file, "a/b/x").shape == (3,)
        assert dataset_in(file, "/a//b/x").shape == (3,)
        assert dataset_in(file["a"], "b/x").shape == (3,)
        for name, says in (
            ("a/c", "/a/c is missing"),
            ("a/b/x/y", "/a/b/x/y is missing"),
            ("a/b", "/a/b is a group, not a dataset"),
            ("x", "/x is missing"),
        ):
            with pytest.raises(InvalidFileError, match=f"^{says}$"):
                dataset_in(file, name)
        with pytest.raises(InvalidFileError, match=r"^/a/c is missing$"):
            dataset_in(file["a"], "c")


@pytest.mark.parametrize("depth", [hdf5_policy.DEEPEST - 4, hdf5_policy.DEEPEST + 4])
def test_how_deep_groups_may_be(tmp_path: Path, depth: int) -> None:
    assert hdf5_policy.DEEPEST == 64
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file["data/" + "g/" * depth + "0"] = np.ones(3, np.float32)
    if depth < hdf5_policy.DEEPEST:
        (layer,) = files.read_weights(path).layer
        assert layer.name == "/".join("g" * depth)
    else:
        with pytest.raises(WeightsError, match=r"deep|in itself"):
            files.read_weights(path)
