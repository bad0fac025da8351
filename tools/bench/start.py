"""Time to the first iteration, with and without compiled kernels, and peak memory."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.proto import caffe_pb2, files
from tools.bench import isolated, machine, measure, nets, ours, records, rows, weights
from tools.bench.nets.classifiers import MODELS
from tools.bench.report import Options, Section, number, table
from tools.bench.task import Task

WARM = 3
"""The number of warm starts, of which the fastest counts."""
MEMORY = ("alexnet:64:train", "alexnet:64", "resnet50:8:train", "vgg16:8", "lenet:64:train")


class Times(NamedTuple):
    """Wall-clock time and processor time in seconds."""

    wall: float
    cpu: float


def _run(command: list[str], folder: Path, variables: dict[str, str]) -> Times:
    """Run a process to its end; returns its times."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=variables, check=True, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Times(wall, cpu)


def _fastest(command: list[str], folder: Path, variables: dict[str, str]) -> Times:
    return min(_run(command, folder, variables) for _ in range(WARM))


def lenet(folder: Path) -> Path:
    """Make a folder for one iteration of LeNet's solver, after its tests, on random images."""
    home = folder / "start" / "models" / "lenet"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(MODELS / "lenet" / "train_test.prototxt", home)
    solver = files.read_solver(MODELS / "lenet" / "solver.prototxt").param
    solver.max_iter = 1
    solver.snapshot = 0
    solver.snapshot_after_train = False
    (home / "solver.prototxt").write_text(str(solver))
    for name in ("mnist_train_lmdb", "mnist_test_lmdb"):
        if not (home / name).exists():
            records.write(home / name, 128, (1, 28, 28))
    return folder / "start"


def starts(options: Options) -> dict[str, Times]:
    """The times of Python, the import, and LeNet's first iteration, cold and warm."""
    folder = lenet(options.folder)
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    variables = machine.environment(options.threads)
    variables["PYTHONPATH"] = str(MODELS.parent)
    variables["NUMBA_CACHE_DIR"] = str(cache)
    python = [sys.executable, "-c"]
    train = [sys.executable, "-m", "caffe_lite", "train"]
    train += ["-solver", "models/lenet/solver.prototxt"]
    return {
        "python itself": _fastest([*python, "pass"], folder, variables),
        "import caffe_lite": _fastest([*python, "import caffe_lite"], folder, variables),
        "import caffe_lite; Net": _fastest(
            [*python, "import caffe_lite as c; c.Net"], folder, variables
        ),
        "LeNet to iteration 1, cold": _run(train, folder, variables),
        "LeNet to iteration 1, warm": _fastest(train, folder, variables),
    }


def peak(key: str, folder: str) -> float:
    """The peak megabytes of three passes of a row, whose weights are not read from a file."""
    row = rows.parse(key)
    path = Path(folder) / "memory.prototxt"
    path.write_text(nets.prototxt(row.net, row.batch, row.train))
    if row.train:
        run = ours.train(Task(key, str(path))).run
    else:
        from caffe_lite.net.net import Net

        net = Net(str(path), caffe_pb2.TEST)
        weights.fill(net)
        net.blobs["data"].data[...] = np.float32(1)
        run = net.forward
    measure.passes(run, 0, 3)
    return measure.peak_memory()


def section(options: Options) -> Section:
    """Measure; returns both tables."""
    times = starts(options)
    memory = {
        key: isolated.call(
            "tools.bench.start:peak", threads=options.threads, key=key, folder=str(options.folder)
        )
        for key in MEMORY
    }
    text = "\n\n".join(
        [
            table(
                ("process", "seconds", "of processor time"),
                [[name, f"{each.wall:.2f}", f"{each.cpu:.2f}"] for name, each in times.items()],
            ),
            "LeNet's first iteration includes the ten test batches of its solver before it.",
            table(
                ("net, batch", "peak MB", "Caffe"),
                [
                    [key, number(peak), number(rows.CAFFE_MEMORY.get(key))]
                    for key, peak in memory.items()
                ],
            ),
            f"Caffe: {rows.PROVENANCE}.",
        ]
    )
    data: dict[str, Any] = {
        "starts": {name: each._asdict() for name, each in times.items()},
        "peak_mb": memory,
    }
    return Section("start", "Start and memory", text, data)
