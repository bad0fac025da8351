"""Snapshots: ``<prefix>_iter_<N>.caffemodel`` with ``.solverstate``, or both with ``.h5``.

The weights are written before the state that names them, and each file appears whole or not at
all, so a run killed at any moment leaves its last good pair.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from caffe_lite.blob import Array
from caffe_lite.errors import SolverError
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.solver.lr_policy import Refuse

_log = logging.getLogger("caffe_lite.solver")


def weights_file(prefix: str, iteration: int, hdf5: bool) -> str:
    """The name of the weights of a snapshot."""
    return f"{prefix}_iter_{iteration}.caffemodel{'.h5' if hdf5 else ''}"


def state_file(prefix: str, iteration: int, hdf5: bool) -> str:
    """The name of the solver's state in a snapshot."""
    return f"{prefix}_iter_{iteration}.solverstate{'.h5' if hdf5 else ''}"


def check_prefix(prefix: str, refuse: Refuse) -> None:
    """Refuse a prefix under which no file can be written; leaves no file behind."""
    if not prefix:
        raise refuse(
            "snapshot_prefix",
            "snapshot_prefix is missing; give it, or snapshot_after_train: false and no snapshot",
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
            f'no file can be written under snapshot_prefix "{prefix}": {error.strerror}',
        ) from None


def state_parts(
    iteration: int, weights: str, current_step: int, history: Sequence[Array]
) -> Iterator[caffe_pb2.SolverState]:
    """A SolverState with Caffe's fields, in parts: the history takes as much as the weights."""
    yield caffe_pb2.SolverState(iter=iteration, learned_net=weights)
    for array in history:
        part = caffe_pb2.SolverState()
        files.put_array(part.history.add(), array)
        yield part
    yield caffe_pb2.SolverState(current_step=current_step)


def write_state(path: str, parts: Iterable[caffe_pb2.SolverState], hdf5: bool) -> None:
    """Write `state_parts` to a file, whole or not at all."""
    if not hdf5:
        files.write_parts(path, parts)
        return
    state = caffe_pb2.SolverState()
    for part in parts:
        state.MergeFrom(part)
    files.write_state_hdf5(path, state)


def read_history(path: str, state: caffe_pb2.SolverState, current: Sequence[Array]) -> list[Array]:
    """The history arrays of a state, in the shapes of the `current` ones.

    Raises SolverError when their number or shapes say that they are of another net or solver type.
    """
    if len(state.history) != len(current):
        raise SolverError(
            f"{path}: holds {len(state.history)} history arrays, this solver has {len(current)}; "
            "is it of the same net and solver type?"
        )
    history = []
    for index, (blob, array) in enumerate(zip(state.history, current, strict=True)):
        values = files.blob_to_array(blob)
        if values.shape != array.shape and not files.same_legacy_shape(values.shape, array.shape):
            raise SolverError(
                f"{path}: history array {index} has shape {values.shape}, this solver needs "
                f"{array.shape}; is it of the same net?"
            )
        history.append(values.reshape(array.shape))
    return history


def find_weights(path: str, state: caffe_pb2.SolverState) -> str:
    """The weights that a state names; if the pair was moved or renamed, those beside the state."""
    named = str(state.learned_net)
    beside = Path(path).parent / Path(named).name
    renamed = Path(path).with_name(Path(path).name.replace(".solverstate", ".caffemodel"))
    if os.path.exists(named):
        return named
    for candidate in (beside, renamed):
        if candidate.exists() and candidate != Path(path):
            _log.info("%s does not exist, taking %s", named, candidate)
            return str(candidate)
    raise SolverError(
        f'{path}: its weights "{named}" do not exist in the current folder {os.getcwd()}, nor '
        "beside the state; put them there"
    )
