"""Weights: whether they are those of the net."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from caffe_lite.checking.dry import View
from caffe_lite.checking.findings import Problem, Severity, at, of_error, rule
from caffe_lite.checking.rules.multipliers import feeds_only_losses
from caffe_lite.checking.subjects import Checked
from caffe_lite.errors import CaffeError
from caffe_lite.layers.base import Layer
from caffe_lite.net.weights import Comparison, Receiver, compare
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.proto.blobs import blob_to_array


@lru_cache(8)
def _read(path: str, modified: int) -> caffe_pb2.NetParameter:
    return files.read_weights(path)


def _weights(path: str) -> caffe_pb2.NetParameter:
    """A file's weights; those read last are kept, as several rules look at them."""
    return _read(path, os.stat(path).st_mtime_ns if os.path.exists(path) else 0)


@rule("unreadable-weights", Severity.ERROR)
def unreadable_weights(checked: Checked) -> Iterator[Problem]:
    """A file with weights that is missing, damaged, or of another kind."""
    for path in checked.weights:
        try:
            _weights(path)
        except CaffeError as error:
            yield of_error(error)


@rule("misfit-weights", Severity.ERROR)
def misfit_weights(checked: Checked) -> Iterator[Problem]:
    """A layer whose weights in the file have other shapes than in the net."""
    for view, found in _comparisons(checked):
        for error in found.misfits:
            name = next((n for n in view.nodes if f'layer "{n.name}"' in error.message), None)
            place = name.where.location if name is not None and name.where else None
            yield Problem(error.message, place)


@rule("untrained-weights", Severity.WARNING)
def untrained_weights(checked: Checked) -> Iterator[Problem]:
    """A layer of the net that the weights given do not have: it starts from its fillers.

    Layers whose prototxt fixes their values, such as bilinear interpolation, are not told.  It is
    a note for a layer that a solver trains and that only losses and metrics read: a new
    classifier.
    """
    told: set[str] = set()
    for view, found in _comparisons(checked):
        misfits = " ".join(error.message for error in found.misfits)
        if not found.report.loaded and not misfits:
            where = view.source.where
            yield Problem(
                f"{found.origin} has weights for none of the net's layers; is it another net's?",
                where.location if where else None,
            )
            return
        wanted = set(found.report.untrained) - told
        told |= wanted
        for index, node in enumerate(view.nodes):
            if node.name in wanted and f'layer "{node.name}"' not in misfits:
                is_new = checked.settings is not None and feeds_only_losses(view, index)
                does = "stays untrained" if checked.train is None else "starts from its fillers"
                yield at(
                    node,
                    "name",
                    f"{found.origin} has no weights for it, so it {does}; is the name right?",
                    Severity.NOTE if is_new else None,
                )


@rule("unused-weights", Severity.WARNING)
def unused_weights(checked: Checked) -> Iterator[Problem]:
    """Weights for a layer that no phase of the net has: a renamed layer, or another net's file."""
    used = set()
    unknown: dict[str, str] = {}
    for view, found in _comparisons(checked):
        used |= {node.name for node in view.nodes}
        if found.report.loaded or found.misfits:  # else it is told once for all
            unknown |= dict.fromkeys(found.unknown, found.origin)
    for name, origin in unknown.items():
        if name not in used:
            yield Problem(
                f'{origin}: has weights for layer "{name}", which the net does not have; they are '
                "ignored"
            )


@rule("weights-not-finite", Severity.ERROR)
def weights_not_finite(checked: Checked) -> Iterator[Problem]:
    """Weights that are not numbers (NaN) or are infinite: of a training that diverged."""
    for path in checked.weights:
        try:
            layers = _weights(path).layer
        except CaffeError:
            continue
        for layer in layers:
            for index, blob in enumerate(layer.blobs):
                bad = int(np.count_nonzero(~np.isfinite(blob_to_array(blob))))
                if bad:
                    yield Problem(
                        f'{path}: layer "{layer.name}", blob {index}: {bad:,} values are not '
                        "finite; use an older snapshot"
                    )


def _comparisons(checked: Checked) -> Iterator[tuple[View, Comparison]]:
    """Each view with what of the weights fits it; a test net of a solver gets the train net's."""
    views = checked.views[:1] if checked.settings is not None else checked.views
    for view in views if checked.weights else ():
        receiver = Receiver(
            view.nodes, _layers(view), view.learnable, frozenset(n.name for n, _ in view.left_out)
        )
        try:
            sources = [_weights(path) for path in checked.weights]
            found = compare(receiver, sources)
        except CaffeError:
            continue
        found.origin = ", ".join(checked.weights)
        misfits = [str(e).replace("the given message", found.origin) for e in found.misfits]
        for error, text in zip(found.misfits, misfits, strict=True):
            error.message = text
        hidden = {node.name for i, node in enumerate(view.nodes) if view.layer(i) is None}
        found.unknown = [name for name in found.unknown if name not in hidden]
        yield view, found


def _layers(view: View) -> list[Layer]:
    found = (view.layer(index) for index in range(len(view.nodes)))
    return [layer for layer in found if layer is not None]
