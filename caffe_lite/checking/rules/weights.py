"""Weights: whether they are those of the net."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caffe_lite.checking.findings import Problem, Severity, at, of_error
from caffe_lite.checking.rules.multipliers import feeds_only_losses
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.errors import CaffeError
from caffe_lite.proto.blobs import blob_to_array


@rule("unreadable-weights", Severity.ERROR)
def unreadable_weights(checked: Checked) -> Iterator[Problem]:
    """A file with weights that is missing, damaged, or of another kind."""
    for read in checked.messages.values():
        if isinstance(read, CaffeError):
            yield of_error(read)


@rule("misfit-weights", Severity.ERROR)
def misfit_weights(checked: Checked) -> Iterator[Problem]:
    """A layer whose weights in the file have other shapes than in the net."""
    for view, found in checked.comparisons:
        for node in view.nodes:
            if node.name in found.misfits:
                place = node.where.location if node.where else None
                yield Problem(found.misfits[node.name].message, place)


@rule("untrained-weights", Severity.WARNING)
def untrained_weights(checked: Checked) -> Iterator[Problem]:
    """A layer of the net that the weights given do not have: it starts from its fillers.

    Layers whose prototxt fixes their values, such as bilinear interpolation, are not told.  It is
    a note for a layer that a solver trains and that only losses and metrics read: a new
    classifier.
    """
    told: set[str] = set()
    for view, found in checked.comparisons:
        if not found.report.loaded and not found.misfits:
            where = view.source.where
            yield Problem(
                f"{found.origin} has weights for none of the net's layers; is it another net's?",
                where.location if where else None,
            )
            return
        wanted = set(found.report.untrained) - told
        told |= wanted
        for index, node in enumerate(view.nodes):
            if node.name in wanted and node.name not in found.misfits:
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
    for view, found in checked.comparisons:
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
    for path, read in checked.messages.items():
        for layer in [] if isinstance(read, CaffeError) else read.layer:
            for index, blob in enumerate(layer.blobs):
                bad = int(np.count_nonzero(~np.isfinite(blob_to_array(blob))))
                if bad:
                    yield Problem(
                        f'{path}: layer "{layer.name}", blob {index}: {bad:,} values are not '
                        "finite; use an older snapshot"
                    )
