"""Export of a net to ONNX, so that other programs run it: `export_onnx`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from caffe_lite import arguments
from caffe_lite.errors import CaffeError, LayerError, NetError
from caffe_lite.export import model
from caffe_lite.export.graph import Graph, Sizes, Value, merge_scales
from caffe_lite.export.growth import Growth
from caffe_lite.export.names import Names
from caffe_lite.export.registry import reason_against, writer_of
from caffe_lite.export.writer import Constants, NeedsFixedSize, Writer
from caffe_lite.layers.base import Layer
from caffe_lite.net.errors import located
from caffe_lite.net.net import Net
from caffe_lite.net.summary import bytes_text
from caffe_lite.phases import TEST


@dataclass(frozen=True)
class Exported:
    """What an ONNX file has."""

    inputs: dict[str, Sizes]
    """The shapes of the inputs by name.

    A size with a name, such as N, may be any number when the model is run.
    """
    outputs: dict[str, Sizes]
    nodes: int
    weights: int
    """How many numbers."""
    size: int
    """Bytes of the file."""
    fixed_by: str | None
    """The layer because of which no size is open, if there is one."""

    def __str__(self) -> str:
        size = bytes_text(self.size)
        parts = [f"{self.nodes} nodes", f"{self.weights:,} weights", size]
        if self.fixed_by is not None:
            parts.append(f'fixed batch, as layer "{self.fixed_by}" needs its size')
        return ", ".join(parts)


def export_onnx(net: Net, path: str | os.PathLike[str], *, until: str | None = None) -> Exported:
    """Write a net with its weights as an ONNX file, for ONNX Runtime and other programs.

    net: built for TEST.  until: the name of the last layer; those after it are left out, and what
    they would have read becomes an output.  The model has the net's inputs and outputs, by the
    names of their blobs, in float32, of the height and width that the net has now; the batch may
    be any, as far as its layers allow.  Operators are those of opset 17.

    Raises LayerError, with the position in the prototxt, for a layer that ONNX cannot express,
    and CaffeError if `onnx` is not installed or the file cannot be written.
    """
    arguments.instance(net, Net, "net")
    if net.phase != TEST:
        raise NetError("the net is built for TRAIN; build it for TEST, as it is used")
    count = _count_until(net, until)
    _refuse(net, count)
    net.reshape()
    graph, fixed_by = _graph_of(net, count)
    if not graph.nodes:
        raise NetError("there is nothing to export: no layer computes an output from an input")
    names = Names(graph)
    size = model.save(graph, names, net.name, path)
    return Exported(
        {names.of(value): value.sizes for value in graph.inputs},
        {names.of(value): value.sizes for value in graph.outputs},
        len(graph.nodes),
        graph.count_weights(),
        size,
        fixed_by,
    )


def _graph_of(net: Net, count: int) -> tuple[Graph, str | None]:
    """The graph of the first so many layers; the one because of which no size is open, if any."""
    growth = Growth(net, count)
    try:
        return _Builder(net, count, growth).build(), growth.fixed_by
    except _Fixed as error:
        fixed_by = error.layer
    try:
        return _Builder(net, count, Growth(net, count, fixed=True)).build(), fixed_by
    except _Fixed as error:
        message = "needs to know how many items there are, which depends on the data"
        node = net.nodes[list(net.layer_dict).index(error.layer)]
        raise located(LayerError(f"is not exported to ONNX: {message}"), node, None) from None


class _Fixed(Exception):
    """A layer needs the number of a size that would be left open."""

    def __init__(self, layer: str) -> None:
        super().__init__(layer)
        self.layer = layer


def _count_until(net: Net, until: str | None) -> int:
    """How many of the net's layers are exported."""
    if until is None:
        return len(net.layers)
    if not isinstance(until, str) or until not in net.layer_dict:
        name = f'"{until}"' if isinstance(until, str) else arguments.described(until)
        raise NetError(f"the net has no layer {name}")
    return list(net.layer_dict).index(until) + 1


