"""Nets whose blobs share memory, against nets whose blobs do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import NetError
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Reads
from caffe_lite.layers.registry import layer_class
from caffe_lite.net.passes.memory import Life, arrange, place, share_workspaces
from caffe_lite.testing import Case, Rig
from tests.every_case import CASES, label
from tests.net import source

# Every way in which blobs depend on each other: in place, splits, shared shapes, two branches,
# layers without a gradient, a top that nobody reads.
NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 3 dim: 2 dim: 9 dim: 9 } shape { dim: 3 }
  data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1"
  lrn_param { local_size: 3 alpha: 1 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "left" type: "Convolution" bottom: "pool1" top: "left"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "leftnorm" type: "BatchNorm" bottom: "left" top: "left" }
layer { name: "leftscale" type: "Scale" bottom: "left" top: "left" }
layer { name: "leftsig" type: "Sigmoid" bottom: "left" top: "leftsig" }
layer { name: "sum" type: "Eltwise" bottom: "pool1" bottom: "leftsig" top: "sum"
  eltwise_param { operation: MAX } }
layer { name: "cut" type: "Slice" bottom: "sum" top: "cut1" top: "cut2" top: "unread"
  slice_param { slice_point: 1 slice_point: 3 } }
layer { name: "flat1" type: "Flatten" bottom: "cut1" top: "flat1" }
layer { name: "flat2" type: "Reshape" bottom: "cut2" top: "flat2"
  reshape_param { shape { dim: 0 dim: -1 } } }
layer { name: "both" type: "Concat" bottom: "flat1" bottom: "flat2" top: "both" }
layer { name: "ip" type: "InnerProduct" bottom: "both" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "tanh" type: "TanH" bottom: "ip" top: "tanh" }
layer { name: "exp" type: "Exp" bottom: "tanh" top: "exp" }
layer { name: "out" type: "InnerProduct" bottom: "exp" top: "out"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "out" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }
layer { name: "side" type: "EuclideanLoss" bottom: "tanh" bottom: "ip2" top: "side"
  loss_weight: 0.5 }
"""
SIDE = """layer { name: "ip2" type: "InnerProduct" bottom: "flat1" top: "ip2"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "side\""""
NET = NET.replace('layer { name: "side"', SIDE)


def build(text: str = NET, phase: int = caffe.TRAIN) -> caffe.Net:
    caffe.set_random_seed(8)
    net = caffe.Net(source(text), phase)
    caffe.set_random_seed(-1)
    return net


def train(net: caffe.Net, steps: int = 3) -> list[np.ndarray]:
    """All losses, outputs and parameters of some steps of gradient descent."""
    found = []
    for _ in range(steps):
        net.clear_param_diffs()
        found.append(np.array(net.compute_loss()))
        net.compute_gradients()
        found += [net.blobs[name].data.copy() for name in net.outputs]
        for learnable in net.learnable:
            if learnable.lr_mult:
                learnable.blob.data[...] -= 0.1 * learnable.blob.diff
            found.append(learnable.blob.data.copy())
    return found


def memory_of(net: caffe.Net) -> int:
    """Bytes of the blobs between the layers."""
    memories = {b.data_memory for b in net.blob_list} | {b.diff_memory for b in net.blob_list}
    arrays = [memory.array for memory in memories]
    whole = {id(a if a.base is None else a.base): a if a.base is None else a.base for a in arrays}
    return sum(array.nbytes for array in whole.values())


