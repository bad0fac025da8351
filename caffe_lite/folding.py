"""A net without its normalisations: each folded into the weights of the layer before or behind it.

In TEST, BatchNorm, BN, Scale and Bias multiply each channel by a number and add another.  So can
the weights and the bias of a convolution or an inner product, which then does both at once.
Repositories of detectors have a script for this, ``merge_bn.py``, each for its own net; here any
net is taken, and what cannot be folded exactly is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.blob import Array, Shape
from caffe_lite.layers.base import Layer
from caffe_lite.layers.convolution import (
    Convolution,
    ConvolutionDepthwise,
    Deconvolution,
    DepthwiseConvolution,
)
from caffe_lite.layers.fusion import IsEpilogue
from caffe_lite.layers.linear import InnerProduct, Scale
from caffe_lite.layers.neuron import Dropout, Power
from caffe_lite.net.net import Net, Source
from caffe_lite.net.passes import rules
from caffe_lite.proto import caffe_pb2, files, nodes
from caffe_lite.proto.blobs import put_array

_AFFINE = ("BatchNorm", "BN", "Scale", "Bias", "Power", "Dropout")
_CONVOLUTIONS = (Convolution, DepthwiseConvolution, ConvolutionDepthwise)

_Value = tuple[int, int]
"""What a name stands for at some place: the step that has written it, and which of its tops."""


@dataclass(frozen=True)
class Merged:
    """A net for TEST whose normalisations are merged into its weights."""

    net: caffe_pb2.NetParameter
    """The layers, without weights: what a prototxt has."""
    weights: caffe_pb2.NetParameter
    """The layers with their weights: what a caffemodel has."""
    removed: tuple[tuple[str, str], ...]
    """The names and types of the layers that are gone."""

    @property
    def layers_before(self) -> int:
        """How many layers the net had in TEST."""
        return len(self.net.layer) + len(self.removed)


def merge_bn(
    net: Source,
    weights: str | os.PathLike[str] | caffe_pb2.NetParameter,
    *,
    python_layers: bool = False,
    allow_unknown_fields: bool = False,
) -> Merged:
    """Fold normalisations into weights, and leave out what does nothing in TEST.

    BatchNorm (BVLC's, NVIDIA's), BN (PSPNet's, SegNet's INFERENCE), Scale and Bias with parameters
    for channels, Power without a power, and Dropout that scales in TEST, go into the Convolution,
    Deconvolution, DepthwiseConvolution or InnerProduct before them, or into the one behind them if
    no padding is in the way.  One that has neither goes into a Scale before or behind it.  What
    only copies is left out: other Dropout, a Power that changes nothing, Split, a Concat of one
    bottom and a Slice with one top.  Layers whose weights have a name that others use stay as they
    are, and so do two layers between which another one reads.  The layers that stay keep their
    names, and all blobs that stay have the values that they had.

    The result has the layers of TEST only, in float32.  `python_layers` and `allow_unknown_fields`
    are those of `Net`.  Raises WeightsError if layers have no weights, and what building the net
    raises.
    """
    source = net
    if isinstance(source, caffe_pb2.NetParameter):
        source = nodes.from_message(source)
    elif not isinstance(source, nodes.NetSource):
        source = files.read_net(source, allow_unknown_fields)
    state = rules.state_of(source.param.state, caffe_pb2.TEST, 0, None)
    selected = rules.select(source.nodes, state)
    with Net(
        source.copy(), caffe_pb2.TEST, dtype=np.float64, python_layers=python_layers
    ) as built:
        built.copy_from(weights).refuse_untrained()
        steps = [_step(node, built) for node in selected]
        folding = _Folding(steps)
        folding.run()
        merged = caffe_pb2.NetParameter()
        merged.CopyFrom(source.param)
        merged.ClearField("state")
        with_weights = caffe_pb2.NetParameter(name=merged.name)
        for step in folding.steps:
            merged.layer.add().CopyFrom(step.param)
            layer = with_weights.layer.add()
            layer.CopyFrom(step.param)
            for array in step.arrays:
                put_array(layer.blobs.add(), array.astype(np.float32), None)
    return Merged(merged, with_weights, tuple(folding.removed))


@dataclass
class _Step:
    """One layer: what will be written of it, and the layer of the net that was built."""

    param: caffe_pb2.LayerParameter
    layer: Layer
    shapes: list[Shape]
    """Of its bottoms."""
    changed: list[Array] | None = field(default=None)

    @property
    def arrays(self) -> list[Array]:
        """Its parameters."""
        if self.changed is not None:
            return self.changed
        return [blob.data for blob in self.layer.blobs]


class _Affine(NamedTuple):
    """y = scale x + shift, both (C,) for the C channels of axis 1."""

    scale: Array
    shift: Array

    @property
    def is_identity(self) -> bool:
        return bool((self.scale == 1).all() and not self.shift.any())


def _step(node: nodes.Node, net: Net) -> _Step:
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(node.param)
    for name in ("blobs", "include", "exclude", "phase"):
        param.ClearField(name)
    index = net.layers.index(net.layer_dict[node.name])
    return _Step(param, net.layers[index], [blob.shape for blob in net.links[index].bottom])


class _Folding:
    """Folds one layer after the other, as long as one can be."""

    def __init__(self, steps: list[_Step]) -> None:
        self.steps = steps
        self.removed: list[tuple[str, str]] = []
        names = [spec.name for step in steps for spec in step.param.param if spec.name]
        self.shared = {name for name in names if names.count(name) > 1}
        self._wire()

    def run(self) -> None:
        """Fold what can be folded, from the net's beginning."""
        index = 0
        while index < len(self.steps):
            if self._fold(index):
                index = max(index - 2, 0)  # the layer before may now be followed by its consumer
            else:
                index += 1

    # -- what reads what -------------------------------------------------------------------

    def _wire(self) -> None:
        self.reads = _wiring(self.steps)
        self.readers: dict[_Value, list[int]] = {}
        for index, values in enumerate(self.reads):
            for value in values:
                self.readers.setdefault(value, []).append(index)

    def _remove(self, index: int, rename_reader: bool) -> bool:
        """Take a step out, so that its readers read its bottom; False if no naming allows that.

        Either its readers are told the bottom's name, or the step before writes its top's name.
        """
        step, (value,) = self.steps[index], self.reads[index]
        wanted = [[value if read[0] == index else read for read in reads] for reads in self.reads]
        old, tops = step.param.bottom[0], step.param.top
        for naming in (rename_reader, not rename_reader):
            params = [_copy(each.param) for each in self.steps]
            if naming:
                readers = [self.readers.get((index, top), []) for top in range(len(tops))]
                if any(not found and top != old for found, top in zip(readers, tops, strict=True)):
                    continue  # an output of the net keeps its name
                for found, top in zip(readers, tops, strict=True):
                    for reader in found:
                        _rename(params[reader].bottom, top, old)
            elif len(tops) > 1 or self.readers[value] != [index]:
                continue
            elif old != tops[0]:
                params[value[0]].top[value[1]] = tops[0]
            others = [each for each in range(len(params)) if each != index]
            if _same_wiring(params, others, wanted):
                for each, param in zip(self.steps, params, strict=True):
                    each.param = param
                self.removed.append((step.param.name, step.param.type))
                del self.steps[index]
                self._wire()
                return True
        return False

    # -- folding ---------------------------------------------------------------------------

    def _fold(self, index: int) -> bool:
        step = self.steps[index]
        if len(step.param.bottom) != 1 or any(step.param.loss_weight):
            return False
        one_top = len(step.param.top) == 1
        if step.param.type in ("Split", "Concat") or (step.param.type == "Slice" and one_top):
            return not self._is_overwritten(index) and self._remove(index, rename_reader=True)
        affine = _affine(step) if one_top else None
        if affine is None:
            return False
        if affine.is_identity and not step.arrays:
            return self._remove(index, rename_reader=True)
        return self._fold_back(index, affine) or self._fold_forward(index, affine)

    def _is_overwritten(self, index: int) -> bool:
        """Whether several readers of a copy, which shares memory, may see what one changes."""
        param, (value,) = self.steps[index].param, self.reads[index]
        values = [value, *((index, top) for top in range(len(param.top)))]
        readers = sum(len(self.readers.get(each, [])) for each in values) - 1
        names = {*param.bottom, *param.top}
        written = (top for step in self.steps[index + 1 :] for top in step.param.top)
        return readers > 1 and not names.isdisjoint(written)

    def _fold_back(self, index: int, affine: _Affine) -> bool:
        (value,) = self.reads[index]
        before = self.steps[value[0]]
        if self.readers[value] != [index] or not self._may_change(before):
            return False
        return self._try(before, _scaled_outputs(before, affine), index, rename_reader=False)

    def _fold_forward(self, index: int, affine: _Affine) -> bool:
        readers = self.readers.get((index, 0), [])
        if len(readers) != 1 or not self._may_change(self.steps[readers[0]]):
            return False
        behind = self.steps[readers[0]]
        return self._try(behind, _scaled_inputs(behind, affine), index, rename_reader=True)

    def _try(
        self, target: _Step, arrays: list[Array] | None, index: int, rename_reader: bool
    ) -> bool:
        """Give a layer other weights, and take the step out; False if either cannot be."""
        if arrays is None:
            return False
        with np.errstate(over="ignore"):
            if not all(np.isfinite(each.astype(np.float32)).all() for each in arrays):
                return False
        if not self._remove(index, rename_reader):
            return False
        if len(arrays) > len(target.arrays):
            _add_bias(target.param)
        target.changed = arrays
        return True

    def _may_change(self, step: _Step) -> bool:
        """Whether the layer has weights that no other layer uses, and one bottom and one top."""
        named = any(spec.name in self.shared for spec in step.param.param)
        single = len(step.param.bottom) == len(step.param.top) == 1
        return bool(step.layer.blobs) and single and not named


