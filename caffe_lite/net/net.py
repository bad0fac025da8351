"""Net: layers that run in order, with pycaffe's names for everything a program touches."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import rng
from caffe_lite.blob import Array, Blob, check_memory
from caffe_lite.errors import CaffeError, NetError, NotDifferentiable
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.net import batches, learnable, log, plan, rules, splits, weights, wiring
from caffe_lite.net.ignored import report_ignored
from caffe_lite.proto import caffe_pb2, files, nodes

Source = str | os.PathLike[str] | caffe_pb2.NetParameter | nodes.NetSource
Hook = Callable[[int], None]

_log = logging.getLogger("caffe_lite.net")

computing = threading.RLock()
"""Held by whoever is in parallel kernels: numba's default threads cannot serve two callers."""


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
        self.state = _state(source.param.state, phase, level, stages)
        self.phase = int(self.state.phase)
        self.debug_info = bool(source.param.debug_info)
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
        self._bottoms = [[self.blob_list[i] for i in blobs] for blobs in self.wires.bottoms]
        self._tops = [[self.blob_list[i] for i in blobs] for blobs in self.wires.tops]
        streams = rng.streams()
        for index, (node, cls) in enumerate(zip(self.nodes, classes, strict=True)):
            layer = cls(node.param, self.dtype, streams.stream(node.name))
            self.layers.append(layer)
            try:
                layer.build(self._bottoms[index], self._tops[index])
                self._check_memory()
            except CaffeError as error:
                raise _located(error, node, layer.config_field) from None
            report_ignored(node, layer)
            log.log_layer(self, index)
        self.learnable = learnable.collect(self.nodes, self.layers)
        self._plan(source.param.force_backward)
        self._index()
        log.log_plan(self)

    def _plan(self, force: bool) -> None:
        needs = []
        for node, layer in zip(self.nodes, self.layers, strict=True):
            specs = node.param.param
            lr_mults = [
                (specs[i].lr_mult if i < len(specs) else 1.0) if moves else 0.0
                for i, moves in enumerate(layer.learnable)
            ]
            needs.append(plan.needs_of(node, layer, lr_mults))
        self.plan = plan.plan_backward(self.wires, needs, force)
        for layer, flags in zip(self.layers, self.plan.params, strict=True):
            layer.param_propagate_down = list(flags)
        memory = [blob.data_memory for blob in self.blob_list]
        plan.check_in_place(self.nodes, self.layers, self.wires, self.plan, memory)

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
            [(top, w) for top, w in zip(tops, layer.loss_weights, strict=False) if w]
            for tops, layer in zip(self._tops, self.layers, strict=True)
        ]

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """The loss weight of every blob; 0 for those that are no loss."""
        weight = dict.fromkeys(range(len(self.blob_list)), 0.0)
        for layer, tops in zip(self.layers, self.wires.tops, strict=True):
            weight.update(zip(tops, layer.loss_weights, strict=False))
        return OrderedDict((name, weight[i]) for i, name in enumerate(self.wires.blobs))

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
        """Run layers `start` to `end`, both included; the weighted loss of these."""
        loss = 0.0
        with computing:
            for index in range(start, end + 1):
                for hook in self._before_forward:
                    hook(index)
                layer, bottom, top = self.layers[index], self._bottoms[index], self._tops[index]
                try:
                    layer.prepare(bottom, top)
                    layer.forward(bottom, top)
                except CaffeError as error:
                    raise _located(error, self.nodes[index], layer.config_field) from None
                for blob, _ in self._loss_tops[index]:
                    loss += float(np.vdot(blob.data, blob.diff))
                if self.debug_info:
                    log.debug_forward(self, index)
                for hook in self._after_forward:
                    hook(index)
        return loss

    def _backward(self, start: int, end: int) -> None:
        """Run layers `start` down to `end`, both included, where the plan says so."""
        with computing:
            for index in range(start, end - 1, -1):
                for hook in self._before_backward:
                    hook(index)
                if self.plan.layers[index]:
                    self._layer_backward(index)
                    if self.debug_info:
                        log.debug_backward(self, index)
                for hook in self._after_backward:
                    hook(index)

    def _layer_backward(self, index: int) -> None:
        layer, flags = self.layers[index], self.plan.bottoms[index]
        try:
            for bottom in layer.no_gradient:
                if bottom < len(flags) and flags[bottom]:
                    raise NotDifferentiable(
                        f"bottom {bottom} gets no gradient, but something below it learns; put "
                        f"propagate_down: false for it",
                        f".bottom[{bottom}]",
                    )
            layer.backward(self._tops[index], list(flags), self._bottoms[index])
        except CaffeError as error:
            raise _located(error, self.nodes[index], layer.config_field) from None

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Run forward, from layer `start` to layer `end`.

        Keyword arguments are values for the net's inputs: all of them or none.  Returns the data
        of the outputs (of layer `end`'s first top, if given) and of the blobs named in `blobs`.
        """
        first = self._layer_index(start, 0)
        last = self._layer_index(end, len(self.layers) - 1)
        names = self.outputs if end is None else self.top_names[end][:1]
        if kwargs:
            _check_names(kwargs, self.inputs, "inputs")
            for name, array in kwargs.items():
                _fill(self.blobs[name].data, array, name)
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
        diffs of the inputs (of layer `end`'s first bottom, if given) and of the blobs in `diffs`.
        """
        first = self._layer_index(start, len(self.layers) - 1)
        last = self._layer_index(end, 0)
        names = self.inputs if end is None else self.bottom_names[end][:1]
        if kwargs:
            _check_names(kwargs, self.outputs, "outputs")
            for name, array in kwargs.items():
                _fill(self.blobs[name].diff, array, name)
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
        with computing:
            for index, layer in enumerate(self.layers):
                try:
                    layer.prepare(self._bottoms[index], self._tops[index])
                except CaffeError as error:
                    raise _located(error, self.nodes[index], layer.config_field) from None

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
            raise _located(error, self.nodes[0], layer.config_field) from None

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
        files.write_message(path, self.to_proto(write_diff))

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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


def _state(
    given: caffe_pb2.NetState, phase: int | None, level: int, stages: Sequence[str] | None
) -> caffe_pb2.NetState:
    """The file's own state, with what the caller says over it."""
    state = caffe_pb2.NetState()
    state.CopyFrom(given)
    if phase is not None:
        state.phase = phase
    if phase is not None or level:
        state.level = level
    state.stage.extend(stages or ())
    return state


def _class_of(node: nodes.Node, python_layers: bool) -> type[Layer]:
    try:
        return registry.layer_class(node.type).resolve(node.param, python_layers)
    except CaffeError as error:
        raise _located(error, node, None) from None


def _located(error: CaffeError, node: nodes.Node, config_field: str | None) -> CaffeError:
    """The error with the layer it concerns, and the place of the field at fault."""
    field = error.field
    if node.where is None:
        return error.at(None, node.label())
    if not field:
        place = node.where.location
    elif field.startswith("."):
        place = node.where.at(field[1:])
    else:
        place = node.where.at(f"{config_field}.{field}" if config_field else field)
    return error.at(place, node.label())


def _check_names(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    if set(given) != set(known):
        raise NetError(
            f"the arguments {sorted(given)} are not the net's {what} {list(known)}; give all"
        )


def _fill(target: Array, values: Array, name: str) -> None:
    values = np.asarray(values)
    if values.shape[:1] != target.shape[:1]:
        raise NetError(
            f'"{name}" has {values.shape[0] if values.ndim else "no"} items, the blob '
            f"{target.shape[0] if target.ndim else 'none'}; reshape the blob first"
        )
    try:
        target[...] = values
    except ValueError:
        raise NetError(f'"{name}" has shape {values.shape}, the blob {target.shape}') from None
