"""The files of a row, which all sides read: the same net with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tools.bench import inputs, isolated, nets
from tools.bench.rows import Row
from tools.bench.sides import SIDES
from tools.bench.task import Task


def write(row: Row, folder: Path, threads: int, peers: Sequence[str] = ()) -> Task:
    """Write the prototxt and, for inference, the weights, the images, and what `peers` read."""
    stem = row.key.replace(":", "-")
    prototxt = folder / f"{stem}.prototxt"
    prototxt.write_text(nets.prototxt(row.net, row.batch, row.train))
    task = Task(row.key, str(prototxt), threads)
    if row.train:
        return task
    image = folder / f"{stem}.npy"
    np.save(image, inputs.image((row.batch, *nets.NETS[row.net].image)))
    onnx = str(folder / f"{stem}.onnx") if any(SIDES[peer].reads_onnx for peer in peers) else ""
    weights = str(folder / f"{stem}.caffemodel")
    task = Task(row.key, str(prototxt), threads, weights, onnx, str(image))
    isolated.call("tools.bench.files:fill", threads=threads, task=task.to_json())
    if "mnn" in peers:
        isolated.call("tools.bench.peers.mnn:convert", threads=threads, onnx=onnx)
    return task


def remove(task: Task) -> None:
    """Remove the large ones: a run of all rows would need gigabytes."""
    for path in (task.weights, task.onnx, task.onnx and f"{task.onnx}.mnn"):
        if path:
            Path(path).unlink(missing_ok=True)


def fill(task: str) -> None:
    """Fill a net's parameters; write its .caffemodel and its ONNX file."""
    from caffe_lite import TEST
    from caffe_lite.export import export_onnx
    from caffe_lite.net.net import Net
    from tools.bench import weights

    written = Task.from_json(task)
    net = Net(written.prototxt, TEST)
    weights.fill(net)
    net.save(written.weights)
    if written.onnx:
        export_onnx(net, written.onnx)