@pytest.mark.parametrize("force", ["", "force_backward: true"])
def test_sharing_does_not_change_a_bit(force: str) -> None:
    apart, shared = build(force + NET), build(force + NET)
    shared.share_memory()
    for wanted, got in zip(train(apart), train(shared), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert memory_of(shared) < 0.65 * memory_of(apart)


def test_whoever_wants_to_look_is_told_what_is_left() -> None:
    apart, shared = build(), build()
    shared.share_memory(keep=["pool1"])
    for net in (apart, shared):
        net.compute_loss()
    assert "norm1" in shared.overwritten
    assert not {"data", "label", "pool1", "conv1", "loss", "accuracy"} & shared.overwritten
    for name in set(apart.blobs) - shared.overwritten:
        np.testing.assert_array_equal(shared.blobs[name].data, apart.blobs[name].data, name)
    for net in (apart, shared):
        net.compute_gradients()
    np.testing.assert_array_equal(shared.blobs["pool1"].diff, apart.blobs["pool1"].diff)
    np.testing.assert_array_equal(shared.blobs["pool1"].data, apart.blobs["pool1"].data)


def test_forward_only_takes_less_and_refuses_to_go_backward() -> None:
    both, ahead, apart = build(), build(), build()
    both.share_memory()
    ahead.share_memory(backward=False)
    assert memory_of(ahead) < memory_of(both)
    for _ in range(2):
        assert ahead.compute_loss() == pytest.approx(apart.compute_loss(), rel=1e-6)
    with pytest.raises(NetError, match="forward only"):
        ahead.backward()


def test_shared_memory_refuses_what_would_read_overwritten_values() -> None:
    net = build()
    last = len(net.layers) - 1
    net.compute_loss()
    net.forward_from_to(1, last)  # nothing is shared yet
    net.share_memory()
    with pytest.raises(NetError, match="cannot start at layer 2: this net's blobs share memory"):
        net.forward_from_to(2, last)
    net.forward_from_to(0, last - 1)
    with pytest.raises(NetError, match="once after each whole forward"):
        net.compute_gradients()  # part of a forward is not enough
    net.compute_loss()
    with pytest.raises(NetError, match="must run all layers"):
        net.backward_from_to(last - 1, 0)
    net.compute_gradients()
    with pytest.raises(NetError, match="once after each whole forward"):
        net.compute_gradients()
    net.compute_loss()
    net.compute_gradients()


COPYING = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 6 dim: 5 dim: 7 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" }
layer { name: "prelu" type: "PReLU" bottom: "y" top: "y" }
layer { name: "scale" type: "Scale" bottom: "y" top: "y" }
layer { name: "apart" type: "Scale" bottom: "y" top: "z" }
layer { name: "sum" type: "Reduction" bottom: "z" top: "sum" loss_weight: 1 }
"""


@pytest.mark.parametrize("backward", [True, False])
def test_copies_of_overwritten_bottoms_share_memory(backward: bool) -> None:
    """Those of every kind of layer, and none where no backward will read it."""
    net = build(COPYING)
    net.share_memory(backward=backward)
    shared = net.blobs["y"].data_memory.array.base
    assert shared is not None
    for name in ("norm", "prelu", "scale"):
        copy = net.layer_dict[name].buf.bottom_copy
        assert copy.shape == (2, 4, 5, 7)
        assert np.shares_memory(copy, shared) == backward
        assert not copy.any()
    assert not hasattr(net.layer_dict["apart"].buf, "bottom_copy")
    net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal((2, 6, 5, 7))
    net.forward()
    copies = [net.layer_dict[name].buf.bottom_copy for name in ("norm", "prelu", "scale")]
    assert [bool(copy.any()) for copy in copies] == 3 * [backward]


def test_a_chain_fills_its_buffers_before_its_first_layer_reads() -> None:
    """So BatchNorm's statistics may not lie where the convolution's bottom still is."""
    text = """layer { name: "x" type: "Input" top: "x"
      input_param { shape { dim: 2 dim: 6 dim: 5 dim: 7 } } }
    """
    for top, bottom, kernel in (("a", "x", 1), ("y", "a", 3), ("z", "y", 1)):
        text += f"""layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}"
          convolution_param {{ num_output: 6 kernel_size: {kernel}
          weight_filler {{ type: "gaussian" std: 1 }} }} }}
        layer {{ name: "norm{top}" type: "BatchNorm" bottom: "{top}" top: "{top}" }}
        layer {{ name: "scale{top}" type: "Scale" bottom: "{top}" top: "{top}" }}
        """
    apart, shared = build(text, caffe.TEST), build(text, caffe.TEST)
    shared.share_memory(backward=False)
    for net in (apart, shared):
        draws = np.random.default_rng(0)
        for top in "ayz":
            for blob in net.params[f"norm{top}"]:
                blob.data[...] = draws.uniform(1, 2, blob.shape)
        net.blobs["x"].data[...] = draws.standard_normal((2, 6, 5, 7))
        net.forward()
    np.testing.assert_array_equal(shared.blobs["z"].data, apart.blobs["z"].data)


def test_workspaces_of_one_layer_stay_apart() -> None:
    shapes = {
        "first": ((3, 5), np.float32),
        "kept": ((2,), np.float32),
        "second": ((7,), np.int64),
    }
    layers = [Layer(caffe.proto.caffe_pb2.LayerParameter()) for _ in range(2)]
    for layer in layers:
        for name, (shape, dtype) in shapes.items():
            layer.declared_buffers[name] = Buffer(shape, dtype, kept=name == "kept")
            setattr(layer.buf, name, np.zeros(shape, dtype))
    share_workspaces(layers)
    one, other = (layer.buf for layer in layers)
    for name, (shape, dtype) in shapes.items():
        assert getattr(one, name).shape == shape
        assert getattr(one, name).dtype == dtype
        assert getattr(one, name).flags.aligned
        assert np.shares_memory(getattr(one, name), getattr(other, name)) == (name != "kept")
    assert not np.shares_memory(one.first, one.second)


def test_what_nobody_reads_takes_memory_while_it_is_written() -> None:
    """Else it would be written over what another layer still reads."""
    life = Life(3)
    for time, last in ((4, 4), (6, 6), (5, 6)):
        life.write(time)
        assert (life.first, life.last) == (4, last)
    assert life.meets(Life(2, first=3, last=5))
    early = Life(3)
    for time in (0, 2):  # again in place
        early.write(time)
        assert (early.first, early.last) == (0, time)


def test_what_is_read_before_it_is_written_lasts() -> None:
    """It comes from a program, or from the run before: no layer of this run has written it."""
    written = Life(3)
    written.write(0)
    written.read(2)
    assert (written.lasting, written.first, written.last) == (False, 0, 2)
    given = Life(3)
    given.read(4)
    assert given.lasting
    given.write(5)
    given.read(6)
    assert (given.lasting, given.first, given.last) == (True, 5, 6)


@pytest.mark.parametrize("backward", [True, False])
def test_workspace_is_in_use_in_a_layers_forward_and_in_its_backward(backward: bool) -> None:
    """The backward of layer t of n is at time 2 n - 1 - t; between them others may use it."""
    net = build(NET.replace("dim: 3 dim: 2 dim: 9 dim: 9", "dim: 3 dim: 12 dim: 19 dim: 17"))
    found = arrange(net.links, net.plan, (), {}, (), net.dtype, backward).buffers
    times = {layer.name: time for time, layer in enumerate(net.layers)}
    works = {layer.name: life for layer, name, _, life in found if name == "work"}
    assert {"conv1", "left"} <= works.keys()
    for layer, life in works.items():
        time, end = times[layer], 2 * len(times) - 1 - times[layer]
        assert (life.first, life.last) == (time, end if backward else time)
        assert life.pause == ((time, end) if backward else None)


def test_workspaces_of_layers_share_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    text = NET.replace("dim: 2 dim: 9 dim: 9", "dim: 8 dim: 17 dim: 17")
    text = text.replace("num_output: 4 kernel_size: 3", "num_output: 12 kernel_size: 3")
    text = text.replace("num_output: 4 kernel_size: 1", "num_output: 12 kernel_size: 3 pad: 1")
    together, shared = build(text), build(text)
    shared.share_memory()
    monkeypatch.setattr("caffe_lite.net.passes.memory.share_workspaces", lambda layers: None)
    apart = build(text)
    works = [
        [net.layer_dict[name].buf.work for name in ("conv1", "left")] for net in (apart, together)
    ]
    assert min(work.nbytes for work in works[0]) > 0
    assert [np.shares_memory(*pair) for pair in works] == [False, True]
    wanted = train(apart)
    for net in (together, shared):
        for one, other in zip(wanted, train(net), strict=True):
            np.testing.assert_array_equal(one, other)


def test_running_forward_takes_no_memory_for_gradients() -> None:
    net = build()
    net.compute_loss()
    with_diff = [name for name, blob in net.blobs.items() if blob.has_diff]
    assert with_diff == ["loss", "side"]  # the loss weights
    assert not any(blob.has_diff for layer in net.layers for blob in layer.blobs)


def test_a_reshape_leaves_the_shared_memory() -> None:
    text = NET.replace("DummyData", "Input").replace("dummy_data_param", "input_param")
    text = text.replace('data_filler { type: "gaussian" }', "")
    text = text.replace('data_filler { type: "constant" value: 1 }', "")
    nets = build(text), build(text)
    nets[1].share_memory()
    draws = np.random.default_rng(9)
    for n in (3, 5, 2):
        values = draws.standard_normal((n, 2, 9, 9))
        results = []
        for net in nets:
            net.blobs["data"].reshape(*values.shape)
            net.blobs["label"].reshape(n)
            net.blobs["data"].data[...] = values
            net.blobs["label"].data[...] = 1
            results.append(train(net, 1))
        for wanted, got in zip(*results, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_life_meets_nobody_while_it_pauses() -> None:
    life = Life(1, 2, 9, pause=(3, 8))
    meeting = [time for time in range(12) if life.meets(Life(1, time, time))]
    assert meeting == [2, 3, 8, 9]


def test_lives_that_meet_never_overlap() -> None:
    draws = np.random.default_rng(6)
    for count in (0, 1, 30):
        lives = []
        for _ in range(count):
            pauses = bool(draws.integers(2))
            first, *pause, last = map(int, np.sort(draws.integers(0, 40, 4 if pauses else 2)))
            life = Life(int(draws.integers(1, 100)), first, last)
            life.pause = (pause[0], pause[1]) if pauses else None
            lives.append(life)
        size = place(lives, 16)
        busiest = max(sum(x.count for x in lives if x.meets(Life(0, t, t))) for t in range(40))
        assert busiest <= size <= sum(life.count + 16 for life in lives)
        for i, one in enumerate(lives):
            assert one.offset % 16 == 0
            assert one.offset + one.count <= size
            for other in lives[:i]:
                apart = (
                    one.offset + one.count <= other.offset
                    or other.offset + other.count <= one.offset
                )
                assert apart or not one.meets(other)
    assert size < 0.9 * sum(life.count for life in lives)


# -- what a layer declares is true ----------------------------------------------------------


def spoil(layer: Layer, rig: Rig) -> None:
    """Overwrite all values that, as the layer says, backward does not read."""
    read = []
    if layer.backward_reads & Reads.BOTTOM:
        read += rig.bottom
    if layer.backward_reads & (Reads.TOP | Reads.TOP_SIGN):
        read += rig.top
    memories = {blob.data_memory for blob in [*read, *layer.blobs]}
    for blob in [*rig.bottom, *rig.top]:
        if blob.data_memory not in memories:
            blob.data.fill(np.nan)
    for name, buffer in layer.declared_buffers.items():
        if not buffer.kept:
            getattr(layer.buf, name).fill(np.nan)


@pytest.mark.parametrize("case", [case for case in CASES if case.bottoms], ids=label)
def test_a_layer_reads_and_writes_what_it_says(case: Case, tmp_path: Path) -> None:
    """All of a top is written in every forward; backward reads what `backward_reads` says.

    Buffers carry nothing into a forward.
    """
    plain, spoiled = Rig(case, np.float64, tmp_path), Rig(case, np.float64, tmp_path)
    if plain.layer.dynamic:
        return
    for blob in spoiled.top:
        if not any(blob.shares_data_with(bottom) for bottom in spoiled.bottom):
            blob.data.fill(np.nan)
    buffers = vars(spoiled.layer.buf).values()
    for _ in range(2 if buffers else 1):
        for buffer in buffers:
            buffer.fill(77)
        for wanted, got in zip(plain.forward(), spoiled.forward(), strict=True):
            np.testing.assert_array_equal(got, wanted)
    if not plain.differentiable():
        return
    spoil(spoiled.layer, spoiled)
    plain.backward()
    spoiled.backward()
    for rig_blobs in zip(plain.bottom, spoiled.bottom, strict=True):
        np.testing.assert_array_equal(*(blob.diff for blob in rig_blobs))
    for rig_blobs in zip(plain.layer.blobs, spoiled.layer.blobs, strict=True):
        np.testing.assert_array_equal(*(blob.diff for blob in rig_blobs))


IN_PLACE = [case for case in CASES if layer_class(case.type).goes_back_in_place]


@pytest.mark.parametrize("case", IN_PLACE, ids=label)
def test_a_gradient_may_be_stored_over_the_one_that_it_is_made_of(
    case: Case, tmp_path: Path
) -> None:
    apart, over = Rig(case, np.float32, tmp_path), Rig(case, np.float32, tmp_path)
    over.bottom[0].share_diff(over.top[0])
    for rig in (apart, over):
        rig.forward()
        rig.backward()
    assert np.abs(apart.bottom[0].diff).max() > 0.1
    np.testing.assert_array_equal(over.bottom[0].diff, apart.bottom[0].diff)


def test_the_gradients_around_such_a_layer_take_one_place() -> None:
    net = build()
    net.share_memory()
    above, below = net.blobs["norm1"].diff, net.blobs["conv1"].diff
    assert above.ctypes.data == below.ctypes.data


def test_the_order_that_needs_least_is_taken() -> None:
    """As much as the busiest time needs; the other order would need 9, and 15."""
    longest_first = [Life(5, 1, 2), Life(1, 2, 5), Life(4, 6, 7), Life(4, 5, 6)]
    largest_first = [Life(6, 3, 3), Life(2, 4, 7), Life(5, 3, 4), Life(2, 2, 7)]
    assert place(longest_first, 1) == 8
    assert place(largest_first, 1) == 13


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_what_goes_from_forward_to_forward_is_not_shared(kind: str) -> None:
    """Gradients below would lie where the state is, if nobody needed it after backward."""
    text = f"""layer {{ name: "x" type: "DummyData" top: "x" top: "cont" dummy_data_param {{
      shape {{ dim: 2 dim: 3 dim: 4 }} shape {{ dim: 2 dim: 3 }}
      data_filler {{ type: "gaussian" }} data_filler {{ type: "constant" value: 1 }} }} }}
    layer {{ name: "first" type: "InnerProduct" bottom: "x" top: "first"
      inner_product_param {{ axis: 2 num_output: 90 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "first" top: "ip"
      inner_product_param {{ axis: 2 num_output: 5 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "recurrent" type: "{kind}" bottom: "ip" bottom: "cont" top: "h"
      recurrent_param {{ num_output: 6 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "loss" type: "Reduction" bottom: "h" top: "loss" loss_weight: 1 }}"""
    apart, shared = build(text), build(text)
    shared.share_memory()
    for wanted, got in zip(train(apart), train(shared), strict=True):
        np.testing.assert_array_equal(got, wanted)
