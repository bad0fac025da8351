"""Weights between nets and files, matched by layer name."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from caffe_lite.blob import Array, Blob
from caffe_lite.errors import WeightsError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.blobs import blob_to_array, same_legacy_shape
from caffe_lite.proto.files import read_weights, write_parts, write_weights_hdf5

if TYPE_CHECKING:
    from caffe_lite.net.net import Net

_log = logging.getLogger("caffe_lite.net")


@dataclass
class Report:
    """What copying weights did, as layer names in the net's order."""

    loaded: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Layers with weights in the file that the net has not."""
    missing: list[str] = field(default_factory=list)
    """Layers with weights in the net that the file has not: these keep what their fillers drew."""

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} layers loaded"]
        if self.skipped:
            parts.append(f"not in the net: {', '.join(self.skipped)}")
        if self.missing:
            parts.append(f"not in the file: {', '.join(self.missing)}")
        return "; ".join(parts)


def copy_from(net: Net, source: str | os.PathLike[str] | caffe_pb2.NetParameter) -> Report:
    """Copy the weights of a .caffemodel, .caffemodel.h5 or message into the layers of their names.

    Layers that only one side has are left alone and reported.  Raises WeightsError, with both
    shapes, where a layer of the same name has other blobs; the net is then unchanged.
    """
    if isinstance(source, caffe_pb2.NetParameter):
        message, origin = source, "the given message"
    else:
        message, origin = read_weights(source), os.fspath(source)
    report = Report()
    copies: list[tuple[Blob, Array]] = []
    for layer in message.layer:
        if not layer.blobs:
            continue
        if layer.name not in net.layer_dict:
            report.skipped.append(layer.name)
            _log.info("Ignoring source layer %s", layer.name)
            continue
        copies += _matched(net, layer, origin)
        report.loaded.append(layer.name)
    for blob, values in copies:
        blob.data[...] = values
    known = set(report.loaded)
    report.missing = [name for name in net.params if name not in known]
    return report


def _matched(net: Net, layer: caffe_pb2.LayerParameter, origin: str) -> list[tuple[Blob, Array]]:
    """A layer's blobs with the values for each; WeightsError if they do not fit.

    An HDF5 file leaves out the blobs that another layer owns: they come with that layer.
    """
    blobs = net.layer_dict[layer.name].blobs
    given = {index: blob for index, blob in enumerate(layer.blobs) if blob.ListFields()}
    owned = {learnable.index for learnable in net.learnable if learnable.layer == layer.name}
    if not owned <= set(given) <= set(range(len(blobs))):
        raise WeightsError(
            f'{origin}: layer "{layer.name}" has {len(layer.blobs)} weight blobs, in the net '
            f"{len(blobs)}; is bias_term the same? To start it afresh, rename the layer"
        )
    matched = []
    for index, message in given.items():
        blob, values = blobs[index], blob_to_array(message)
        if values.shape != blob.shape and not same_legacy_shape(values.shape, blob.shape):
            raise WeightsError(
                f'{origin}: layer "{layer.name}", blob {index}: the file has shape '
                f"{values.shape}, the net {blob.shape}; to start this layer afresh, rename it"
            )
        matched.append((blob, values.reshape(blob.shape)))
    return matched


def share(net: Net, other: Net) -> None:
    """Let the layers of `net` use the weights of `other`'s layers of the same names.

    Raises WeightsError where their shapes differ; then nothing is shared.
    """
    pairs: list[tuple[Blob, Blob]] = []
    for name, theirs in other.params.items():
        if name not in net.layer_dict:
            _log.info("Ignoring source layer %s", name)
            continue
        ours = net.layer_dict[name].blobs
        if [blob.shape for blob in ours] != [blob.shape for blob in theirs]:
            raise WeightsError(
                f'layer "{name}" cannot share weights: its blobs are '
                f"{[blob.shape for blob in ours]}, the other net's "
                f"{[blob.shape for blob in theirs]}"
            )
        pairs += zip(ours, theirs, strict=True)
    for blob, source in pairs:
        blob.share_data(source)


def to_proto(net: Net, write_diff: bool = False) -> caffe_pb2.NetParameter:
    """The net with its weights, and with their gradients if `write_diff`: a .caffemodel."""
    message = caffe_pb2.NetParameter(name=net.name)
    for layer in net.layers:
        layer.put_into(message.layer.add(), write_diff)
    return message


def save(net: Net, path: str | os.PathLike[str], write_diff: bool = False) -> None:
    """Write a .caffemodel layer by layer: a snapshot must not take twice the weights' memory.

    Raises WeightsError for more than protobuf's 2 GB.
    """
    write_parts(path, _parts(net, write_diff))


def _parts(net: Net, write_diff: bool) -> Iterator[caffe_pb2.NetParameter]:
    yield caffe_pb2.NetParameter(name=net.name)
    for layer in net.layers:
        part = caffe_pb2.NetParameter()
        layer.put_into(part.layer.add(), write_diff)
        yield part


def save_hdf5(net: Net, path: str | os.PathLike[str], write_diff: bool = False) -> None:
    """Write a .caffemodel.h5; what a layer shares is written by its owner only, as in Caffe."""
    message = to_proto(net, write_diff)
    owned = {(learnable.layer, learnable.index) for learnable in net.learnable}
    for layer in message.layer:
        for index, blob in enumerate(layer.blobs):
            if (layer.name, index) not in owned:
                blob.Clear()
    write_weights_hdf5(path, message, write_diff)
