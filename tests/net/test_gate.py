"""The gate before every kernel: what a program may have reshaped, shared or replaced meanwhile.

Whatever it was, a run gives right results or one error that names the layer and its position.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.blob import Blob
from caffe_lite.errors import CaffeError, WeightsError
from tests.net import source

INPUT = 'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {} }} }} }}\n'
SIZES = (4, 6, 9, 8)
FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" }'


def text_of(*layers: str, sizes: tuple[int, ...] = SIZES) -> str:
    """An input and layers l1, l2, ... one after the other; ">" begins one that is not in place."""
    text, blob = INPUT.format(" ".join(f"dim: {size}" for size in sizes)), "x"
    for index, layer in enumerate(layers, 1):
        top = f"b{index}" if layer.startswith(">") else blob
        text += f'layer {{ name: "l{index}" bottom: "{blob}" top: "{top}" {layer.lstrip(">")} }}\n'
        blob = top
    return text + "force_backward: true\n"


CONV = f'> type: "Convolution" convolution_param {{ num_output: 5 kernel_size: 3 {FILL} }}'
POOL = '> type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }'
NORM = '> type: "BatchNorm"'
SCALE = 'type: "Scale" scale_param { bias_term: true }'
RELU = 'type: "ReLU"'
INNER = f'> type: "InnerProduct" inner_product_param {{ num_output: 3 {FILL} }}'
FUSED = (CONV, RELU, POOL, CONV.replace("kernel_size: 3", "kernel_size: 2"), NORM, SCALE, RELU)


def build(text: str, phase: int = caffe.TRAIN, dtype: type = np.float32) -> caffe.Net:
    caffe.set_random_seed(3)
    net = caffe.Net(source(text), phase, dtype=dtype)
    caffe.set_random_seed(-1)
    net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal(net.blobs["x"].shape)
    return net


def run(net: caffe.Net) -> list[np.ndarray]:
    """Forward and backward; all that they compute."""
    net.clear_param_diffs()
    net.forward()
    last = net.blobs[net.outputs[0]]
    last.diff[...] = np.random.default_rng(2).standard_normal(last.shape)
    net.backward()
    found = [last.data.copy(), net.blobs["x"].diff.copy()]
    return found + [blob.diff.copy() for blobs in net.params.values() for blob in blobs]


def refused(call: Callable[[], object], layer: str, says: str) -> None:
    """One line, with the position of the layer and its name."""
    with pytest.raises(CaffeError) as caught:
        call()
    assert re.fullmatch(rf'net:\d+:\d+: layer "{layer}" \(\w+\): .*{says}.*', str(caught.value))


# -- blobs --------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("name", ["x", "b1", "b3", "b4", "b5"])
@pytest.mark.parametrize("watched", [False, True])
def test_no_backward_through_a_blob_that_was_reshaped(
    name: str, phase: int, watched: bool
) -> None:
    net = build(text_of(*FUSED), phase)
    if watched:
        net.after_backward(lambda index: None)
    wanted = run(net)
    shape = net.blobs[name].shape
    for other in ((4, 6, 9, 9), (1, 2, 3, 4), (4, 6, 72), (), (1,), shape[::-1], (9, *shape[1:])):
        net.blobs[name].reshape(*other)
        refused(net.backward, r"l\d", f'"{name}" has been reshaped from .* run forward again')
        net.blobs[name].reshape(*shape)
        for got, want in zip(run(net), wanted, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["b1", "b3", "b4", "b5"])
def test_forward_shapes_its_tops_again(name: str) -> None:
    net = build(text_of(*FUSED))
    wanted = run(net)
    for other in ((), (1,), (7, 2), (8, 9, 10, 11)):
        net.blobs[name].reshape(*other)
        for got, want in zip(run(net), wanted, strict=True):
            np.testing.assert_array_equal(got, want)


def test_shapes_prepared_and_not_run() -> None:
    net = build(text_of(POOL, INNER))
    run(net)
    net.blobs["x"].reshape(4, 6, 8, 8)  # pooled to the same shape
    net.reshape()
    refused(net.backward, "l1", "has not run forward since")
    run(net)


def test_a_part_of_a_net_that_was_prepared() -> None:
    net = build(text_of(POOL, RELU, CONV.replace("kernel_size: 3", "kernel_size: 2")))
    run(net)
    net.blobs["b1"].reshape(2, 6, 5, 5)
    net.forward(start="l2")
    refused(net.backward, "l1", r'top "b1" has been reshaped')
    net.backward(end="l2")


@pytest.mark.parametrize("axes", range(6))
def test_a_convolution_of_one_axis_gets_no_other_number_of_axes(axes: int) -> None:
    net = build(text_of(CONV, sizes=(4, 6, 9)))
    run(net)
    net.blobs["x"].reshape(*(4, 6, 9, 7, 2)[:axes])
    if axes == 3:
        run(net)
    else:
        refused(net.forward, "l1", "")
        refused(net.backward, "l1", '"x" has been reshaped')


def test_hooks_that_reshape() -> None:
    net = build(text_of(*FUSED))
    net.before_forward(lambda index: net.blobs["b3"].reshape(1, 2) if index == 4 else None)
    refused(net.forward, "l4", "")
    net = build(text_of(*FUSED))
    net.before_backward(lambda index: net.blobs["b3"].reshape(1, 2) if index == 3 else None)
    refused(lambda: run(net), "l3", '"b3" has been reshaped')


class Meddler(caffe.Layer):
    """Reshapes the top of the layer below, which is its bottom."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        bottom[0].reshape(*bottom[0].shape, 1)

    def backward(self, top: list[Blob], down: list[bool], bottom: list[Blob]) -> None:
        pass


