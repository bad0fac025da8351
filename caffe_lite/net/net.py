"""Net: layers that run in order, with pycaffe's names for everything that a program uses."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments, rng
from caffe_lite.arguments import ArgumentError
from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.distributed import Group, Share
from caffe_lite.errors import CaffeError, NetError
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer, TakesGroup, TakesShare
from caffe_lite.limits import Budget
from caffe_lite.net import log, weights
from caffe_lite.net.errors import located
from caffe_lite.net.link import Link
from caffe_lite.net.passes import learnable, memory, plan, rules, shares, splits, wiring
from caffe_lite.net.passes.slices import parts_of
from caffe_lite.net.passes.unread import (
    refuse_net_fields,
    refuse_unread,
    report_quantization,
    report_unread,
)
from caffe_lite.net.running import batches
from caffe_lite.net.running.runner import Hook, Runner
from caffe_lite.net.summary import Summary, in_short, summarize_built
from caffe_lite.phases import Phase
from caffe_lite.proto import caffe_pb2, files, nodes

Source = str | os.PathLike[str] | caffe_pb2.NetParameter | nodes.NetSource


class Net:
    """A net built from a prototxt, as pycaffe's ``caffe.Net``.

    ``Net(file, phase, level=0, stages=None, weights=None)``, or, as in older programs,
    ``Net(file, weights, phase)``.  `phase` is TRAIN or TEST, or None for that of the file's
    `state`.  Blob values are NumPy views: writing into ``net.blobs["data"].data`` writes into the
    net.

    `python_layers` permits layers of type Python to import and run the modules that they name;
    `any_output` permits layers to write files outside of the current folder, and to replace files
    that no such layer has written; `allow_unknown_fields` permits the file to have fields that the
    schema does not know, which are reported once and have no effect.  `strict` refuses weights
    that do not match the net's layers: see `copy_from`.  `divide_batch` is by what the batch sizes
    of the sources are divided.
    Raises PrototxtError, NetError, LayerError or WeightsError, each with its position in the file.
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
        any_output: bool = False,
        strict: bool = False,
        allow_unknown_fields: bool = False,
        divide_batch: int = 1,
    ) -> None:
        if isinstance(phase, (str, os.PathLike)):
            weights, phase, level = phase, level, 0
        if phase is not None:
            phase = arguments.integer(phase, "phase", caffe_pb2.TRAIN, caffe_pb2.TEST)
        level = arguments.integer(level, "level", -(2**31), 2**31 - 1)
        stages = None if stages is None else arguments.names(stages, "stages")
        self.dtype = arguments.dtype(dtype)
        if weights is not None and not isinstance(weights, caffe_pb2.NetParameter):
            arguments.path(weights, "weights")
        source = _read(network_file, allow_unknown_fields)
        self.name = str(source.param.name)
        self.state = rules.state_of(source.param.state, phase, level, stages)
        self.phase = Phase(self.state.phase)
        self.debug_info = bool(source.param.debug_info)
        self.overwritten: frozenset[str] = frozenset()
        self.layers: list[Layer] = []
        self.budget = Budget()
        try:
            self._build(source, python_layers, any_output, divide_batch)
        except BaseException:
            self.close()
            raise
        if weights is not None:
            self.copy_from(weights, strict)

    # -- building --------------------------------------------------------------------------

    def _build(
        self, source: nodes.NetSource, python_layers: bool, any_output: bool, divide_batch: int
    ) -> None:
        selected = rules.select(source.nodes, self.state)
        left_out = rules.left_out(source.nodes, self.state)
        self._left_out = frozenset(node.name for node, _ in left_out)
        self.nodes = splits.insert_splits(selected, left_out)
        for node in self.nodes:
            if not node.param.HasField("phase"):
                node.param.phase = self.state.phase
        refuse_net_fields(source, self.phase == caffe_pb2.TRAIN)
        classes = [_class_of(node, python_layers) for node in self.nodes]
        if divide_batch > 1:
            shares.divide_batches(self.nodes, classes, divide_batch)
        self.wires = wiring.connect(self.nodes, classes)
        self.blob_list = [Blob((), self.dtype) for _ in self.wires.blobs]
        self.links: list[Link] = []
        streams = rng.streams()
        for index, (node, cls) in enumerate(zip(self.nodes, classes, strict=True)):
            layer = _make(cls, node, self.dtype, streams.stream(node.name))
            layer.any_output = any_output
            bottom = [self.blob_list[i] for i in self.wires.bottoms[index]]
            top = [self.blob_list[i] for i in self.wires.tops[index]]
            self.layers.append(layer)
            self.links.append(Link(layer, bottom, top))
            layer.budget = self.budget
            try:
                layer.build(bottom, top)
            except (CaffeError, MemoryError) as error:
                raise located(error, node, layer.config_field) from None
            report_unread(node, cls)
            log.log_layer(self.links[index], self.wires, index)
        report_quantization(self.nodes)
        memory.share_workspaces(self.layers)
        self.learnable = learnable.collect(self.nodes, self.layers)
        self._plan(source.param.force_backward)
        self.runner = Runner(self.nodes, self.links, self.wires, self.plan, self.budget)
        self._index()
        data_bytes = sum(blob.count for blob in self.blobs.values()) * self.dtype.itemsize
        log.log_plan(self.layers, self.plan, self.outputs, data_bytes)

    def _plan(self, force: bool) -> None:
        pairs = zip(self.nodes, self.layers, strict=True)
        needs = [plan.needs_of(node, layer) for node, layer in pairs]
        self.plan = plan.plan_backward(self.wires, needs, force)
        for index, layer in enumerate(self.layers):
            layer.param_propagate_down = list(self.plan.params[index])
            layer.goes_backward = self.plan.layers[index]
        data = [blob.data_memory for blob in self.blob_list]
        plan.check_in_place(self.nodes, self.layers, self.wires, self.plan, data)

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
            (layer.name, self.wires.top_names(i)) for i, layer in enumerate(self.layers)
        )
        self.bottom_names = OrderedDict(
            (layer.name, self.wires.bottom_names(i)) for i, layer in enumerate(self.layers)
        )
        self._layer_names = [layer.name for layer in self.layers]
        self._blob_names = list(names)

    def summary(self) -> Summary:
        """Shape, parameters, multiply-adds and memory of each layer; printed, it is a table."""
        return summarize_built(self.name, self.nodes, self.links, self.wires)

    def __repr__(self) -> str:
        inputs, outputs = (
            {name: self.blobs[name].shape for name in names}
            for names in (self.inputs, self.outputs)
        )
        return in_short(self.summary(), self.phase, inputs, outputs)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """The loss weight of every blob; 0 for a blob that is no loss."""
        weight = dict.fromkeys(range(len(self.blob_list)), 0.0)
        for layer, tops in zip(self.layers, self.wires.tops, strict=True):
            weight.update(zip(tops, layer.loss_weights, strict=False))
        return OrderedDict((name, weight[i]) for i, name in enumerate(self.wires.blobs))

    def share_memory(self, backward: bool = True, keep: Iterable[str] = ()) -> None:
        """Let blobs between the layers share memory; call it once, before the first forward.

        From then on a run begins at the first layer, and one backward of all layers may follow a
        whole forward: everything else is refused.  Of the blobs only inputs, outputs, losses and
        those named in `keep` hold their values afterwards.  Parameters do not share memory.
        Without `backward` the net refuses to go backward, keeps nothing for it, and fuses more
        layers.

        `overwritten` then has the names of the blobs whose data a forward overwrites.
        """
        lasting = [self._blob(name) for name in [*self.outputs, *self._known(keep, "keep")]]
        if not backward:
            self.runner.forbid_backward()
        fusions, parts = self.runner.fusions, parts_of(self.runner.slices)
        memories = memory.share(
            self.links, self.plan, fusions, parts, lasting, self.dtype, backward, self.budget
        )
        self.runner.share_memory(parts)
        shown = self.blobs.items()
        self.overwritten = frozenset(name for name, b in shown if b.data_memory in memories)

    def freeze(self) -> None:
        """Promise that weights stay as they are, so that what depends on them is computed once.

        Filters transformed for Winograd's method, weights in the order in which kernels read them,
        BatchNorm and Scale as one factor: the third forward of a shape, and those after it, find
        them ready.  They take memory: about that of the weights, four times for 3x3 kernels.

        From then on the net refuses to go backward, and what a program writes to weights may show
        or not.  Weights that are loaded (`copy_from`) or shared (`share_with`) do show.  A bottom
        of a Concat may use a part of its top's memory: what is written to one shows in the other,
        and arrays taken before do not follow.  Call it before `share_memory`.
        """
        self.runner.freeze()

    # -- the ranks of a group --------------------------------------------------------------

    def take_share(self, share: Share) -> None:
        """Read, and draw for, a part of the records only; call it before the first forward."""
        for layer in self.layers:
            if isinstance(layer, TakesShare):
                layer.share = share

    def synchronise(self, group: Group) -> None:
        """Let batch normalisations take the mean and the variance of all ranks' batches."""
        for layer in self.layers:
            if isinstance(layer, TakesGroup):
                layer.group = group

    @property
    def batches_are_apart(self) -> bool:
        """Whether another rank may run the next batch: no layer remembers this one.

        All sources must know how to leave out a batch.
        """
        return all(
            _takes_turns(layer) if not (layer.param.bottom or layer.blobs) else not layer.remembers
            for layer in self.layers
        )

    # -- running ---------------------------------------------------------------------------

    def compute_loss(self) -> float:
        """Run all layers forward; the sum of the losses, each times its weight."""
        return self.runner.forward(0, len(self.layers) - 1, self.debug_info)

    def compute_gradients(self) -> None:
        """Run all layers backward, adding to the parameters' diffs."""
        self.runner.backward(len(self.layers) - 1, 0, self.debug_info)
        if self.debug_info:
            log.debug_params(self.learnable)

    def forward_from_to(self, start: int, end: int) -> float:
        """Run layers `start` to `end` forward, both included: Caffe's ForwardFromTo.

        `start` and `end` are indices in `layers`; for one layer they are equal.  Returns the sum
        of these layers' losses, each times its weight.
        """
        return self.runner.forward(*self._range(start, end), self.debug_info)

    def backward_from_to(self, start: int, end: int) -> None:
        """Run layers `start` down to `end` backward, both included: Caffe's BackwardFromTo."""
        self.runner.backward(*self._range(start, end), self.debug_info)

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Run forward, from the layer named `start` to the layer named `end`.

        Keyword arguments are values for the net's inputs: all of them or none.  The net takes
        their shapes: batches of any size, images of any height and width that its layers take,
        and one item without the batch's axis.  Returns the data of the outputs (of layer `end`'s
        tops, if given) and of the blobs named in `blobs`.
        """
        first = self._layer_index(start, 0)
        last = self._layer_index(end, len(self.layers) - 1)
        names = self.outputs if end is None else self.top_names[end]
        names = [*names, *self._known(blobs, "blobs")]
        if kwargs:
            self._feed(kwargs)
        self.runner.forward(first, last, self.debug_info)
        return {name: self._blob(name).data for name in dict.fromkeys(names)}

    def __call__(self, *inputs: npt.ArrayLike, **named: npt.ArrayLike) -> dict[str, Array]:
        """Run forward for values of the inputs, in the order of `inputs` or by name.

        The shapes may be any that `forward` takes.  Returns copies of the outputs' data, by name;
        those of `forward` are overwritten by the next one.
        """
        if len(inputs) > len(self.inputs):
            raise NetError(f"{len(inputs)} arrays, but the net's inputs are {self.inputs}")
        given = dict(zip(self.inputs, inputs, strict=False))
        if twice := sorted(given.keys() & named.keys()):
            raise NetError(f"the inputs {twice} are given twice")
        self._feed(given | named)
        return {name: data.copy() for name, data in self.forward().items()}

    def _feed(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        """Write values into all inputs, which take their shapes; all or none of them."""
        batches.check_names(arrays, self.inputs, "inputs")
        blobs = {name: self.blobs[name] for name in arrays}
        before = {name: blob.shape for name, blob in blobs.items()}
        fitted = {name: batches.fitted(arrays[name], before[name], name) for name in arrays}
        shapes = {name: batches.shape_of(fitted[name], before[name]) for name in arrays}
        if shapes != before:
            try:
                self._shape_inputs(shapes)
            except BaseException:
                self._shape_inputs(before)
                raise
        for name, array in fitted.items():
            blobs[name].data[...] = array

    def _shape_inputs(self, shapes: Mapping[str, Shape]) -> None:
        for name, shape in shapes.items():
            self.blobs[name].reshape(*shape)
        self.reshape()

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Run backward, from the layer named `start` down to the layer named `end`.

        Keyword arguments are gradients for the net's outputs: all of them or none.  Returns the
        diffs of the inputs (of layer `end`'s bottoms, if given) and of the blobs in `diffs`.
        """
        first = self._layer_index(start, len(self.layers) - 1)
        last = self._layer_index(end, 0)
        names = self.inputs if end is None else self.bottom_names[end]
        names = [*names, *self._known(diffs, "diffs")]
        if kwargs:
            batches.check_names(kwargs, self.outputs, "outputs")
            for name, array in kwargs.items():
                batches.fill(self.blobs[name].diff, array, name)
        self.runner.backward(first, last, self.debug_info)
        if self.debug_info and start is None and end is None:
            log.debug_params(self.learnable)
        return {name: self._blob(name).diff for name in dict.fromkeys(names)}

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Run forward over any number of examples, in batches of the net's size."""
        batches.check_names(kwargs, self.inputs, "inputs")
        return batches.forward_all(
            partial(self.forward, blobs, None, None), self._batch_size, kwargs
        )

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **kwargs: Array,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run forward and backward over any number of examples, in batches of the net's size.

        Keyword arguments are values for the net's inputs, and diffs for its outputs under the
        outputs' names.
        """
        inputs = {name: array for name, array in kwargs.items() if name not in self.outputs}
        batches.check_names(inputs, self.inputs, "inputs")
        top_diffs = {name: array for name, array in kwargs.items() if name in self.outputs}
        forward, backward = (
            partial(self.forward, blobs, None, None),
            partial(self.backward, diffs, None, None),
        )
        return batches.forward_backward_all(forward, backward, self._batch_size, inputs, top_diffs)

    @property
    def _batch_size(self) -> int:
        return next(iter(self.blobs.values())).shape[0]

    def reshape(self) -> None:
        """Shape all blobs for inputs that have been reshaped."""
        self.runner.reshape()

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

    def copy_from(self, weights_file: weights.Source, strict: bool = False) -> weights.Report:
        """Copy weights, by layer name, from a .caffemodel(.h5) or a message; see `Report`.

        Layers of this net that no weights were given for, and weights for layers that its file
        does not have, are told as warnings; `strict` refuses them with a WeightsError.
        """
        return self.copy_from_files([weights_file], strict)

    def copy_from_files(
        self, weights_files: Sequence[weights.Source], strict: bool = False
    ) -> weights.Report:
        """Copy weights from several files, which together may have what the net needs."""
        report = weights.copy_from(self.receiver, weights_files, strict)
        self.runner.weights_changed()
        return report

    @property
    def receiver(self) -> weights.Receiver:
        """What of this net takes weights."""
        return weights.Receiver(self.nodes, self.layers, self.learnable, self._left_out)

    def share_with(self, other: Net) -> None:
        """Use the weights of another net's layers of the same names, without copying."""
        if not isinstance(other, Net):
            raise ArgumentError(f"weights are shared with a Net, not {arguments.described(other)}")
        weights.share(self.layer_dict, other.params)

    def to_proto(self, write_diff: bool = False) -> caffe_pb2.NetParameter:
        """The net as a message, with its weights, and gradients if `write_diff`."""
        return weights.to_proto(self.name, self.layers, write_diff)

    def save(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write a .caffemodel; on an error, no file."""
        weights.save(path, self.name, self.layers, write_diff)

    def save_hdf5(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write a .caffemodel.h5, shared parameters once; on an error, no file."""
        weights.save_hdf5(path, self.name, self.layers, self.learnable, write_diff)

    def load_hdf5(self, path: str | os.PathLike[str], strict: bool = False) -> weights.Report:
        """Copy weights from a .caffemodel.h5, as `copy_from` does."""
        return self.copy_from(path, strict)

    # -- hooks -----------------------------------------------------------------------------

    def before_forward(self, hook: Hook) -> None:
        """Call ``hook(layer index)`` before each layer's forward."""
        self.runner.hooks.before_forward.append(_callable(hook))

    def after_forward(self, hook: Hook) -> None:
        """Call ``hook(layer index)`` after each layer's forward."""
        self.runner.hooks.after_forward.append(_callable(hook))

    def before_backward(self, hook: Hook) -> None:
        """Call ``hook(layer index)`` before each layer's backward."""
        self.runner.hooks.before_backward.append(_callable(hook))

    def after_backward(self, hook: Hook) -> None:
        """Call ``hook(layer index)`` after each layer's backward."""
        self.runner.hooks.after_backward.append(_callable(hook))

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Stop reader threads and close files; a second call does nothing."""
        for layer in self.layers:
            layer.close()

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # -- pycaffe's private names, which programs use ---------------------------------------

    def _forward(self, start: int, end: int) -> float:
        return self.forward_from_to(start, end)

    def _backward(self, start: int, end: int) -> None:
        self.backward_from_to(start, end)

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
        return batches.batches(self._batch_size, blobs)

    def _set_input_arrays(self, data: Array, labels: Array) -> None:
        self.set_input_arrays(data, labels)

    def _range(self, start: int, end: int) -> tuple[int, int]:
        """Indices of layers, as integers of Python's."""
        last = len(self.layers) - 1
        least = min(last, 0)  # a net without layers is run from 0 to -1
        first, final = (
            arguments.integer(i, "a layer's index", least, max(last, 0)) for i in (start, end)
        )
        return first, final

    def _known(self, names: Iterable[str] | None, what: str) -> list[str]:
        """A list of names of blobs, checked before anything runs; None is an empty one."""
        found = [] if names is None else arguments.names(names, what)
        for name in found:
            self._blob(name)
        return found

    def _layer_index(self, name: str | None, default: int) -> int:
        if name is None:
            return default
        if not isinstance(name, str) or name not in self.layer_dict:
            raise NetError(f"the net has no layer {_quoted(name)}")
        return self._layer_names.index(name)

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise NetError(f'the net has no blob "{name}"')
        return self.blobs[name]


def _callable(hook: Hook) -> Hook:
    if not callable(hook):
        raise ArgumentError(
            f"a hook is a function of a layer's index, not {arguments.described(hook)}"
        )
    return hook


def _quoted(name: object) -> str:
    return f'"{name}"' if isinstance(name, str) else arguments.described(name)


def _takes_turns(layer: Layer) -> bool:
    return isinstance(layer, TakesShare) and layer.takes_turns


def _read(source: Source, allow_unknown_fields: bool) -> nodes.NetSource:
    if isinstance(source, nodes.NetSource):
        return source
    if isinstance(source, caffe_pb2.NetParameter):
        return nodes.from_message(source)
    return files.read_net(source, allow_unknown_fields)


def _make(
    cls: type[Layer], node: nodes.Node, dtype: npt.DTypeLike, stream: np.random.Generator
) -> Layer:
    try:
        return cls(node.param, dtype, stream)
    except CaffeError as error:
        raise located(error, node, cls.config_field) from None


def _class_of(node: nodes.Node, python_layers: bool) -> type[Layer]:
    try:
        cls = registry.layer_class(node.type).resolve(node.param, python_layers)
    except CaffeError as error:
        raise located(error, node, None) from None
    refuse_unread(node, cls)
    return cls
