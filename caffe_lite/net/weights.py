"""Weights between nets and files, matched by layer name."""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from caffe_lite import glog
from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import WeightsError
from caffe_lite.layers.base import Layer
from caffe_lite.net.passes.learnable import Learnable
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.blobs import blob_to_array, same_legacy_shape
from caffe_lite.proto.files import read_weights, write_parts, write_weights_hdf5
from caffe_lite.proto.nodes import Node

_log = glog.logger("caffe_lite.net")


Source = str | os.PathLike[str] | caffe_pb2.NetParameter

SHOWN = 6
"""How many names of layers a message has; the others are counted."""


@dataclass
class Report:
    """What copying weights did, as names of layers."""

    loaded: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Layers that have weights in the file and are not in the net."""
    missing: list[str] = field(default_factory=list)
    """Layers that have weights in the net and none in the file: they keep those they have."""
    untrained: list[str] = field(default_factory=list)
    """Those of `missing` that have the values of their fillers, as no file has given others.

    Layers that the prototxt fixes at such values are not among them: see `_is_fixed`.
    """

    def refuse_untrained(self) -> None:
        """Raise WeightsError if layers are `untrained`, for what is to be used as it is."""
        if self.untrained:
            count, names = len(self.untrained), _names(self.untrained)
            layers = "layer" if count == 1 else "layers"
            raise WeightsError(f"the weights have none for {count} {layers}: {names}")

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} layers loaded"]
        if self.skipped:
            parts.append(f"not in the net: {', '.join(self.skipped)}")
        if self.missing:
            parts.append(f"not in the file: {', '.join(self.missing)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Receiver:
    """What of a net takes weights."""

    nodes: Sequence[Node]
    layers: Sequence[Layer]
    """The layers of the nodes."""
    learnable: Sequence[Learnable]
    left_out: frozenset[str]
    """Layers of the net's file that are of another phase, level or stage."""


@dataclass
class Comparison:
    """What of weights goes where in a net, and what does not fit; nothing is copied yet."""

    report: Report
    copies: list[tuple[Blob, Array]]
    """Blobs of the net, with the values for each."""
    misfits: dict[str, WeightsError]
    """For each layer whose blobs are others, by its name."""
    unknown: list[str]
    """The layers with weights that the net's file does not have."""
    origin: str
    """The files."""


def compare(
    net: Receiver, sources: Sequence[Source], names: Sequence[str] | None = None
) -> Comparison:
    """Match weights with the layers of their names; of two sources the later counts.

    names: what the sources are called in messages.
    """
    found = Comparison(Report(), [], {}, [], "")
    report, origins = found.report, []
    named = {layer.name: layer for layer in net.layers}
    for number, source in enumerate(sources):
        if isinstance(source, caffe_pb2.NetParameter):
            message, origin = source, "the given message"
        else:
            message, origin = read_weights(source), os.fspath(source)
        origin = names[number] if names else origin
        origins.append(origin)
        for given in message.layer:
            if not given.blobs:
                continue
            if given.name not in named:
                report.skipped.append(given.name)
                continue
            owned = {each.index for each in net.learnable if each.layer == given.name}
            try:
                found.copies += _matched(named[given.name].blobs, owned, given, origin)
                report.loaded.append(given.name)
            except WeightsError as error:
                found.misfits[given.name] = error
    touched = {id(blob.data_memory) for blob, _ in found.copies}
    lacking = [layer for layer in net.layers if not _has_all(layer, touched)]
    report.missing = [layer.name for layer in lacking]
    report.untrained = [layer.name for layer in lacking if not _is_fixed(layer, net.learnable)]
    found.unknown = [name for name in report.skipped if name not in net.left_out]
    found.origin = ", ".join(origins)
    return found


def copy_from(
    net: Receiver, sources: Sequence[Source], strict: bool = False, related: bool = False
) -> Report:
    """Copy the weights of .caffemodel(.h5) files or messages into the layers of their names.

    Of two sources that have a layer the later counts.  Layers that only one side has are left
    alone, and told as warnings: weights for a layer that the net's file does not have, and layers
    that stay untrained.  Raises WeightsError for these if `strict`; if `related`, where no layer
    has the name of one of the net's, as in another net's weights; and, with both shapes, if a
    layer of the same name has other blobs.  The layers are then unchanged.
    """
    found = compare(net, sources)
    for name in found.report.skipped:
        _log.info("Ignoring source layer %s", name)
    for error in found.misfits.values():
        raise error
    told = _Told(found.origin, found.report.untrained, found.unknown)
    if related and found.report.missing and not found.report.loaded:
        told.refuse_another_nets(found.report)
    if strict:
        told.refuse(net)
    told.warn(net)
    for blob, values in found.copies:
        blob.data[...] = values
    touched = {id(blob.data_memory) for blob, _ in found.copies}
    for layer in net.layers:
        layer.has_weights = layer.has_weights or _has_all(layer, touched)
    return found.report


