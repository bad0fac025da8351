"""Weights and states in HDF5: numbers at their bounds, and layers with slashes in their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffe_lite.errors import SolverError, WeightsError
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.proto import hdf5 as files_hdf5


@pytest.mark.parametrize(
    ("values", "is_read"),
    [
        ([7], True),
        ([7, 9], True),
        (7, True),
        ([2**31 - 1], True),
        ([2**31], False),
        ([-(2**31)], True),
        ([-(2**31) - 1], False),
    ],
)
def test_the_iteration_is_the_first_integer(tmp_path: Path, values: Any, is_read: bool) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["iter"] = np.array(values, np.int64)
        file["current_step"] = np.array([5, 3], np.int32)
        file.create_group("history")
    if is_read:
        found = files.read_state(tmp_path / "s.h5")
        assert found.iter == np.ravel(values)[0]
        assert found.current_step == 5
        assert not found.HasField("minimum_loss")
        assert len(found.history) == 0
    else:
        with pytest.raises(SolverError, match="/iter is not an integer"):
            files.read_state(tmp_path / "s.h5")


def test_the_state_of_a_plateau(tmp_path: Path) -> None:
    state = caffe_pb2.SolverState(iter=9, current_step=1, iter_last_event=4, minimum_loss=0.75)
    files.write_state_hdf5(tmp_path / "s.h5", state)
    found = files.read_state(tmp_path / "s.h5")
    assert (found.iter_last_event, found.minimum_loss) == (4, 0.75)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        assert file["iter_last_event"].shape == file["minimum_loss"].shape == (1,)
        del file["minimum_loss"]
        file["minimum_loss"] = np.array([0.5, 7], np.float64)
    assert files.read_state(tmp_path / "s.h5").minimum_loss == 0.5
    for wrong in (np.array([3], np.int32), np.zeros(0, np.float32)):
        with h5py.File(tmp_path / "s.h5", "a") as file:
            del file["minimum_loss"]
            file["minimum_loss"] = wrong
        with pytest.raises(SolverError, match="/minimum_loss is not a number"):
            files.read_state(tmp_path / "s.h5")


def test_layers_inside_of_others_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        for index, name in enumerate(("b/c", "a", "b", "a/z/y")):
            file[f"data/{name}/0"] = np.full(3, index, np.float32)
        file.create_group("data/empty")
        file.create_group("data/outer/inner")
    layers = files.read_weights(path).layer
    names = [layer.name for layer in layers]
    assert names == ["a", "a/z/y", "b", "b/c", "empty", "outer/inner"]
    values = [[blob.data[0] for blob in layer.blobs] for layer in layers]
    assert values == [[1], [3], [2], [0], [], []]


def test_blobs_lie_at_their_index(tmp_path: Path) -> None:
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file["data/a/2"] = np.full(3, 7, np.float32)
        file["data/a/0"] = np.full(2, 5, np.float32)
        file["diff/a/2"] = np.full(3, 8, np.float32)
    (layer,) = files.read_weights(path).layer
    assert [list(blob.data) for blob in layer.blobs] == [[5, 5], [], [7, 7, 7]]
    assert [list(blob.diff) for blob in layer.blobs] == [[], [], [8, 8, 8]]


@pytest.mark.parametrize(("key", "is_read"), [("MOST", False), ("x", False), ("LAST", True)])
def test_indices_of_blobs_are_bounded(tmp_path: Path, key: str, is_read: bool) -> None:
    most = files_hdf5.MOST_BLOBS
    key = key.replace("MOST", str(most)).replace("LAST", str(most - 1))
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file[f"data/a/{key}"] = np.ones(3, np.float32)
    if is_read:
        assert len(files.read_weights(path).layer[0].blobs) == most
        return
    with pytest.raises(
        WeightsError, match=rf"/data/a/{key}: expected a blob's index below {most}"
    ):
        files.read_weights(path)
