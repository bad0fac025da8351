"""Write a net in Python, train it step by step, and inspect it.

This is a program for pycaffe: all names are Caffe's.  Only the import of caffe_lite and the call
after it are new; with `python -m caffe_lite.as_caffe program.py` they are not needed either.

Output::

    data       (50, 1, 28, 28)
    label      (50,)
    conv1      (50, 16, 12, 12)
    conv2      (50, 32, 10, 10)
    pool2      (50, 32, 5, 5)
    score      (50, 10)
    loss       ()
    iteration 60: loss 0.337, on test digits 0.326, 91.0% right
    iteration 120: loss 0.072, on test digits 0.224, 93.6% right
    iteration 180: loss 0.035, on test digits 0.148, 95.6% right
    iteration 240: loss 0.083, on test digits 0.128, 96.4% right
    iteration 300: loss 0.023, on test digits 0.163, 94.9% right
    mean gradient of conv1's weights: 0.00042
"""

from __future__ import annotations

import caffe_lite

caffe_lite.install_as_caffe()

import os
from tempfile import TemporaryDirectory

import caffe
import numpy as np
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from digits import load

BATCH = 50


def small_net(images: int) -> caffe_pb2.NetParameter:
    """Two convolutions and an inner product, on arrays in memory."""
    xavier = {"weight_filler": {"type": "xavier"}}
    n = caffe.NetSpec()
    n.data, n.label = L.MemoryData(batch_size=images, channels=1, height=28, width=28, ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, stride=2, num_output=16, **xavier)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.conv2 = L.Convolution(n.relu1, kernel_size=3, num_output=32, **xavier)
    n.pool2 = L.Pooling(n.conv2, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.relu2 = L.ReLU(n.pool2, in_place=True)
    n.score = L.InnerProduct(n.relu2, num_output=10, **xavier)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    n.accuracy = L.Accuracy(n.score, n.label, include={"phase": caffe.TEST})
    return n.to_proto()


solver_param = caffe_pb2.SolverParameter(
    type="Adam", base_lr=0.003, momentum=0.9, lr_policy="fixed", random_seed=1,
    test_iter=[1], test_interval=1000, test_initialization=False, snapshot_after_train=False,
)  # fmt: skip
with TemporaryDirectory() as folder:  # pycaffe accepts only files
    for name, images in ("train", BATCH), ("test", 1000):
        with open(os.path.join(folder, f"{name}.prototxt"), "w") as file:
            file.write(str(small_net(images)))
    solver_param.train_net = os.path.join(folder, "train.prototxt")
    solver_param.test_net.append(os.path.join(folder, "test.prototxt"))
    with open(os.path.join(folder, "solver.prototxt"), "w") as file:
        file.write(str(solver_param))
    solver = caffe.get_solver(os.path.join(folder, "solver.prototxt"))

net, test_net = solver.net, solver.test_nets[0]
for name, blob in net.blobs.items():
    print(f"{name:10} {blob.data.shape}")
net.set_input_arrays(*(array.astype(np.float32) for array in load("train")))
test_net.set_input_arrays(*(array.astype(np.float32) for array in load("test")))
test_net.share_with(net)  # the solver does the same when it tests

for _ in range(5):
    solver.step(60)
    scores = test_net.forward()
    print(f"iteration {solver.iter}: loss {net.blobs['loss'].data:.3f}, "
          f"on test digits {scores['loss']:.3f}, {scores['accuracy']:.1%} right")  # fmt: skip

gradient = np.abs(net.params["conv1"][0].diff).mean()
print(f"mean gradient of conv1's weights: {gradient:.5f}")
