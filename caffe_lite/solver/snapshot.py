"""Snapshots: ``<prefix>_iter_<N>.caffemodel`` and ``.solverstate``, or both with ``.h5``.

The weights are written before the state that names them, and each file is written atomically, so
the last complete pair remains whenever a run is killed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from caffe_lite import glog
from caffe_lite.blob import Array
from caffe_lite.errors import SolverError
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.solver.lr_policy import Refuse

_log = glog.logger("caffe_lite.solver")


def weights_file(prefix: str, iteration: int, hdf5: bool) -> str:
    """The name of a snapshot's weights file."""
    return f"{prefix}_iter_{iteration}.caffemodel{'.h5' if hdf5 else ''}"


def state_file(prefix: str, iteration: int, hdf5: bool) -> str:
    """The name of a snapshot's solver state file."""
    return f"{prefix}_iter_{iteration}.solverstate{'.h5' if hdf5 else ''}"


def check_prefix(prefix: str, refuse: Refuse) -> None:
    """Raise the error for a prefix under which no file can be written; creates no file."""
    if not prefix:
        raise refuse(
            "snapshot_prefix",
            "snapshot_prefix is missing; set it, or set snapshot_after_train: false without "
            "snapshot",
        )
    folder = os.path.dirname(prefix) or "."
    if not os.path.isdir(folder):
        raise refuse(
            "snapshot_prefix",
            f'snapshot_prefix "{prefix}" is in a folder that does not exist: {folder}; create it',
        )
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=os.path.basename(prefix)):
            pass
    except OSError as error:
        raise refuse(
            "snapshot_prefix",
            f'cannot write a file under snapshot_prefix "{prefix}": {error.strerror}',
        ) from None


def state_parts(
    iteration: int, weights: str, current_step: int, history: Sequence[Array]
) -> Iterator[caffe_pb2.SolverState]:
    """A SolverState with Caffe's fields, in parts, as the history is as large as the weights."""
    yield caffe_pb2.SolverState(iter=iteration, learned_net=weights)
    for array in history:
        part = caffe_pb2.SolverState()
        files.put_array(part.history.add(), array)
        yield part
    yield caffe_pb2.SolverState(current_step=current_step)


def write_state(path: str, parts: Iterable[caffe_pb2.SolverState], hdf5: bool) -> None:
    """Write the result of `state_parts` to a file, atomically."""
    if not hdf5:
        files.write_parts(path, parts)
        return
    state = caffe_pb2.SolverState()
    for part in parts:
        state.MergeFrom(part)
    files.write_state_hdf5(path, state)


def read_history(path: str, state: caffe_pb2.SolverState, current: Sequence[Array]) -> list[Array]:
    """The history arrays of a state, in the shapes of the `current` ones.

    Raises SolverError if their number or shapes differ, as for another net or solver type.
    """
    if len(state.history) != len(current):
        raise SolverError(
            f"{path}: has {len(state.history)} history arrays, but this solver has "
            f"{len(current)}; is it of the same net and solver type?"
        )
    history = []
    for index, (blob, array) in enumerate(zip(state.history, current, strict=True)):
        values = files.blob_to_array(blob)
        if values.shape != array.shape and not files.same_legacy_shape(values.shape, array.shape):
            raise SolverError(
                f"{path}: history array {index} has shape {values.shape}, but this solver needs "
                f"{array.shape}; is it of the same net?"
            )
        history.append(values.reshape(array.shape))
    return history


def find_weights(path: str, state: caffe_pb2.SolverState) -> str:
    """The weights file named in a state; if the pair was moved or renamed, the one beside it."""
    named = str(state.learned_net)
    beside = Path(path).parent / Path(named).name
    renamed = Path(path).with_name(Path(path).name.replace(".solverstate", ".caffemodel"))
    if os.path.exists(named):
        return named
    for candidate in (beside, renamed):
        if candidate.exists() and candidate != Path(path):
            _log.info("%s does not exist; using %s", named, candidate)
            return str(candidate)
    raise SolverError(
        f'{path}: its weights "{named}" are neither in the current folder {os.getcwd()} nor '
        "beside the state; put them there"
    )
