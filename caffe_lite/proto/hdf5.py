"""Weights and solver states in HDF5, in Caffe's layout.

weights   /data/<layer>/<i>   and, for gradients, /diff/<layer>/<i>
state     /iter  /learned_net  /current_step  /history/<i>
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite.errors import SolverError, WeightsError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.blobs import LARGEST_MESSAGE, array_to_blob, blob_to_array, put_array
from caffe_lite.proto.hdf5_files import opened
from caffe_lite.proto.hdf5_policy import (
    DEEPEST,
    MOST_GROUPS,
    InvalidFileError,
    array_in,
    dataset_in,
    is_group,
    names_in,
)
from caffe_lite.proto.hdf5_writing import new_hdf5

MOST_BLOBS = 10_000  # of one layer; a larger index means that the file is damaged


def read_weights_hdf5(path: str | os.PathLike[str]) -> caffe_pb2.NetParameter:
    """The weights in a .caffemodel.h5, as layers that have only a name and blobs.

    A blob that the file omits because another layer owns it is an empty message.  Raises
    WeightsError for a file that has no /data, is damaged, or links to other files.
    """
    net = caffe_pb2.NetParameter()
    with opened(path, WeightsError) as file:
        if not ("data" in names_in(file) and is_group(file["data"])):
            kind = "; it is a solverstate" if {"iter", "history"} <= set(names_in(file)) else ""
            raise InvalidFileError(f"has no weights: the group /data is missing{kind}")
        diffs = dict(_layers(file["diff"])) if "diff" in file else {}
        for name, group in _layers(file["data"]):
            _read_blobs(net.layer.add(name=name), group, diffs.get(name, {}))
    return net


def write_weights_hdf5(
    path: str | os.PathLike[str], net: caffe_pb2.NetParameter, write_diff: bool = False
) -> None:
    """Write a .caffemodel.h5 atomically; blobs that are empty messages are omitted."""
    with new_hdf5(path) as file:
        for layer in net.layer:
            try:
                _write_blobs(file, layer, write_diff)
            except (TypeError, ValueError) as error:
                raise WeightsError(
                    f'{os.fspath(path)}: HDF5 cannot store layer "{layer.name}": its name is '
                    f"empty or is the path of another layer's weights ({error})"
                ) from error


def _write_blobs(file: Any, layer: caffe_pb2.LayerParameter, write_diff: bool) -> None:
    if not layer.name and layer.blobs:
        raise ValueError("the layer has no name")
    data = file.require_group(f"data/{layer.name}")
    diff = file.require_group(f"diff/{layer.name}") if write_diff else None
    for index, blob in enumerate(layer.blobs):
        if blob.ListFields():
            if str(index) in data:
                raise ValueError(f"{data.name}/{index} already exists")
            data[str(index)] = blob_to_array(blob)
            if diff is not None:
                diff[str(index)] = blob_to_array(blob, diff=True)


def read_state_hdf5(path: str | os.PathLike[str]) -> caffe_pb2.SolverState:
    """The state in a .solverstate.h5.  Raises SolverError for any other file or a damaged one."""
    state = caffe_pb2.SolverState()
    with opened(path, SolverError) as file:
        if not {"iter", "history"} <= set(names_in(file)) or not is_group(file["history"]):
            is_net = "data" in names_in(file) and is_group(file["data"])
            kind = "; it is a caffemodel" if is_net else ""
            raise InvalidFileError(f"has no solver state: /iter or /history is missing{kind}")
        state.iter = _integer(file, "iter")
        if "current_step" in file:
            state.current_step = _integer(file, "current_step")
        if "iter_last_event" in file:
            state.iter_last_event = _integer(file, "iter_last_event")
        if "minimum_loss" in file:
            state.minimum_loss = _real(file, "minimum_loss")
        if "learned_net" in file:
            name = np.ravel(_array(file, "learned_net", text=True)).astype("S")
            state.learned_net = os.fsdecode(name[0]) if name.size else ""
        history = file["history"]
        for index in range(len(history)):
            state.history.append(array_to_blob(_array(history, str(index))))
    return state


def write_state_hdf5(
    path: str | os.PathLike[str],
    state: caffe_pb2.SolverState,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write a .solverstate.h5 atomically.

    `check` is given the complete file before it takes its place.
    """
    with new_hdf5(path, check) as file:
        file["iter"] = np.array([state.iter], np.int32)
        name = state.learned_net.encode()
        # Caffe reads a C string: one more byte, for the terminating zero
        file.create_dataset("learned_net", data=np.array(name, f"S{len(name) + 1}"))
        file["current_step"] = np.array([state.current_step], np.int32)
        if state.HasField("minimum_loss"):
            file["iter_last_event"] = np.array([state.iter_last_event], np.int32)
            file["minimum_loss"] = np.array([state.minimum_loss], np.float32)
        history = file.create_group("history")
        for index, blob in enumerate(state.history):
            history[str(index)] = blob_to_array(blob)


def _layers(group: Any) -> Iterator[tuple[str, Any]]:
    """Each layer's name and group; a slash in a name makes nested groups."""
    waiting: list[tuple[str, Any]] = [("", group)]
    seen = 0
    while waiting:
        prefix, outer = waiting.pop()
        found = [(f"{prefix}{key}", outer[key]) for key in names_in(outer)]
        groups = [(name, item) for name, item in found if is_group(item)]
        seen += len(groups)
        if seen > MOST_GROUPS or prefix.count("/") > DEEPEST:
            raise InvalidFileError("has a group in itself, or too many groups")
        if prefix and (len(groups) < len(found) or not found):
            yield prefix[:-1], outer
        waiting += reversed([(f"{name}/", item) for name, item in groups])


def _read_blobs(layer: caffe_pb2.LayerParameter, data: Any, diff: Any) -> None:
    for key in names_in(data):
        if is_group(data[key]):
            continue  # belongs to a layer with a slash in its name
        if not (key.isdecimal() and int(key) < MOST_BLOBS):
            raise InvalidFileError(
                f'{data.name}/{key}: expected a blob\'s index below {MOST_BLOBS}, not "{key}"'
            )
        while len(layer.blobs) <= int(key):
            layer.blobs.add()
        gradient = _array(diff, key) if key in diff else None
        put_array(layer.blobs[int(key)], _array(data, key), gradient)


def _array(group: Any, name: str, text: bool = False) -> Any:
    """The values of a dataset that a message can hold."""
    dataset = dataset_in(group, name)
    if dataset.shape is not None and dataset.nbytes > LARGEST_MESSAGE:
        raise InvalidFileError(f"{dataset.name}, of shape {dataset.shape}, is over 2 GB")
    return array_in(group, name, text)


def _integer(file: Any, name: str) -> int:
    values = np.ravel(_array(file, name))
    if not values.size or not -(2**31) <= values[0] < 2**31:
        raise InvalidFileError(f"/{name} is not an integer")
    return int(values[0])


def _real(file: Any, name: str) -> float:
    values = np.ravel(_array(file, name))
    if not values.size or values.dtype.kind != "f":
        raise InvalidFileError(f"/{name} is not a number")
    return float(values[0])