def _refuse(net: Net, count: int) -> None:
    """Raise LayerError for the first layer that ONNX cannot express."""
    for index, layer in enumerate(net.layers[:count]):
        if writer_of(layer) is not None:
            continue
        reason = reason_against(layer.type)
        before = [each.name for each in net.layers[:index] if each.type not in ("Input", "Split")]
        advice = "export the net's deploy prototxt, whose inputs are Input layers"
        if before:
            advice = f'export the layers before it, until "{before[-1]}"'
        error = LayerError(f"is not exported to ONNX: {reason}; {advice}", ".type")
        raise located(error, net.nodes[index], layer.config_field)


class _Builder:
    """Writes the layers of a net one after the other."""

    def __init__(self, net: Net, count: int, growth: Growth) -> None:
        self._net, self._count, self._growth = net, count, growth
        self._graph, self._constants = Graph(), Constants()
        self._values: dict[int, Value] = {}
        """What each blob holds by now."""
        self._inputs: dict[int, Value] = {}
        self._states: list[tuple[Value, Value]] = []

    def build(self) -> Graph:
        """The graph of the layers that are exported."""
        for index in range(self._count):
            self._write(index)
        self._add_outputs()
        self._graph.remove_unread()
        merge_scales(self._graph)
        return self._graph

    def _write(self, index: int) -> None:
        net, layer = self._net, self._net.layers[index]
        write = writer_of(layer)
        bottoms = [self._values[blob] for blob in net.wires.bottoms[index]]
        shapes = self._growth.tops(index)
        assert write is not None
        writer = Writer(self._graph, self._constants, layer, bottoms, shapes)
        try:
            written = write(writer, layer)
        except NeedsFixedSize:
            raise _Fixed(layer.name) from None
        except CaffeError as error:
            raise located(error, net.nodes[index], layer.config_field) from None
        self._states += writer.states.values()
        tops = [written] if isinstance(written, Value) else list(written)
        for blob, value, shape in zip(net.wires.tops[index], tops, shapes, strict=True):
            if layer.type == "Input":
                self._inputs[blob] = value
            elif value not in bottoms and value.array is None:
                value.hint, value.shape = f"{net.wires.blobs[blob]}/{layer.name}", shape
            self._values[blob] = value

    def _add_outputs(self) -> None:
        """The blobs that no layer reads are outputs; each value gets the name of its last blob."""
        graph, names = self._graph, self._net.wires.blobs
        taken = {*graph.inputs}
        for blob in self._unread():
            value = self._values[blob]
            if value in taken or value.array is not None:
                (copy,) = graph.add(names[blob], "Identity", [value])
                copy.shape = value.shape
                value = copy
            value.hint = names[blob]
            taken.add(value)
            graph.outputs.append(value)
        for blob, value in self._values.items():
            if value not in taken and value.array is None:
                value.hint = names[blob]
                taken.add(value)
        graph.outputs += [after for _, after in self._states]

    def _unread(self) -> list[int]:
        """The blobs that are outputs, in the alphabetical order of their names.

        An input that no layer has changed is none.  Of a blob whose copies some of the layers that
        are left out would read, it is the blob itself.
        """
        wires, layers = self._net.wires, self._net.layers
        unread: dict[int, None] = {}
        copied: dict[int, int] = {}
        for index in range(self._count):
            for blob in wires.bottoms[index]:
                unread.pop(blob, None)
            unread.update(dict.fromkeys(wires.tops[index]))
            if _is_inserted(layers[index], wires.top_names(index)):
                copied.update(dict.fromkeys(wires.tops[index], wires.bottoms[index][0]))
        found = {copied.get(blob, blob) for blob in unread}
        found = {blob for blob in found if self._values[blob] is not self._inputs.get(blob)}
        return sorted(found, key=lambda blob: wires.blobs[blob])


def _is_inserted(layer: Layer, tops: list[str]) -> bool:
    """Whether a layer is a Split that the net has inserted, whose tops nobody has named."""
    return layer.type == "Split" and tops == [f"{layer.name}_{i}" for i in range(len(tops))]
