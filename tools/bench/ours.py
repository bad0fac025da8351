"""The side of caffe_lite in a comparison."""

from __future__ import annotations

from caffe_lite import TEST
from caffe_lite.distributed import Group
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver import SGDSolver
from tools.bench import weights
from tools.bench.sides import Prepared, Task


def infer(task: Task) -> Prepared:
    """Forward from a constant input to the probabilities."""
    net = Net(task.prototxt, TEST, weights=task.weights)
    net.blobs["data"].data[...] = weights.image(task.shape)
    return Prepared(net.forward, lambda: net.forward()["prob"])


def train(task: Task) -> Prepared:
    """One iteration of SGD with momentum and weight decay on a constant batch."""
    solver = make_solver(task.prototxt)
    weights.fill(solver.net)
    solver.net.blobs["data"].data[...] = weights.image(task.shape)
    solver.net.blobs["label"].data[...] = weights.labels(task.row.batch, task.classes)
    return Prepared(lambda: solver.step(1))


def make_solver(prototxt: str, group: Group | None = None) -> SGDSolver:
    """SGD with the settings of AlexNet's solver, at a rate too low to diverge.

    group: the ranks that train together.
    """
    param = caffe_pb2.SolverParameter(
        train_net=prototxt, base_lr=1e-5, lr_policy="fixed", momentum=0.9, weight_decay=0.0005
    )
    return SGDSolver(param, group=group)


def write_weights(prototxt: str, path: str) -> None:
    """Fill a net's parameters and write its .caffemodel, which all sides read."""
    net = Net(prototxt, TEST)
    weights.fill(net)
    net.save(path)
