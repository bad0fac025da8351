"""Measuring a net: each layer's backward, and the size of its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite.solver import Solver
from tools.bench import inputs, measure, nets, ours, rows, weights
from tools.bench.scale.step import Layer, Profile

ROUNDS = 3
"""How often nets are measured in turns, so that what else the machine does meets them all."""


def measured(keys: Sequence[str], folder: str, seconds: float = 6.0) -> list[Profile]:
    """The profiles of nets and batches, ``NET:BATCH``, with the threads of this process."""
    chosen = [rows.parse(key) for key in keys]
    solvers = [_solver(row, Path(folder)) for row in chosen]
    found: list[Profile | None] = [None] * len(keys)
    for _ in range(ROUNDS):
        for index, (row, solver) in enumerate(zip(chosen, solvers, strict=True)):
            profile = profile_of(solver, row.net, row.batch, seconds / ROUNDS)
            before = found[index]
            found[index] = profile if before is None else profile.least(before)
    return [profile for profile in found if profile is not None]


def _solver(row: rows.Row, folder: Path) -> Solver:
    path = folder / f"{row.net}-{row.batch}.prototxt"
    path.write_text(nets.prototxt(row.net, row.batch, train=True))
    solver = ours.make_solver(str(path))
    weights.fill(solver.net)
    solver.net.blobs["data"].data[...] = inputs.image(solver.net.blobs["data"].shape)
    solver.net.blobs["label"].data[...] = inputs.labels(row.batch, nets.NETS[row.net].classes)
    return solver


def profile_of(solver: Solver, name: str, batch: int, seconds: float) -> Profile:
    """The profile of a solver's net: the fastest of several passes, as on a machine of its own.

    A layer's backward is timed alone.  In the whole pass it is joined to its neighbours and finds
    values in the caches; so the times are multiplied by what makes their sum that of the pass.
    """
    net = solver.net
    net.compute_loss()
    net.compute_gradients()
    ahead, back = [], []
    for _ in range(5):
        ahead += measure.passes(net.compute_loss, 0)
        back += measure.passes(net.compute_gradients, seconds / 20)
    count = len(net.layers)
    alone: list[list[float]] = [[] for _ in range(count)]
    for turn in range(4):
        net.compute_loss()
        for index in reversed(range(count)):
            once = measure.passes(lambda i=index: net.backward_from_to(i, i), 0)  # type: ignore[misc]
            alone[index] += once if turn else []  # the first turn computes what fusion left out
    update = min(measure.passes(solver.apply_update, seconds / 10, 3))
    times = [min(each) for each in alone]
    factor = min(back) / sum(times)
    sizes = gradient_bytes(solver)
    layers = tuple(
        Layer(layer.name, factor * time, sizes.get(layer.name, 0))
        for layer, time in zip(net.layers, times, strict=True)
    )
    return Profile(name, batch, min(ahead), update, layers)


def gradient_bytes(solver: Solver) -> dict[str, int]:
    """The bytes of the gradients of each layer that owns parameters which are learned.

    The owner of a shared parameter is the first layer that has it, the last in backward.
    """
    sizes: dict[str, int] = {}
    for each in solver.net.learnable:
        if each.lr_mult:
            size = each.blob.count * solver.net.dtype.itemsize
            sizes[each.layer] = sizes.get(each.layer, 0) + size
    return sizes


def as_plain(keys: list[str], folder: str) -> list[dict[str, Any]]:
    """`measured`, as a process of its own gives it back."""
    profiles = measured(keys, folder)
    return [
        {**vars(profile), "layers": [list(layer) for layer in profile.layers]}
        for profile in profiles
    ]


def from_plain(plain: dict[str, Any]) -> Profile:
    """A profile that `as_plain` has made."""
    return Profile(**{**plain, "layers": tuple(Layer(*each) for each in plain["layers"])})


def adding_speed(megabytes: int = 64) -> float:
    """The seconds to add one byte of float32 numbers to others that are in no cache."""
    array = np.ones(megabytes << 18, np.float32)
    other = np.ones_like(array)
    return measure.best(lambda: np.add(array, other, out=array), 0.3) / array.nbytes