def _affine(step: _Step) -> _Affine | None:
    """What a layer does to each channel, if that is all it does."""
    layer, shape = step.layer, step.shapes[0]
    if step.param.type not in _AFFINE or not _is_own(layer) or len(shape) < 2:
        return None
    ones, zeros = np.ones(shape[1]), np.zeros(shape[1])
    if isinstance(layer, Dropout):
        config = layer.config
        if config.sample_weights_test:
            return None
        return _Affine(ones if config.scale_train else ones * (1 - config.dropout_ratio), zeros)
    if isinstance(layer, Power):
        power, scale, shift = layer.config.power, layer.config.scale, layer.config.shift
        return _Affine(ones * scale, zeros + shift) if power == 1 else None
    if step.changed is not None:  # a Scale that others were folded into
        scale, *shifts = step.changed
        return _Affine(scale, shifts[0] if shifts else zeros)
    epilogue = layer.epilogue() if isinstance(layer, IsEpilogue) else None
    if epilogue is None or epilogue.slope is not None or epilogue.limit is not None:
        return None
    scale, shift, *_ = epilogue
    return _Affine(scale * ones if scale.size else ones, shift + zeros if shift.size else zeros)


def _is_own(layer: Layer) -> bool:
    """Whether it is a layer of this package: what a class derived from one does is unknown."""
    return type(layer).__module__.startswith("caffe_lite.layers.")


