"""Weights between nets and files, matched by layer name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from caffe_lite import glog
from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import WeightsError
from caffe_lite.layers.base import Layer
from caffe_lite.net.passes.learnable import Learnable
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.blobs import blob_to_array, same_legacy_shape
from caffe_lite.proto.files import read_weights, write_parts, write_weights_hdf5

_log = glog.logger("caffe_lite.net")


@dataclass
class Report:
    """What copying weights did, as names of layers."""

    loaded: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Layers that have weights in the file and are not in the net."""
    missing: list[str] = field(default_factory=list)
    """Layers that have weights in the net and none in the file: they keep those they have."""

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} layers loaded"]
        if self.skipped:
            parts.append(f"not in the net: {', '.join(self.skipped)}")
        if self.missing:
            parts.append(f"not in the file: {', '.join(self.missing)}")
        return "; ".join(parts)


def copy_from(
    layers: Mapping[str, Layer],
    learnable: Sequence[Learnable],
    source: str | os.PathLike[str] | caffe_pb2.NetParameter,
) -> Report:
    """Copy the weights of a .caffemodel, .caffemodel.h5 or message into the layers of their names.

    Layers that only one side has are left alone and reported.  Raises WeightsError, with both
    shapes, if a layer of the same name has other blobs; the layers are then unchanged.
    """
    if isinstance(source, caffe_pb2.NetParameter):
        message, origin = source, "the given message"
    else:
        message, origin = read_weights(source), os.fspath(source)
    report = Report()
    copies: list[tuple[Blob, Array]] = []
    for given in message.layer:
        if not given.blobs:
            continue
        if given.name not in layers:
            report.skipped.append(given.name)
            _log.info("Ignoring source layer %s", given.name)
            continue
        owned = {each.index for each in learnable if each.layer == given.name}
        copies += _matched(layers[given.name].blobs, owned, given, origin)
        report.loaded.append(given.name)
    for blob, values in copies:
        blob.data[...] = values
    known = set(report.loaded)
    report.missing = [name for name, layer in layers.items() if layer.blobs and name not in known]
    return report


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


def to_proto(
    name: str, layers: Sequence[Layer], write_diff: bool = False
) -> caffe_pb2.NetParameter:
    """A net with its weights, and with their gradients if `write_diff`: a .caffemodel."""
    message = caffe_pb2.NetParameter(name=name)
    for layer in layers:
        layer.put_into(message.layer.add(), write_diff)
    return message


def save(
    path: str | os.PathLike[str], name: str, layers: Sequence[Layer], write_diff: bool = False
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
    write_diff: bool = False,
) -> None:
    """Write a .caffemodel.h5; a shared parameter is written by its owner only, as in Caffe."""
    message = to_proto(name, layers, write_diff)
    owned = {(each.layer, each.index) for each in learnable}
    for layer in message.layer:
        for index, blob in enumerate(layer.blobs):
            if (layer.name, index) not in owned:
                blob.Clear()
    write_weights_hdf5(path, message, write_diff)
