"""PyTorch's side of a comparison: a Caffe net, layer by layer, as modules of torch.nn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from caffe_lite.blob import Array
from caffe_lite.proto import files
from caffe_lite.proto.nodes import Node
from tools.bench import inputs, measure, nets
from tools.bench.task import Prepared, Task

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


def _first(sizes: Sequence[int], default: int) -> int:
    return sizes[0] if sizes else default


def _convolution(param: Any) -> nn.Module:
    p = param.convolution_param
    return nn.LazyConv2d(
        p.num_output,
        _first(p.kernel_size, 1),
        _first(p.stride, 1),
        _first(p.pad, 0),
        groups=p.group,
        bias=p.bias_term,
    )


def _dense(param: Any) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(param.inner_product_param.num_output))


def _pooling(param: Any) -> nn.Module:
    p = param.pooling_param
    if p.global_pooling:
        return nn.AdaptiveAvgPool2d(1)
    if p.pool == p.MAX:
        return nn.MaxPool2d(p.kernel_size, p.stride, p.pad, ceil_mode=True)
    return nn.AvgPool2d(p.kernel_size, p.stride, p.pad, ceil_mode=True)


def _lrn(param: Any) -> nn.Module:
    p = param.lrn_param
    return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)


def _relu(param: Any) -> nn.Module:
    return nn.ReLU(inplace=param.bottom[0] == param.top[0])


def _dropout(param: Any) -> nn.Module:
    return nn.Dropout(
        param.dropout_param.dropout_ratio
    )  # in place it would invalidate ReLU's gradient


class _Concat(nn.Module):
    def forward(self, *x: Tensor) -> Tensor:
        return torch.cat(x, 1)


class _Sum(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


MODULES: dict[str, Callable[[Any], nn.Module]] = {
    "BatchNorm": lambda param: nn.LazyBatchNorm2d(),
    "Concat": lambda param: _Concat(),
    "Convolution": _convolution,
    "Dropout": _dropout,
    "Eltwise": lambda param: _Sum(),
    "InnerProduct": _dense,
    "LRN": _lrn,
    "Pooling": _pooling,
    "ReLU": _relu,
}
"""BatchNorm and the Scale after it are one module."""
OMITTED = {"DummyData", "Input", "Scale", "Softmax", "SoftmaxWithLoss"}


class Step(NamedTuple):
    """A module, the blobs it reads, the blob it writes, and the blobs not read after it."""

    module: nn.Module
    bottoms: list[str]
    top: str
    done: list[str]


class CaffeNet(nn.Module):
    """From the blob "data" to the scores; a blob is released after its last use."""

    def __init__(self, nodes: list[Node]) -> None:
        super().__init__()
        self.names: list[str] = []
        self.steps: list[Step] = []
        kept = [node for node in nodes if node.type not in OMITTED]
        uses = Counter(bottom for node in kept for bottom in node.param.bottom)
        for node in kept:
            module = MODULES[node.type](node.param)
            self.add_module(node.name.replace(".", "_"), module)
            uses.subtract(node.param.bottom)
            top = node.param.top[0]
            done = [name for name in node.param.bottom if not uses[name] and name != top]
            self.names.append(node.name)
            self.steps.append(Step(module, list(node.param.bottom), top, done))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W); returns the scores (N, classes)."""
        blobs = {"data": x}
        for module, bottoms, top, done in self.steps:
            blobs[top] = module(*[blobs[bottom] for bottom in bottoms])
            for name in done:
                del blobs[name]
        return blobs[self.steps[-1].top].flatten(1)


def load(net: CaffeNet, path: str) -> None:
    """Copy a .caffemodel's weights."""
    modules: dict[str, nn.Module] = dict(zip(net.names, (step.module for step in net.steps)))
    for layer in files.read_weights(path).layer:
        values = [torch.from_numpy(files.blob_to_array(blob).copy()) for blob in layer.blobs]
        if layer.type == "Scale":
            targets = list(modules[layer.name.replace("/scale", "/bn")].parameters())
        elif layer.type == "BatchNorm":
            module: Any = modules[layer.name]
            targets = [module.running_mean, module.running_var]
        elif values:
            targets = list(modules[layer.name].parameters())
        else:
            continue
        for target, value in zip(targets, values):  # BatchNorm's factor, its third blob, is 1
            target.data.copy_(value.reshape(target.shape))


def _make(task: Task, images: Array, layout: torch.memory_format) -> tuple[CaffeNet, Tensor]:
    """The net and its images in a memory layout."""
    net = CaffeNet(files.read_net(task.prototxt).nodes)
    x = torch.from_numpy(images).to(memory_format=layout)
    with torch.no_grad():
        net.eval()(x[:1])  # initialises the shapes of the modules
    return net.to(memory_format=layout), x


def _better(task: Task, prepare: Callable[[Task, torch.memory_format], Prepared]) -> Prepared:
    """The faster of the two layouts."""
    torch.set_num_threads(task.threads)
    candidates = []
    for name, layout in LAYOUTS.items():
        prepared = prepare(task, layout)
        prepared.run()
        seconds = min(measure.passes(prepared.run, 0.3, 2))
        candidates.append((seconds, Prepared(prepared.run, prepared.outputs, name)))
    return min(candidates, key=lambda each: each[0])[1]


def infer(task: Task) -> Prepared:
    """Forward to the probabilities."""

    def prepare(task: Task, layout: torch.memory_format) -> Prepared:
        net, x = _make(task, task.batch(), layout)
        load(net, task.weights)

        def run() -> Array:
            with torch.inference_mode():
                scores: Array = functional.softmax(net(x), 1).numpy()
                return scores

        return Prepared(run, lambda: {"prob": run()})

    return _better(task, prepare)


def train(task: Task) -> Prepared:
    """Forward, backward and update, with the fused optimizer."""

    def prepare(task: Task, layout: torch.memory_format) -> Prepared:
        row, net_of = task.row, nets.NETS[task.row.net]
        net, x = _make(task, inputs.image((row.batch, *net_of.image)), layout)
        net.train()
        labels = torch.from_numpy(inputs.labels(row.batch, net_of.classes))
        optimizer = torch.optim.SGD(
            net.parameters(), 1e-5, momentum=0.9, weight_decay=0.0005, fused=True
        )

        def run() -> None:
            optimizer.zero_grad()
            functional.cross_entropy(net(x), labels).backward()
            optimizer.step()

        return Prepared(run)

    return _better(task, prepare)
