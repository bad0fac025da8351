"""Net: layers that run in order, with pycaffe's names for everything a program touches."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import rng
from caffe_lite.blob import Array, Blob, check_memory
from caffe_lite.errors import CaffeError, NetError
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.net import (
    batches,
    chains,
    fuse,
    learnable,
    log,
    memory,
    plan,
    rules,
    running,
    splits,
    weights,
    wiring,
)
from caffe_lite.net.ignored import report_ignored
from caffe_lite.net.running import computing as computing  # for whoever runs kernels beside a net
from caffe_lite.net.running import located
from caffe_lite.proto import caffe_pb2, files, nodes

Source = str | os.PathLike[str] | caffe_pb2.NetParameter | nodes.NetSource
Hook = Callable[[int], None]

_log = logging.getLogger("caffe_lite.net")


class Net:
    """A net built from a prototxt, as pycaffe's ``caffe.Net``.

    ``Net(file, phase, level=0, stages=None, weights=None)``, or, as of old,
    ``Net(file, weights, phase)``.  `phase` is TRAIN or TEST; None is what the file's `state` says.
    Blob values are NumPy views: writing into ``net.blobs["data"].data`` writes into the net.

    `python_layers` permits layers of type Python to import and run the modules they name.
    Raises PrototxtError, NetError, LayerError or WeightsError, each with its place in the file.
    """

    def __init__(
        self,
        network_file: Source,
        phase: int | str | os.PathLike[str] | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        *,
        dtype: npt.DTypeLike = np.float32,
        python_layers: bool = False,
    ) -> None:
        if isinstance(phase, (str, os.PathLike)):
            weights, phase, level = phase, level, 0
        source = _read(network_file)
        self.name = str(source.param.name)
        self.dtype = np.dtype(dtype)
        self.state = rules.state_of(source.param.state, phase, level, stages)
        self.phase = int(self.state.phase)
        self.debug_info = bool(source.param.debug_info)
        self.overwritten: frozenset[str] = frozenset()
        self._forward_only = False
        self.layers: list[Layer] = []
        self._before_forward: list[Hook] = []
        self._after_forward: list[Hook] = []
        self._before_backward: list[Hook] = []
        self._after_backward: list[Hook] = []
        try:
            self._build(source, python_layers)
        except BaseException:
            self.close()
            raise
        if weights is not None:
            self.copy_from(weights)

    # -- building --------------------------------------------------------------------------

    def _build(self, source: nodes.NetSource, python_layers: bool) -> None:
        self.nodes = splits.insert_splits(rules.select(source.nodes, self.state))
        for node in self.nodes:
            if not node.param.HasField("phase"):
                node.param.phase = self.state.phase
        classes = [_class_of(node, python_layers) for node in self.nodes]
        self.wires = wiring.connect(self.nodes, classes)
        self.blob_list = [Blob((), self.dtype) for _ in self.wires.blobs]
        self.links: list[chains.Link] = []
        streams = rng.streams()
        for index, (node, cls) in enumerate(zip(self.nodes, classes, strict=True)):
            layer = cls(node.param, self.dtype, streams.stream(node.name))
            bottom = [self.blob_list[i] for i in self.wires.bottoms[index]]
            top = [self.blob_list[i] for i in self.wires.tops[index]]
            self.layers.append(layer)
            self.links.append(chains.Link(layer, bottom, top))
            try:
                layer.build(bottom, top)
                self._check_memory()
            except CaffeError as error:
                raise located(error, node, layer.config_field) from None
            report_ignored(node, layer)
            log.log_layer(self, index)
        memory.share_workspaces(self.layers)
        self.learnable = learnable.collect(self.nodes, self.layers)
        self._plan(source.param.force_backward)
        self._index()
        log.log_plan(self)

    def _plan(self, force: bool) -> None:
        pairs = zip(self.nodes, self.layers, strict=True)
        needs = [plan.needs_of(node, layer) for node, layer in pairs]
        self.plan = plan.plan_backward(self.wires, needs, force)
        for index, layer in enumerate(self.layers):
            layer.param_propagate_down = list(self.plan.params[index])
            layer.goes_backward = self.plan.layers[index]
        data = [blob.data_memory for blob in self.blob_list]
        plan.check_in_place(self.nodes, self.layers, self.wires, self.plan, data)
        self._single = fuse.single_steps(self.links, self.plan.bottoms)
        self._fuse()

    def _fuse(self) -> None:
        steps = fuse.fused_steps(self.wires, self.links, self._single)
        self.plan = replace(self.plan, steps=steps)

    def _check_memory(self) -> None:
        numbers = sum(blob.count for blob in self.blob_list)
        numbers += sum(blob.count for layer in self.layers for blob in layer.blobs)
        check_memory(numbers * self.dtype.itemsize, "the net, up to this layer,")

    def _index(self) -> None:
        """The dictionaries that pycaffe shows."""
        names = self.wires.blobs
        self.blobs: OrderedDict[str, Blob] = OrderedDict(zip(names, self.blob_list, strict=True))
        self.inputs = [names[i] for i in self.wires.inputs]
        self.outputs = [names[i] for i in self.wires.outputs]
        self.layer_dict = OrderedDict((layer.name, layer) for layer in self.layers)
        self.params: OrderedDict[str, list[Blob]] = OrderedDict(
            (layer.name, layer.blobs) for layer in self.layers if layer.blobs
        )
        self.top_names = OrderedDict(
            (layer.name, [names[i] for i in tops])
            for layer, tops in zip(self.layers, self.wires.tops, strict=True)
        )
        self.bottom_names = OrderedDict(
            (layer.name, [names[i] for i in bottoms])
            for layer, bottoms in zip(self.layers, self.wires.bottoms, strict=True)
        )
        self._layer_names = [layer.name for layer in self.layers]
        self._blob_names = list(names)
        self._loss_tops = [
            [(top, w) for top, w in zip(link.top, link.layer.loss_weights, strict=False) if w]
            for link in self.links
        ]

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """The loss weight of every blob; 0 for those that are no loss."""
        weight = dict.fromkeys(range(len(self.blob_list)), 0.0)
        for layer, tops in zip(self.layers, self.wires.tops, strict=True):
            weight.update(zip(tops, layer.loss_weights, strict=False))
        return OrderedDict((name, weight[i]) for i, name in enumerate(self.wires.blobs))

    def share_memory(self, backward: bool = True, keep: Iterable[str] = ()) -> None:
        """Let blobs between the layers share memory; call it once, before the first forward.

        From then on only whole runs are right, forward, or forward and backward; and of the blobs
        only inputs, outputs, losses and those named in `keep` can be looked at afterwards.
        Parameters are as ever.  Without `backward` the net refuses to go backward, nothing is
        kept for it, and more layers are fused.

        `overwritten` then has the names of the blobs whose data do not last through a forward.
        """
        lasting = [self.blobs[name] for name in self.outputs] + [self._blob(name) for name in keep]
        if not backward:
            self._forward_only = True
            for layer in self.layers:
                layer.goes_backward = False
            self._fuse()
        memories = memory.share(self.links, self.plan, lasting, self.dtype, backward)
        shown = self.blobs.items()
        self.overwritten = frozenset(name for name, b in shown if b.data_memory in memories)

    # -- running ---------------------------------------------------------------------------

    def compute_loss(self) -> float:
        """Run all layers forward; the sum of the losses, each times its weight."""
        return self._forward(0, len(self.layers) - 1)

    def compute_gradients(self) -> None:
        """Run all layers backward, adding to the parameters' diffs."""
        self._backward(len(self.layers) - 1, 0)
        if self.debug_info:
            log.debug_params(self)

    def _forward(self, start: int, end: int) -> float:
        return running.forward(self, start, end)

    def _backward(self, start: int, end: int) -> None:
        running.backward(self, start, end)

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Run forward, from layer `start` to layer `end`.

        Keyword arguments are values for the net's inputs: all of them or none.  Returns the data
        of the outputs (of layer `end`'s tops, if given) and of the blobs named in `blobs`.
        """
        first = self._layer_index(start, 0)
        last = self._layer_index(end, len(self.layers) - 1)
        names = self.outputs if end is None else self.top_names[end]
        if kwargs:
            batches.check_names(kwargs, self.inputs, "inputs")
            for name, array in kwargs.items():
                batches.fill(self.blobs[name].data, array, name)
        self._forward(first, last)
        return {name: self._blob(name).data for name in dict.fromkeys([*names, *(blobs or ())])}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Run backward, from layer `start` down to layer `end`.

        Keyword arguments are gradients for the net's outputs: all of them or none.  Returns the
        diffs of the inputs (of layer `end`'s bottoms, if given) and of the blobs in `diffs`.
        """
        first = self._layer_index(start, len(self.layers) - 1)
        last = self._layer_index(end, 0)
        names = self.inputs if end is None else self.bottom_names[end]
        if kwargs:
            batches.check_names(kwargs, self.outputs, "outputs")
            for name, array in kwargs.items():
                batches.fill(self.blobs[name].diff, array, name)
        self._backward(first, last)
        if self.debug_info and start is None and end is None:
            log.debug_params(self)
        return {name: self._blob(name).diff for name in dict.fromkeys([*names, *(diffs or ())])}

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Run forward over any number of examples, in batches of the net's size."""
        return batches.forward_all(self, blobs or (), kwargs)

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **kwargs: Array,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run forward and backward over any number of examples, in batches of the net's size."""
        return batches.forward_backward_all(self, blobs or (), diffs or (), kwargs)

    def reshape(self) -> None:
        """Shape all blobs anew, after an input was reshaped."""
        running.reshape(self)

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        for param in self.learnable:
            if param.blob.has_diff:
                param.blob.diff[...] = 0

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Feed the net's first layer, a MemoryData, from these arrays."""
        layer: Any = self.layers[0]
        if layer.type != "MemoryData":
            raise NetError(
                f"set_input_arrays needs a MemoryData layer first, but {layer.name} is a "
                f"{layer.type}"
            )
        try:
            layer.set_input_arrays(data, labels)
        except CaffeError as error:
            raise located(error, self.nodes[0], layer.config_field) from None

    # -- weights ---------------------------------------------------------------------------

    def copy_from(
        self, weights_file: str | os.PathLike[str] | caffe_pb2.NetParameter
    ) -> weights.Report:
        """Copy weights, by layer name, from a .caffemodel(.h5) or a message; see `Report`."""
        return weights.copy_from(self, weights_file)

    def share_with(self, other: Net) -> None:
        """Use the weights of another net's layers of the same names, without copying."""
        weights.share(self, other)

    def to_proto(self, write_diff: bool = False) -> caffe_pb2.NetParameter:
        """The net as a message, with its weights, and gradients if `write_diff`."""
        return weights.to_proto(self, write_diff)

    def save(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write a .caffemodel; whole or not at all."""
        weights.save(self, path, write_diff)

    def save_hdf5(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write a .caffemodel.h5, shared parameters once; whole or not at all."""
        weights.save_hdf5(self, path, write_diff)

    def load_hdf5(self, path: str | os.PathLike[str]) -> weights.Report:
        """Copy weights from a .caffemodel.h5."""
        return self.copy_from(path)

    # -- hooks -----------------------------------------------------------------------------

    def before_forward(self, hook: Hook) -> None:
        """Call ``hook(layer number)`` before each layer's forward."""
        self._before_forward.append(hook)

    def after_forward(self, hook: Hook) -> None:
        """Call ``hook(layer number)`` after each layer's forward."""
        self._after_forward.append(hook)

    def before_backward(self, hook: Hook) -> None:
        """Call ``hook(layer number)`` before each layer's backward."""
        self._before_backward.append(hook)

    def after_backward(self, hook: Hook) -> None:
        """Call ``hook(layer number)`` after each layer's backward."""
        self._after_backward.append(hook)

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Stop reader threads and close files; twice does no harm."""
        for layer in self.layers:
            layer.close()

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # -- pycaffe's private names, which programs use ---------------------------------------

    @property
    def _blobs(self) -> list[Blob]:
        return self.blob_list

    @property
    def _inputs(self) -> list[int]:
        return list(self.wires.inputs)

    @property
    def _outputs(self) -> list[int]:
        return list(self.wires.outputs)

    def _top_ids(self, layer: int) -> list[int]:
        return list(self.wires.tops[layer])

    def _bottom_ids(self, layer: int) -> list[int]:
        return list(self.wires.bottoms[layer])

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    def _batch(self, blobs: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        return batches.batches(self, blobs)

    def _set_input_arrays(self, data: Array, labels: Array) -> None:
        self.set_input_arrays(data, labels)

    def _layer_index(self, name: str | None, default: int) -> int:
        if name is None:
            return default
        if name not in self.layer_dict:
            raise NetError(f'the net has no layer "{name}"')
        return self._layer_names.index(name)

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise NetError(f'the net has no blob "{name}"')
        return self.blobs[name]


def _read(source: Source) -> nodes.NetSource:
    if isinstance(source, nodes.NetSource):
        return source
    if isinstance(source, caffe_pb2.NetParameter):
        return nodes.from_message(source)
    return files.read_net(source)


def _class_of(node: nodes.Node, python_layers: bool) -> type[Layer]:
    try:
        return registry.layer_class(node.type).resolve(node.param, python_layers)
    except CaffeError as error:
        raise located(error, node, None) from None
