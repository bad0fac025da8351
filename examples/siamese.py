"""Train a siamese net, which maps two digits with the same layers to points of a plane.

The two sides share their weights by the names of their params.  ContrastiveLoss moves the points
of equal digits together and those of different digits apart.  The pairs are made by
`caffe-lite convert_mnist_siamese_data`.

Output::

    /tmp/tmp_x1y2z3/pairs: 4000 pairs
    iteration 100: mean loss 0.0619
    iteration 200: mean loss 0.0341
    iteration 300: mean loss 0.0229
    nearest to the centre of its digit: 64.7% of the test digits
    picture: examples/pictures/siamese.png
"""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from digits import LENET, load, save_points

import caffe_lite as caffe
from caffe_lite import cli
from caffe_lite import layers as L
from caffe_lite.proto import caffe_pb2

IMAGES = str(LENET / "digits" / "train-images-idx3-ubyte.gz")
LABELS = str(LENET / "digits" / "train-labels-idx1-ubyte.gz")


def learnt(name: str, suffix: str, num_output: int, **settings: Any) -> dict[str, Any]:
    """The settings of a layer; layers whose params have the same name share the weights."""
    params = [{"name": f"{name}_w", "lr_mult": 1}, {"name": f"{name}_b", "lr_mult": 2}]
    filler = {"type": "xavier"}
    return dict(
        settings, name=name + suffix, num_output=num_output, param=params, weight_filler=filler
    )


def side(images: Any, suffix: str = "") -> Any:
    """The layers that map digits to points in the plane."""
    conv = L.Convolution(images, **learnt("conv", suffix, 20, kernel_size=5, stride=2))
    pool = L.Pooling(L.ReLU(conv, in_place=True), kernel_size=2, stride=2)
    ip = L.InnerProduct(pool, **learnt("ip", suffix, 200))
    return L.InnerProduct(L.ReLU(ip, in_place=True), **learnt("point", suffix, 2))


def pair_net(database: str) -> caffe_pb2.NetParameter:
    """The net to train: pairs of digits, as two channels, with label 1 if they are equal."""
    n = caffe.NetSpec()
    n.pair, n.alike = L.Data(
        source=database, batch_size=64, transform_param={"scale": 1 / 256}, ntop=2,
        backend=caffe.params.Data.LMDB,
    )  # fmt: skip
    n.left, n.right = L.Slice(n.pair, slice_dim=1, slice_point=1, ntop=2)
    n.loss = L.ContrastiveLoss(side(n.left), side(n.right, "_right"), n.alike, margin=1)
    return n.to_proto()


with TemporaryDirectory() as folder:
    cli.main(["convert_mnist_siamese_data", "-backend=lmdb", IMAGES, LABELS, f"{folder}/pairs"])
    param = caffe_pb2.SolverParameter(
        type="Adam", base_lr=0.002, lr_policy="fixed", momentum=0.9, random_seed=1
    )
    param.net_param.CopyFrom(pair_net(f"{folder}/pairs"))
    with caffe.get_solver(param) as solver:
        losses = []
        for _ in range(3):
            for _ in range(100):
                solver.step(1)
                losses.append(float(solver.net.blobs["loss"].data))
            print(f"iteration {solver.iter}: mean loss {np.mean(losses[-100:]):.4f}")

# One side alone, with the trained weights, maps digits to points.
n = caffe.NetSpec()
n.data = L.Input(shape={"dim": [100, 1, 28, 28]})
n.points = side(n.data)
net = caffe.Net(n.to_proto(), caffe.TEST)
net.share_with(solver.net)

(known, known_labels), (pixels, labels) = load("train"), load("test")
learnt_points = net.forward_all(data=known)["points"]
points = net.forward_all(data=pixels)["points"]
centres = np.stack([learnt_points[known_labels == digit].mean(0) for digit in range(10)])
nearest = np.square(points[:, None] - centres).sum(2).argmin(1)
print(f"nearest to the centre of its digit: {(nearest == labels).mean():.1%} of the test digits")
save_points("siamese.png", points, labels)