def test_a_python_layer_that_reshapes_what_is_not_its_own() -> None:
    caffe.register_python_layer(Meddler, "meddler")
    python = '> type: "Python" python_param { module: "meddler" layer: "Meddler" }'
    net = build(text_of(POOL, python))
    refused(lambda: run(net), "l1", '"b1" has been reshaped')


def test_a_shape_is_set_by_reshape() -> None:
    with pytest.raises(AttributeError):
        Blob((2, 3)).shape = (3, 2)  # type: ignore[misc]


@pytest.mark.parametrize("axis", range(4))
def test_an_empty_axis_is_refused(axis: int) -> None:
    sizes = tuple(0 if i == axis else size for i, size in enumerate(SIZES))
    says = f'bottom "x" has shape {re.escape(str(sizes))}, which is empty; every size must be'
    refused(lambda: build(text_of(RELU, sizes=sizes)), "l1", says)
    net = build(text_of(RELU))
    net.blobs["x"].reshape(*sizes)
    refused(net.forward, "l1", says)
    refused(net.reshape, "l1", says)


# -- parameters, buffers, memory ----------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("shape", [(), (1,), (5, 6, 9), (500, 3), (3, 3, 6, 5)])
def test_parameters_keep_their_shapes(index: int, shape: tuple[int, ...]) -> None:
    net = build(text_of(*FUSED))
    run(net)
    for name in ("l1", "l6"):
        old = net.params[name][index].shape
        net.params[name][index].reshape(*shape)
        says = rf"its parameter {index} \(\w+\) has been reshaped to {re.escape(str(shape))}"
        refused(net.backward, name, says)
        refused(net.forward, name, says)
        net.params[name][index].reshape(*old)
    run(net)


@pytest.mark.parametrize(
    "change",
    [
        lambda blobs: blobs.__setitem__(0, Blob((2, 2))),
        lambda blobs: blobs.pop(),
        lambda blobs: blobs.append(Blob(())),
        lambda blobs: blobs.reverse(),
        lambda blobs: blobs.clear(),
    ],
)
def test_parameters_are_not_replaced(change: Callable[[list[Blob]], object]) -> None:
    net = build(text_of(*FUSED))
    run(net)
    change(net.params["l1"])
    refused(net.backward, "l1", "parameter")
    refused(net.forward, "l1", "parameter")


def test_buffers_keep_their_shapes() -> None:
    net = build(text_of(POOL))
    run(net)
    layer = net.layers[1]
    (name,) = layer.declared_buffers
    old = getattr(layer.buf, name)
    for other in (old[:1], old.astype(np.int8), old.reshape(-1)):
        setattr(layer.buf, name, other)
        refused(net.backward, "l1", f"its buffer {name} has shape")
        refused(net.forward, "l1", f"its buffer {name} has shape")


@pytest.mark.parametrize("other", [Blob((2, 3), np.float64), Blob((7,)), Blob((2, 2))])
def test_memory_is_shared_only_by_as_many_elements_of_one_type(other: Blob) -> None:
    blob = Blob((2, 3))
    for share in (blob.share_data, blob.share_diff):
        with pytest.raises(CaffeError, match="cannot share the memory of one of shape"):
            share(other)
    blob.share_data(Blob((3, 2)))


@pytest.mark.parametrize("own", [np.float32, np.float64])
def test_nets_of_other_types_share_no_weights(own: type) -> None:
    net = build(text_of(*FUSED), dtype=own)
    other = build(text_of(*FUSED), dtype=np.float64 if own is np.float32 else np.float32)
    with pytest.raises(WeightsError, match='layer "l1" cannot share weights: its own are'):
        net.share_with(other)
    run(net)
    run(other)


# -- the cost -----------------------------------------------------------------------------


def test_nothing_is_compared_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build(text_of(*FUSED, INNER))
    for _ in range(2):
        run(net)
    looked: list[str] = []
    look = caffe.Layer._look
    monkeypatch.setattr(
        caffe.Layer, "_look", lambda self, *blobs: looked.append(self.name) or look(self, *blobs)
    )
    run(net)
    assert looked == []
    net.blobs["b1"].reshape(1)
    run(net)
    assert "l1" in looked


def test_a_top_whose_shape_depends_on_the_data_may_change_before_backward() -> None:
    """The gate is about the last forward, not the first."""
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
    layer { name: "which" type: "Input" top: "which" input_param { shape { dim: 4 } } }
    layer { name: "kept" type: "Filter" bottom: "x" bottom: "which" top: "kept" }
    layer { name: "y" type: "Power" bottom: "kept" top: "y" power_param { scale: 2 } }
    force_backward: true
    """
    net = build(text)
    for which in ([1, 1, 0, 0], [1, 0, 1, 1], [0, 1, 0, 0]):
        net.blobs["which"].data[...] = which
        net.forward()
        net.blobs["y"].diff[...] = 1
        net.backward()
        wanted = np.array(which)[:, None] * np.full(3, 2.0)
        np.testing.assert_array_equal(net.blobs["x"].diff, wanted)