def _scaled_outputs(step: _Step, affine: _Affine) -> list[Array] | None:
    """The parameters of a layer whose outputs are scaled and shifted; None if it has none such."""
    layer: Any = step.layer
    weight = step.arrays[0]
    scale, shift = affine
    if type(layer) in _CONVOLUTIONS and _channels_first(step):
        scaled = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    elif type(layer) is Deconvolution and _channels_first(step):
        grouped = weight.reshape(layer.group, -1, *weight.shape[1:])
        by_output = scale.reshape(layer.group, 1, -1, *[1] * (weight.ndim - 2))
        scaled = (grouped * by_output).reshape(weight.shape)
    elif type(layer) is InnerProduct and _takes_channels(step):
        scaled = weight * (scale if layer.config.transpose else scale[:, None])
    elif type(layer) is Scale and layer.is_per_channel():
        scaled = weight * scale
    else:
        return None
    bias = step.arrays[1] * scale + shift if len(step.arrays) > 1 else shift
    return [scaled, bias] if len(step.arrays) > 1 or bias.any() else [scaled]


def _scaled_inputs(step: _Step, affine: _Affine) -> list[Array] | None:
    """The parameters of a layer whose inputs are no longer scaled and shifted before it."""
    layer: Any = step.layer
    weight = step.arrays[0]
    scale, shift = affine
    if type(layer) in _CONVOLUTIONS and _channels_first(step):
        window = layer.window(step.shapes[0])
        if shift.any() and any((*window.pad, *window.ends)):
            return None  # the padding would have to be -shift / scale
        grouped = weight.reshape(layer.group, weight.shape[0] // layer.group, weight.shape[1], -1)
        by_input = scale.reshape(layer.group, 1, -1, 1)
        scaled = (grouped * by_input).reshape(weight.shape)
        added = np.einsum("goik,gi->go", grouped, shift.reshape(layer.group, -1)).reshape(-1)
    elif type(layer) is Deconvolution and _channels_first(step):
        if shift.any():
            return None  # at the borders fewer inputs are added up
        scaled, added = weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), np.zeros(0)
    elif type(layer) is InnerProduct and _takes_channels(step):
        repeated = weight.shape[0 if layer.config.transpose else 1] // len(scale)
        scale, shift = np.repeat(scale, repeated), np.repeat(shift, repeated)
        scaled = weight * (scale[:, None] if layer.config.transpose else scale)
        added = shift @ weight if layer.config.transpose else weight @ shift
    elif type(layer) is Scale and layer.is_per_channel():
        scaled, added = weight * scale, weight * shift
    else:
        return None
    if len(step.arrays) > 1:
        return [scaled, step.arrays[1] + added if added.size else step.arrays[1]]
    return [scaled, added] if added.any() else [scaled]


