"""``<prefix>_iter_<N>.resume``: what Caffe's two files of a snapshot do not have.

It has the state of every layer of every net (positions in the data, random streams, what a
recurrent layer remembers), and what the log still depends on.  It is JSON:

    {"format": "caffe_lite.resume", "version": 1, "sha256": of "run" as text, "run": {...}}

So any program can read it, and reading it runs nothing, as reading a pickle would.  Its arrays are
few and small; they are in base64.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from caffe_lite import glog, reading, states
from caffe_lite.blob import Array
from caffe_lite.errors import CaffeError, DataError, SolverError
from caffe_lite.layers.base import Layer
from caffe_lite.net.net import Net
from caffe_lite.proto import files
from caffe_lite.solver.monitor import Progress
from caffe_lite.states import State

FORMAT = "caffe_lite.resume"
VERSION = 1
ROOM = 1 << 24
"""Bytes that a file may have beyond twice what this solver would write now."""

_log = glog.logger("caffe_lite.solver")


@dataclass
class LayerState:
    """A layer's state, and the parameters that no caffemodel has: those of a test net alone."""

    name: str
    type: str
    state: State
    own: list[Array]


@dataclass
class Run:
    """Where a run is: what a resume file says.

    digests: of the snapshot's other files, "weights" and "state".  losses: the last ones of the
    training net, of which the log shows the mean.  was_not_finite: whether the last of them was
    not finite, which is told once.  nets: the training net, then the test nets.  monitor: where
    its monitor is, if it has one.
    """

    iteration: int
    digests: dict[str, str]
    losses: list[float]
    was_not_finite: bool
    nets: list[list[LayerState]]
    monitor: Progress | None = None


def resume_file(state_file: str | os.PathLike[str]) -> str:
    """The name of the resume file that belongs to a solver state."""
    path = Path(state_file)
    return str(path.with_name(re.sub(r"(\.solverstate)?(\.h5)?$", "", path.name) + ".resume"))


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file.  Raises SolverError if it cannot be read."""
    try:
        return reading.sha256(path)
    except OSError as error:
        raise SolverError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None


# -- nets ----------------------------------------------------------------------------------


def collect(net: Net, trained: Net) -> list[LayerState]:
    """The states of a net's layers; `trained` is the net whose weights are in the caffemodel."""
    found = []
    for layer in net.layers:
        alone = net is not trained and layer.name not in trained.params
        own = [blob.data.copy() for blob in layer.blobs] if alone else []
        # by its class: a user's layer may have a value of its own in this name
        state = builtins.type(layer).get_state(layer)
        found.append(LayerState(layer.name, layer.param.type, state, own))
    return found


def check_nets(nets: Sequence[Net], run: Run, path: str) -> None:
    """Raise SolverError unless these nets have the layers that a run is of."""
    if len(run.nets) != len(nets):
        _refuse(path, f"{len(run.nets) - 1} test nets, this one has {len(nets) - 1}")
    for number, (net, saved) in enumerate(zip(nets, run.nets, strict=True)):
        which = f"test net #{number - 1}" if number else "the training net"
        ours = [(layer.name, str(layer.param.type)) for layer in net.layers]
        theirs = [(layer.name, layer.type) for layer in saved]
        for (name, kind), (their_name, their_kind) in zip(ours, theirs):
            if (name, kind) != (their_name, their_kind):
                there_is = f'"{their_name}" ({their_kind})'
                _refuse(path, f'in {which} {there_is} where this one has "{name}" ({kind})')
        if len(ours) != len(theirs):
            _refuse(path, f"{len(theirs)} layers in {which}, this one has {len(ours)}")
        for layer, there in zip(net.layers, saved, strict=True):
            needed = [blob.shape for blob in layer.blobs]
            if there.own and [values.shape for values in there.own] != needed:
                _refuse(path, f'other blobs in the layer "{layer.name}" of {which}')


def _refuse(path: str, difference: str) -> NoReturn:
    raise SolverError(
        f"{path}: is of another net: it has {difference}; remove this file to continue without "
        "it, as Caffe does"
    )


@contextmanager
def restored(nets: Sequence[Net], run: Run, path: str) -> Iterator[None]:
    """Put nets where a run was, for good unless the block fails.

    Raises SolverError if they cannot be there.  After an error they are where they were before.
    """
    before = [collect(net, nets[0]) for net in nets]
    try:
        for net, saved in zip(nets, run.nets, strict=True):
            for layer, there in zip(net.layers, saved, strict=True):
                try:
                    _restore(layer, there)
                except CaffeError as error:
                    where = f'layer "{layer.name}" ({layer.param.type})'
                    raise SolverError(f"{path}: {where}: {error.message}") from None
        yield
    except BaseException:
        _put_back(nets, before)
        raise
    _name_forgetful(nets)


def _restore(layer: Layer, there: LayerState) -> None:
    builtins.type(layer).set_state(layer, there.state)
    for blob, values in zip(layer.blobs, there.own):
        blob.data[...] = values


