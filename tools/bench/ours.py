"""The side of caffe_lite in a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe_lite import TEST
from caffe_lite.net.net import Net
from tools.bench import inputs
from tools.bench.task import Prepared, Task

if TYPE_CHECKING:
    from caffe_lite.distributed import Group
    from caffe_lite.solver import SGDSolver


def infer(task: Task) -> Prepared:
    """Forward from a constant input to all outputs."""
    net = Net(task.prototxt, TEST, weights=task.weights)
    net.freeze()  # as the engines do, this and the next
    net.share_memory(backward=False)
    net.blobs["data"].data[...] = task.batch()
    return Prepared(net.forward, net.forward)


def train(task: Task) -> Prepared:
    """One iteration of SGD with momentum and weight decay on a constant batch."""
    from tools.bench import nets, weights

    solver = make_solver(task.prototxt)
    weights.fill(solver.net)
    data, label = (solver.net.blobs[name].data for name in ("data", "label"))
    data[...] = inputs.image(data.shape)
    label[...] = inputs.labels(task.row.batch, nets.NETS[task.row.net].classes)
    return Prepared(lambda: solver.step(1))


def make_solver(prototxt: str, group: Group | None = None) -> SGDSolver:
    """SGD with the settings of AlexNet's solver, at a rate too low to diverge.

    group: the ranks that train together.
    """
    from caffe_lite.proto import caffe_pb2
    from caffe_lite.solver import SGDSolver  # a first answer does not need it

    param = caffe_pb2.SolverParameter(
        train_net=prototxt, base_lr=1e-5, lr_policy="fixed", momentum=0.9, weight_decay=0.0005
    )
    return SGDSolver(param, group=group)
