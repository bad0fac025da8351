"""Bring a layer type of your own: generalised-mean pooling, which retrieval nets have.

"GeM" pools each plane to a number between its mean (p = 1) and its maximum (p = infinity); p is
learnt, for each channel (Radenovic et al. 2018, arXiv:1711.02512).  No published Caffe has it nor
its message, `gem_param`: `caffe_lite.register` adds both.  The net is trained, saved and loaded.

Output::

    iteration 100: mean loss 0.8944
    iteration 200: mean loss 0.2263
    iteration 300: mean loss 0.1372
    94.9% of the test digits correct; p from 3.02 to 3.25
    loaded again: the same scores
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from digits import load

import caffe_lite as caffe
from caffe_lite.layers.declarations import Param
from caffe_lite.proto import caffe_pb2

NET = """
name: "digits with GeM"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: [100, 1, 28, 28] } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 100 } }
  include { phase: TRAIN } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 24 kernel_size: 5 stride: 2 weight_filler { type: "msra" } } }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 48 kernel_size: 5 weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "gem" type: "GeM" bottom: "conv2" top: "gem"
  gem_param { eps: 1e-3 p_filler { type: "constant" value: 3 } } }
layer { name: "score" type: "InnerProduct" bottom: "gem" top: "score"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
  include { phase: TRAIN } }
"""


@caffe.register("GeM")
class GeneralizedMean(caffe.Layer):
    """y = (mean over the plane of max(x, eps)^p)^(1/p).  x: (N, C, H, W), y: (N, C), p: (C,)."""

    config_field = "gem_param"

    def check(self, *bottom):
        """Refuse what a net may say of the layer; the error has the line in the prototxt."""
        self.eps = getattr(self.config, "eps", 1e-6)
        self.require(self.eps > 0, "eps", f"eps must be above 0, not {self.eps:g}")

    def params(self, *bottom):
        """The exponents."""
        return [Param("p", bottom[0][1:2], "p_filler")]

    def top_shapes(self, *bottom):
        """One number for each plane."""
        return [bottom[0][:2]]

    def forward(self, bottom, top):
        """Compute the means."""
        x, p = np.maximum(bottom[0].data, self.eps), self.p.data[:, None, None]
        top[0].data[...] = (x**p).mean(axis=(2, 3)) ** (1 / self.p.data)

    def backward(self, top, propagate_down, bottom):
        """dy/dx = x^(p-1) y^(1-p) / HW, dy/dp = y (mean(x^p log x) / mean(x^p) - log y) / p."""
        x, y, dy = bottom[0].data, top[0].data, top[0].diff
        p, clipped = self.p.data, np.maximum(x, self.eps)
        powers = clipped ** p[:, None, None]
        if propagate_down[0]:
            slope = powers / clipped * (y ** (1 - p) * dy)[:, :, None, None]
            bottom[0].diff[...] = np.where(x > self.eps, slope, 0) / x[0, 0].size
        logs = (powers * np.log(clipped)).mean(axis=(2, 3)) / powers.mean(axis=(2, 3))
        self.p.diff[...] += (dy * y * (logs - np.log(y)) / p).sum(axis=0)


(pixels, labels), (test_pixels, test_labels) = load("train"), load("test")
with TemporaryDirectory() as folder:
    path = Path(folder)
    (path / "net.prototxt").write_text(NET)
    param = caffe_pb2.SolverParameter(type="Adam", base_lr=0.003, lr_policy="fixed", random_seed=1)
    param.net, param.momentum = str(path / "net.prototxt"), 0.9
    losses = []
    with caffe.get_solver(param) as solver:
        for iteration in range(300):
            batch = np.arange(100 * iteration, 100 * (iteration + 1)) % len(pixels)
            solver.net.blobs["data"].data[...] = pixels[batch]
            solver.net.blobs["label"].data[...] = labels[batch]
            solver.step(1)
            losses.append(float(solver.net.blobs["loss"].data))
            if solver.iter % 100 == 0:
                print(f"iteration {solver.iter}: mean loss {np.mean(losses[-100:]):.4f}")
        p = solver.net.params["gem"][0].data
        solver.net.save(path / "net.caffemodel")

    net = caffe.Net(path / "net.prototxt", caffe.TEST, weights=path / "net.caffemodel")
    right = net.forward_all(data=test_pixels)["score"].argmax(1) == test_labels
    print(f"{right.mean():.1%} of the test digits correct; p from {p.min():.2f} to {p.max():.2f}")

    # A caffemodel has the whole net: the private message, too.
    again = caffe.Net(caffe.proto.files.read_weights(path / "net.caffemodel"), caffe.TEST)
    scores = [each.forward(data=test_pixels[:100])["score"] for each in (net, again)]
    print(f"loaded again: {'the same' if np.array_equal(*scores) else 'other'} scores")
