"""Snapshots: ``<prefix>_iter_<N>.caffemodel`` and ``.solverstate``, or both with ``.h5``.

Beside them is ``<prefix>_iter_<N>.resume``, see `resume`.  The weights are written first, the
state last, each file atomically: where there is a state its snapshot is complete, and the last
complete one remains whenever a run is killed.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from caffe_lite import glog
from caffe_lite.blob import Array
from caffe_lite.errors import CaffeError, SolverError
from caffe_lite.proto import caffe_pb2, files, temporary
from caffe_lite.solver import resume
from caffe_lite.solver.lr_policy import Plateau, Refuse

_KINDS = r"(?P<kind>caffemodel|solverstate|resume)(?:\.h5)?"

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
    iteration: int,
    weights: str,
    current_step: int,
    history: Sequence[Array],
    plateau: Plateau | None = None,
) -> Iterator[caffe_pb2.SolverState]:
    """A SolverState, in parts, as the history is as large as the weights.

    It has Caffe's fields, and with `plateau` those of the SSD fork for that policy.
    """
    yield caffe_pb2.SolverState(iter=iteration, learned_net=weights)
    for array in history:
        part = caffe_pb2.SolverState()
        files.put_array(part.history.add(), array)
        yield part
    last = caffe_pb2.SolverState(current_step=current_step)
    if plateau is not None:
        last.minimum_loss, last.iter_last_event = plateau.minimum_loss, plateau.last_event
    yield last


def write_state(
    path: str, parts: Iterable[caffe_pb2.SolverState], hdf5: bool, weights: str, run: resume.Run
) -> None:
    """Write the result of `state_parts` to a file, and before it is there the resume file.

    The latter names the digests of both others, so that files of two snapshots are not mixed: a
    run that is begun again overwrites those of an earlier one.
    """

    def write_resume(complete: Path) -> None:
        digests = {"weights": resume.digest(weights), "state": resume.digest(complete)}
        path_of_run = resume.resume_file(path)
        _log.info("Snapshotting data positions and random streams to %s", path_of_run)
        resume.write(path_of_run, replace(run, digests=digests))

    if not hdf5:
        files.write_parts(path, parts, write_resume)
        return
    state = caffe_pb2.SolverState()
    for part in parts:
        state.MergeFrom(part)
    files.write_state_hdf5(path, state, write_resume)


class Saved(NamedTuple):
    """A snapshot that was read: its state, the name of its weights, and the run, if it has one."""

    path: str
    state: caffe_pb2.SolverState
    weights: str | None
    run: resume.Run | None


def read(path: str, largest: int) -> Saved:
    """Read the solver state `path` and its resume file, of at most `largest` bytes.

    Raises SolverError for a damaged file, and for files that do not belong together.
    """
    path = _existing(path)
    state = files.read_state(path)
    weights = find_weights(path, state) if state.HasField("learned_net") else None
    path_of_run = resume.resume_file(path)
    if not os.path.lexists(path_of_run):
        return Saved(path, state, weights, None)
    run = resume.read(path_of_run, largest)
    if run.iteration != state.iter:
        raise SolverError(
            f"{path_of_run}: is of iteration {run.iteration}, but {path} of {state.iter}"
        )
    for kind, file in (("state", path), ("weights", weights)):
        if file is not None and resume.digest(file) != run.digests[kind]:
            raise SolverError(
                f"{file}: is not the file that {path_of_run} was written with: it was damaged or "
                "replaced; if you changed it, remove the latter to continue as Caffe does"
            )
    return Saved(path, state, weights, run)


def _existing(path: str) -> str:
    """The path of a solver state, or, if it does not exist, of its other format.

    Scripts name a file without .h5 whose solver writes HDF5, as BVLC's train_full.sh does.  Raises
    SolverError if there is neither.
    """
    if os.path.lexists(path):
        return path
    other = path.removesuffix(".h5") if path.endswith(".h5") else f"{path}.h5"
    if os.path.lexists(other):
        _log.warning("%s does not exist: %s is used", path, other)
        return other
    folder, name = os.path.split(path)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        names = []
    end = re.compile(r"\.solverstate(\.h5)?$")
    states = {end.sub("", each): each for each in names if end.search(each)}
    near = difflib.get_close_matches(end.sub("", name), states, n=1, cutoff=0.5)
    hint = f"; did you mean {os.path.join(folder, states[near[0]])}?" if near else ""
    raise SolverError(f"{path}: no such file{hint}")


# -- all snapshots under a prefix ----------------------------------------------------------


def _files_under(prefix: str) -> dict[int, dict[str, list[str]]]:
    """The snapshots' files: by iteration, by kind ("caffemodel", …), paths."""
    folder, base = os.path.split(prefix)
    name = re.compile(rf"{re.escape(base)}_iter_(?P<iteration>0|[1-9][0-9]{{0,9}})\.{_KINDS}")
    found: dict[int, dict[str, list[str]]] = {}
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError as error:
        raise SolverError(f'cannot list the folder of "{prefix}": {error.strerror}') from None
    for each in names:
        if match := name.fullmatch(each):
            kinds = found.setdefault(int(match["iteration"]), {})
            kinds.setdefault(match["kind"], []).append(os.path.join(folder, each))
    return found


def _written(path: str) -> float:
    try:
        return os.path.getmtime(path)
    except OSError:  # a link that leads nowhere
        return 0.0


def read_newest(prefix: str, largest: int) -> Saved | None:
    """The snapshot of the most iterations that is good; None if there is none.

    Says of each that is passed over why.
    """
    snapshots = _files_under(prefix)
    for iteration in sorted(snapshots, reverse=True):
        of_one = snapshots[iteration]
        if "solverstate" not in of_one:
            _log.warning("%s_iter_%d has no solverstate: passed over", prefix, iteration)
        for path in sorted(of_one.get("solverstate", []), key=_written, reverse=True):
            try:
                saved = read(path, largest)
                if saved.run is None and saved.weights is not None:
                    files.read_weights(saved.weights)  # no digest says that it is complete
            except CaffeError as error:
                _log.warning("%s is passed over: %s", path, error)
            else:
                return saved
    return None


def prune(prefix: str, iteration: int, keep: int) -> None:
    """Remove snapshots older than that of `iteration`, so that with it `keep` are left.

    Only complete ones count and are removed.  Those of more iterations are of another run, and
    stay.
    """
    snapshots = _files_under(prefix)
    older = sorted(n for n in snapshots if n < iteration and "solverstate" in snapshots[n])
    for number in older[: max(0, len(older) - (keep - 1))]:
        # the state first: a snapshot without one is not complete
        for kind in ("solverstate", "resume", "caffemodel"):
            for path in snapshots[number].get(kind, []):
                try:
                    os.unlink(path)
                except OSError as error:
                    _log.warning("%s cannot be removed: %s", path, error.strerror)
                    return
        _log.info("Removed the snapshot of iteration %d", number)


def remove_leftovers(prefix: str) -> None:
    """Remove the incomplete files that killed runs have left under a prefix."""
    folder, base = os.path.split(prefix)
    name = re.compile(rf"{re.escape(base)}_iter_[0-9]+\.{_KINDS}")
    temporary.remove_leftovers(folder or ".", lambda left: name.fullmatch(left) is not None)


# -- reading -------------------------------------------------------------------------------


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
        if os.path.exists(candidate) and candidate != Path(path):  # False for a name too long
            _log.info("%s does not exist; using %s", named, candidate)
            return str(candidate)
    raise SolverError(
        f'{path}: its weights "{named}" are neither in the current folder {os.getcwd()} nor '
        "beside the state; put them there"
    )
