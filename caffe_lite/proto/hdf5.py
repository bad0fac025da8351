"""Weights and solver states in HDF5, in Caffe's layout.

weights   /data/<layer>/<i>   and, for gradients, /diff/<layer>/<i>
state     /iter  /learned_net  /current_step  /history/<i>
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite import arguments
from caffe_lite.errors import CaffeError, SolverError, WeightsError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.atomic import write_atomically
from caffe_lite.proto.blobs import LARGEST_MESSAGE, array_to_blob, blob_to_array, put_array

MOST_BLOBS = 10_000  # of one layer; a larger index means that the file is damaged
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file exists and its content is HDF5, whatever its name."""
    try:
        with open(arguments.path(path, "the file"), "rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def read_weights_hdf5(path: str | os.PathLike[str]) -> caffe_pb2.NetParameter:
    """The weights in a .caffemodel.h5, as layers that have only a name and blobs.

    A blob that the file omits because another layer owns it is an empty message.  Raises
    WeightsError for a file that has no /data, is damaged, or links to other files.
    """
    net = caffe_pb2.NetParameter()
    with _opened(path, WeightsError) as file:
        if not ("data" in _names(file) and _is_group(file["data"])):
            raise _InvalidFileError("has no weights: the group /data is missing")
        diffs = dict(_layers(file["diff"])) if "diff" in file else {}
        for name, group in _layers(file["data"]):
            _read_blobs(net.layer.add(name=name), group, diffs.get(name, {}))
    return net


def write_weights_hdf5(
    path: str | os.PathLike[str], net: caffe_pb2.NetParameter, write_diff: bool = False
) -> None:
    """Write a .caffemodel.h5 atomically; blobs that are empty messages are omitted."""

    def write(temporary: Path) -> None:
        import h5py

        with h5py.File(temporary, "w") as file:
            for layer in net.layer:
                try:
                    _write_blobs(file, layer, write_diff)
                except (TypeError, ValueError) as error:
                    raise WeightsError(
                        f'{os.fspath(path)}: HDF5 cannot store layer "{layer.name}": its name is '
                        f"empty or is the path of another layer's weights ({error})"
                    ) from error

    write_atomically(path, write)


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
    with _opened(path, SolverError) as file:
        if not {"iter", "history"} <= set(_names(file)) or not _is_group(file["history"]):
            raise _InvalidFileError("has no solver state: /iter or /history is missing")
        state.iter = int(np.ravel(_array(file, "iter"))[0])
        if "current_step" in file:
            state.current_step = int(np.ravel(_array(file, "current_step"))[0])
        if "learned_net" in file:
            name = _array(file, "learned_net")
            state.learned_net = name.decode() if isinstance(name, bytes) else str(name)
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

    def write(temporary: Path) -> None:
        import h5py

        with h5py.File(temporary, "w") as file:
            file["iter"] = np.array([state.iter], np.int32)
            name = state.learned_net.encode()
            # Caffe reads a C string: one more byte, for the terminating zero
            file.create_dataset("learned_net", data=np.array(name, f"S{len(name) + 1}"))
            file["current_step"] = np.array([state.current_step], np.int32)
            history = file.create_group("history")
            for index, blob in enumerate(state.history):
                history[str(index)] = blob_to_array(blob)
        if check is not None:
            check(temporary)

    write_atomically(path, write)


class _InvalidFileError(Exception):
    """A file's defect; `_opened` adds the file's name and raises the caller's exception class."""


@contextmanager
def _opened(path: str | os.PathLike[str], error_class: type[CaffeError]) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except _InvalidFileError as error:
        raise error_class(f"{os.fspath(path)}: {error}") from None
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error.args[-1] if error.args else error).partition("\n")[0]
        message = f"{os.fspath(path)}: unreadable or damaged HDF5 file: {reason}"
        raise error_class(message) from error


def _is_group(item: Any) -> bool:
    return hasattr(item, "keys")


def _names(group: Any) -> list[str]:
    """The names in a group, after checking that none of them is a link."""
    for name in group:
        _refuse_link(group, name)
    return list(group)


def _refuse_link(group: Any, name: str) -> None:
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        # a link could point to any file of this machine
        raise _InvalidFileError(
            f"{group.name.rstrip('/')}/{name} is a link; links are not followed"
        )


def _layers(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each layer's name and group; a slash in a name makes nested groups."""
    for key in _names(group):
        inner = group[key]
        if _is_group(inner):
            names = _names(inner)
            if not names or any(not _is_group(inner[name]) for name in names):
                yield prefix + key, inner
            yield from _layers(inner, f"{prefix}{key}/")


def _read_blobs(layer: caffe_pb2.LayerParameter, data: Any, diff: Any) -> None:
    for key in _names(data):
        if _is_group(data[key]):
            continue  # belongs to a layer with a slash in its name
        if not (key.isdecimal() and int(key) < MOST_BLOBS):
            raise _InvalidFileError(
                f'{data.name}/{key}: expected a blob\'s index below {MOST_BLOBS}, not "{key}"'
            )
        while len(layer.blobs) <= int(key):
            layer.blobs.add()
        gradient = _array(diff, key) if key in diff else None
        put_array(layer.blobs[int(key)], _array(data, key), gradient)


def _array(group: Any, name: str) -> Any:
    """The values of a dataset, which must be stored in this file."""
    if name not in group:
        raise _InvalidFileError(f"{group.name.rstrip('/')}/{name} is missing")
    _refuse_link(group, name)
    dataset = group[name]
    if _is_group(dataset):
        raise _InvalidFileError(f"{dataset.name} is a group, not a dataset")
    if dataset.external or dataset.is_virtual:
        raise _InvalidFileError(
            f"{dataset.name} stores its values in another file, which is not read"
        )
    if dataset.nbytes > LARGEST_MESSAGE:
        raise _InvalidFileError(f"{dataset.name}, of shape {dataset.shape}, is over 2 GB")
    return dataset[()]