def _channels_first(step: _Step) -> bool:
    layer: Any = step.layer
    return bool(layer.channel_axis(step.shapes[0]) == 1)


def _takes_channels(step: _Step) -> bool:
    """Whether an inner product takes all axes but the first, and its weights as they are."""
    config = step.layer.config
    return config.axis in (1, 1 - len(step.shapes[0])) and not config.normalize


def _add_bias(param: caffe_pb2.LayerParameter) -> None:
    """Let a layer that had no bias have one."""
    if param.type == "Scale":
        param.scale_param.bias_term = True
    else:
        config = param.inner_product_param if param.type == "InnerProduct" else None
        (config or param.convolution_param).ClearField("bias_term")


# -- names ---------------------------------------------------------------------------------


def _wiring(steps: Sequence[_Step]) -> list[list[_Value]]:
    """The values that each step reads."""
    return _reads([step.param for step in steps], range(len(steps)))


def _reads(params: Sequence[caffe_pb2.LayerParameter], order: Sequence[int]) -> list[list[_Value]]:
    """The values that each layer of `order` reads; a value has the index in `params`."""
    current: dict[str, _Value] = {}
    reads = []
    for index in order:
        reads.append([current.get(name, (-1, 0)) for name in params[index].bottom])
        current.update((name, (index, top)) for top, name in enumerate(params[index].top))
    return reads


def _same_wiring(
    params: Sequence[caffe_pb2.LayerParameter], order: Sequence[int], wanted: list[list[_Value]]
) -> bool:
    """Whether each layer reads what it should, and no name is made twice but in place."""
    if _reads(params, order) != [wanted[index] for index in order]:
        return False
    made: set[str] = set()
    for index in order:
        for top, name in enumerate(params[index].top):
            bottoms = params[index].bottom
            if name in made and not (top < len(bottoms) and bottoms[top] == name):
                return False
            made.add(name)
    return True


def _rename(names: Any, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def _copy(param: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    copied = caffe_pb2.LayerParameter()
    copied.CopyFrom(param)
    return copied