def _has_all(layer: Layer, touched: Collection[int]) -> bool:
    """Whether all parameters are in memory that was written: shared ones come with their owner."""
    return all(id(blob.data_memory) in touched for blob in layer.blobs)


def _is_fixed(layer: Layer, learnable: Sequence[Learnable]) -> bool:
    """Whether a layer needs no weights: it has them, or its fillers are what its author wants.

    These are layers that no solver moves and whose prototxt says the values: a constant other than
    0 (a Scale of the input), or bilinear interpolation (a Deconvolution that enlarges).
    """
    if layer.has_weights or layer.param.blobs:
        return True
    if any(each.lr_mult for each in learnable if each.layer == layer.name):
        return False
    for name in ("weight_filler", "filler"):
        if isinstance(layer.config, Message) and name in layer.config.DESCRIPTOR.fields_by_name:
            filler = getattr(layer.config, name)
            return bool(filler.type == "bilinear" or (filler.type == "constant" and filler.value))
    return False


@dataclass(frozen=True)
class _Told:
    """What of weights and a net does not match."""

    origin: str
    """The files."""
    untrained: list[str]
    unknown: list[str]
    """Layers that the net's file does not have."""

    def warn(self, net: Receiver) -> None:
        """Say it in the log, in a line for each side."""
        if self.untrained:
            training = net.nodes[0].param.phase == caffe_pb2.TRAIN
            _log.warning(
                "%s has no weights for these layers of the net (%d of %d), which %s: %s",
                self.origin,
                len(self.untrained),
                sum(bool(layer.blobs) for layer in net.layers),
                "start from their fillers" if training else "stay untrained",
                _names(self.untrained),
            )
        if self.unknown:
            _log.warning(
                "%s has weights for layers that are not in the net (%d), which are ignored: %s",
                self.origin,
                len(self.unknown),
                _names(self.unknown),
            )

    def refuse_another_nets(self, report: Report) -> None:
        """Raise a WeightsError that has the names of both sides."""
        theirs = "no weights"
        if report.skipped:
            theirs = f"weights for {_names(report.skipped)}, which are no layers of this net"
        own = _names(report.missing)
        raise WeightsError(f"{self.origin} has {theirs}; the net's layers with weights are {own}")

    def refuse(self, net: Receiver) -> None:
        """Raise it as a WeightsError, at the first layer of the net, if there is one."""
        parts = []
        if self.untrained:
            others = self.untrained[1:]
            more = f", nor for {len(others)} more: {_names(others)}" if others else ""
            parts.append(f"{self.origin} has no weights for this layer{more}")
        if self.unknown:
            text = "it has" if parts else f"{self.origin} has"
            count, names = len(self.unknown), _names(self.unknown)
            parts.append(f"{text} weights for layers that are not in the net ({count}): {names}")
        if not parts:
            return
        error = WeightsError(f"{'; '.join(parts)}; strict accepts no such difference")
        for node in net.nodes:
            if self.untrained and node.name == self.untrained[0]:
                error.at(node.where and node.where.location, node.label())
        raise error