def _put_back(nets: Sequence[Net], before: Sequence[Sequence[LayerState]]) -> None:
    for net, saved in zip(nets, before, strict=True):
        for layer, there in zip(net.layers, saved, strict=True):
            try:
                _restore(layer, there)
            except CaffeError as error:  # the first error is told; this one must not hide it
                _log.warning('layer "%s": %s', layer.name, error.message)


def _name_forgetful(nets: Sequence[Net]) -> None:
    """Name the users' sources that do not say where they are."""
    for net in nets:
        for layer in net.layers:
            keeps = builtins.type(layer).get_state is not Layer.get_state
            if layer.param.type == "Python" and not layer.param.bottom and not keeps:
                _log.warning(
                    'layer "%s" (Python) has no get_state and set_state: it begins anew',
                    layer.param.name,
                )


# -- files ---------------------------------------------------------------------------------


def encode(run: Run) -> str:
    """The text of a resume file.

    Raises SolverError for a state of a user's layer that has no such form.
    """
    nets = [[_encode_layer(layer) for layer in net] for net in run.nets]
    text = json.dumps(
        {
            "iteration": run.iteration,
            "digests": run.digests,
            "losses": states.encode(run.losses),
            "was_not_finite": run.was_not_finite,
            "nets": nets,
            "monitor": states.encode(run.monitor and asdict(run.monitor)),
        }
    )
    head = {"format": FORMAT, "version": VERSION, "sha256": _text_digest(text)}
    return f'{json.dumps(head)[:-1]}, "run": {text}}}\n'


def _encode_layer(layer: LayerState) -> Any:
    try:
        return {
            "name": layer.name,
            "type": layer.type,
            "state": states.encode(layer.state),
            "own": states.encode(layer.own),
        }
    except (DataError, RecursionError) as error:
        what = error.message if isinstance(error, DataError) else "its state is nested too deeply"
        raise SolverError(f'layer "{layer.name}" ({layer.type}): {what}') from None


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: str, run: Run) -> None:
    """Write a resume file, atomically."""
    files.write_text(path, encode(run))


def read(path: str, largest: int) -> Run:
    """The run in a resume file of at most `largest` bytes.

    Raises SolverError for a file that is damaged, or of another format or version.
    """
    try:
        return _decode(_parse(path, largest))
    except DataError as error:
        raise SolverError(f"{path}: is no valid resume file: {error.message}") from None


def _parse(path: str, largest: int) -> State:
    """The member "run", whose text has the digest that the file names."""
    try:
        with reading.open_regular(path) as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise SolverError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > largest:
        raise SolverError(f"{path}: is over {largest} bytes, too much for this solver's nets")
    try:
        whole = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise SolverError(
            f"{path}: is no resume file, damaged or truncated ({len(content)} bytes)"
        ) from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise SolverError(f"{path}: is no resume file of {FORMAT}")
    if whole.get("version") != VERSION:
        version = str(whole.get("version"))[:20]
        raise SolverError(f"{path}: is of version {version}; this program reads {VERSION}")
    run = states.part(whole, "run")
    if whole.get("sha256") != _text_digest(json.dumps(run)):
        raise SolverError(f"{path}: is damaged: its content has not the digest that it names")
    return run


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _decode(run: State) -> Run:
    digests = states.part(run, "digests")
    for key in ("weights", "state"):
        _typed(digests, key, str)
    losses = states.decode(_typed(run, "losses", list))
    for loss in losses:
        if type(loss) not in (int, float):
            raise states.refuse("losses", losses, "a list of numbers")
    nets = [
        [_decode_layer(layer) for layer in _list(net, "nets")]
        for net in _list(_typed(run, "nets", list), "nets")
    ]
    return Run(
        iteration=states.integer(run, "iteration", below=1 << 31),
        digests=digests,
        losses=[float(loss) for loss in losses],
        was_not_finite=_typed(run, "was_not_finite", bool),
        nets=nets,
        monitor=_decode_monitor(run),
    )


def _decode_monitor(run: State) -> Progress | None:
    if states.take(run, "monitor") is None:
        return None
    return Progress.from_state(states.decode(states.part(run, "monitor")))


def _typed(state: State, key: str, kind: type) -> Any:
    value = states.take(state, key)
    if type(value) is not kind:
        raise states.refuse(key, value, f"a {kind.__name__}")
    return value


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise states.refuse(key, value, "a list")
    return value


def _decode_layer(layer: Any) -> LayerState:
    if not isinstance(layer, dict):
        raise states.refuse("nets", layer, "a layer")
    own = states.decode(_typed(layer, "own", list))
    if not all(isinstance(values, np.ndarray) for values in own):
        raise states.refuse("own", own, "a list of arrays")
    return LayerState(
        name=_typed(layer, "name", str),
        type=_typed(layer, "type", str),
        state=states.decode(states.part(layer, "state")),
        own=own,
    )
