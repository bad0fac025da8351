"""Gradients averaged over ranks while backward goes on: in buckets, complete ones only."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_lite as caffe
from caffe_lite.distributed import Group
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver import reduction
from caffe_lite.solver.reduction import Reduction

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 3 dim: 2 dim: 5 dim: 4 } shape { dim: 3 }
    data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "left" type: "InnerProduct" bottom: "conv" top: "left" param { name: "shared" }
  inner_product_param { num_output: 4 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "right" type: "InnerProduct" bottom: "conv" top: "right" param { name: "shared" }
  inner_product_param { num_output: 4 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" }
layer { name: "frozen" type: "InnerProduct" bottom: "sum" top: "frozen"
  param { lr_mult: 0 } param { lr_mult: 0 }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "frozen" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


class Alike(Group):
    """Two ranks with the same gradients: once waited for, the sum is twice one's."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 2
        self.begun: list[tuple[int, np.ndarray]] = []
        self.done = 0
        self.layer = -1
        self.tested = 0

    def start_adding(self, array):
        self.begun.append((self.layer, array.copy()))
        group = self

        class Sum:
            def Wait(self) -> None:
                group.done += 1
                array[...] *= 2

            def Test(self) -> bool:
                group.tested += 1
                return False

        return Sum()


def build() -> Net:
    caffe.set_random_seed(11)
    try:
        return Net(text_format.Parse(NET, caffe_pb2.NetParameter()), caffe.TRAIN)
    finally:
        caffe.set_random_seed(-1)


def gradients(net: Net) -> list[np.ndarray]:
    return [each.blob.diff.copy() for each in net.learnable]


@pytest.mark.parametrize("bucket", [1, 150, 1 << 22])
def test_the_mean_of_equal_gradients_is_each(bucket, monkeypatch):
    monkeypatch.setattr(reduction, "BUCKET", bucket)
    with build() as plain, build() as net:
        for each in (plain, net):
            each.forward()
        plain.compute_gradients()
        group = Alike()
        reduced = Reduction(group, net)
        net.runner.hooks.gradients_ready.insert(0, lambda layer: setattr(group, "layer", layer))
        net.clear_param_diffs()
        reduced.begin()
        net.compute_gradients()
        assert group.done == 0
        begun = len(group.begun)
        reduced.finish()
        assert group.done == begun == len(group.begun)
        for ours, theirs in zip(gradients(net), gradients(plain), strict=True):
            assert ours.tolist() == theirs.tolist()
        # of a bucket, the gradients were complete when its sum was begun
        complete = np.concatenate([array for _, array in group.begun])
        assert complete.tolist() == reduced._gradients.tolist()
        names = [layer.name for layer in net.layers]
        if bucket == 1:  # one for each parameter: ip's while the rest of backward goes on
            layers = [names[layer] for layer, _ in group.begun]
            # the chain that begins with norm also computes what scale learns
            assert layers == ["ip", "ip", "left", "norm", "norm", "conv", "conv"]
            assert group.tested > 5, "MPI works on sums only while it is called"
        sizes = [array.size for _, array in group.begun]
        # of ip 12 and 3, of left 240, of scale 3 and 3, of conv 54 and 3, in float32
        wanted = {1: [12, 3, 240, 3, 3, 54, 3], 150: [255, 60, 3], 1 << 22: [318]}
        assert sizes == wanted[bucket]


def test_only_the_last_batch_of_an_iteration_is_reduced():
    with build() as net:
        group = Alike()
        reduced = Reduction(group, net)
        net.forward()
        net.compute_gradients()
        assert group.begun == []
        one = gradients(net)
        reduced.begin()
        net.runner.forward(1, len(net.layers) - 1)  # the same data again
        net.compute_gradients()
        reduced.finish()
        for twice, once in zip(gradients(net), one, strict=True):
            np.testing.assert_allclose(twice, 2 * once, rtol=1e-5, atol=1e-6)


def test_layers_stay_fused():
    with build() as net:
        Reduction(Alike(), net)
        net.forward()
        assert any(len(step.layers) > 1 for step in net.runner.steps.backward)


def test_the_oracle_rejects_gradients_that_were_incomplete(monkeypatch):
    """A bucket that is begun a layer too early has not the last one's gradient."""
    early = reduction._completion
    monkeypatch.setattr(
        reduction, "_completion", lambda net: {k: v + 1 for k, v in early(net).items()}
    )
    monkeypatch.setattr(reduction, "BUCKET", 1)
    with build() as net:
        group = Alike()
        reduced = Reduction(group, net)
        net.forward()
        reduced.begin()
        net.compute_gradients()
        begun = np.concatenate([array for _, array in group.begun])
        assert begun.tolist() != reduced._gradients[: begun.size].tolist()