def _names(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - SHOWN
    shown = [*names[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return ", ".join(shown)


def _matched(
    blobs: Sequence[Blob], owned: set[int], layer: caffe_pb2.LayerParameter, origin: str
) -> list[tuple[Blob, Array]]:
    """A layer's blobs with the values for each; WeightsError if they do not fit.

    `owned` has the indices of the blobs that no other layer owns.  An HDF5 file leaves out the
    others: they come with their owner.
    """
    given = {index: blob for index, blob in enumerate(layer.blobs) if blob.ListFields()}
    if not owned <= set(given) <= set(range(len(blobs))):
        raise WeightsError(
            f'{origin}: layer "{layer.name}" has {len(layer.blobs)} weight blobs, in the net '
            f"{len(blobs)}; is bias_term the same? To start it afresh, rename the layer"
        )
    matched = []
    for index, message in given.items():
        blob, values = blobs[index], blob_to_array(message)
        if not _fits(values.shape, blob.shape):
            raise WeightsError(
                f'{origin}: layer "{layer.name}", blob {index}: the file has shape '
                f"{values.shape}, the net {blob.shape}; to start this layer afresh, rename it"
            )
        matched.append((blob, values.reshape(blob.shape)))
    return matched


def _fits(given: Shape, wanted: Shape) -> bool:
    """Whether a file's shape is the net's, in the legacy form, or but for 1s at its end.

    The forks that have BN store its numbers as (1, C) or as (1, C, 1, 1).
    """
    least = min(len(given), len(wanted))
    rest = given[least:] + wanted[least:]
    same = given[:least] == wanted[:least] and set(rest) <= {1}
    return same or same_legacy_shape(given, wanted)


def share(layers: Mapping[str, Layer], params: Mapping[str, Sequence[Blob]]) -> None:
    """Let layers use the weights `params`, those of another net, of the same names.

    Raises WeightsError if shapes or types differ; then nothing is shared.
    """
    pairs: list[tuple[Blob, Blob]] = []
    for name, theirs in params.items():
        if name not in layers:
            _log.info("Ignoring source layer %s", name)
            continue
        ours = layers[name].blobs
        if [blob.shape for blob in ours] != [blob.shape for blob in theirs]:
            raise WeightsError(
                f'layer "{name}" cannot share weights: its blobs are '
                f"{[blob.shape for blob in ours]}, the other net's "
                f"{[blob.shape for blob in theirs]}"
            )
        for one, other in zip(ours, theirs, strict=True):
            if one.dtype != other.dtype:
                raise WeightsError(
                    f'layer "{name}" cannot share weights: its own are {one.dtype}, the other '
                    f"net's {other.dtype}; copy them: net.copy_from(other.to_proto())"
                )
        pairs += zip(ours, theirs, strict=True)
    for blob, source in pairs:
        blob.share_data(source)
    for name in params.keys() & layers.keys():
        layers[name].has_weights = True


def warn_of_unshared(net: Receiver, params: Container[str], what: str) -> None:
    """Warn of the layers that would stay untrained if `net`, which is `what`, shared `params`."""
    shared = [layer for layer in net.layers if layer.name in params]
    touched = {id(blob.data_memory) for layer in shared for blob in layer.blobs}
    lacking = [layer for layer in net.layers if not _has_all(layer, touched)]
    names = [layer.name for layer in lacking if not _is_fixed(layer, net.learnable)]
    if names:
        _log.warning(
            "%s has layers that the train net does not have (%d), which stay untrained: %s",
            what,
            len(names),
            _names(names),
        )


def to_proto(name: str, layers: Sequence[Layer], write_diff: bool) -> caffe_pb2.NetParameter:
    """A net with its weights, and with their gradients if `write_diff`: a .caffemodel."""
    message = caffe_pb2.NetParameter(name=name)
    for layer in layers:
        layer.put_into(message.layer.add(), write_diff)
    return message


def save(
    path: str | os.PathLike[str], name: str, layers: Sequence[Layer], write_diff: bool
) -> None:
    """Write a .caffemodel layer by layer: a snapshot must not take twice the weights' memory.

    Raises WeightsError for more than protobuf's 2 GB.
    """
    write_parts(path, _parts(name, layers, write_diff))


def _parts(
    name: str, layers: Sequence[Layer], write_diff: bool
) -> Iterator[caffe_pb2.NetParameter]:
    yield caffe_pb2.NetParameter(name=name)
    for layer in layers:
        part = caffe_pb2.NetParameter()
        layer.put_into(part.layer.add(), write_diff)
        yield part


def save_hdf5(
    path: str | os.PathLike[str],
    name: str,
    layers: Sequence[Layer],
    learnable: Sequence[Learnable],
    write_diff: bool,
) -> None:
    """Write a .caffemodel.h5; a shared parameter is written by its owner only, as in Caffe."""
    message = to_proto(name, layers, write_diff)
    owned = {(each.layer, each.index) for each in learnable}
    for layer in message.layer:
        for index, blob in enumerate(layer.blobs):
            if (layer.name, index) not in owned:
                blob.Clear()
    write_weights_hdf5(path, message, write_diff)
