"""What `caffe_lite.check` forecasts of a training step, and what the step takes."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite.checking.forecast import forecast_of, memory
from caffe_lite.checking.subjects import Request, gather
from tools.bench import inputs, isolated, measure, nets, ours
from tools.bench.report import Options, Section, number, table

MEMORY_ROWS = (
    "lenet:64",
    "cifar10_quick:100",
    "alexnet:32",
    "googlenet:8",
    "squeezenet:16",
    "mobilenet:8",
    "resnet50:4",
)

TIME_ROWS = (
    "lenet:64",
    "cifar10_quick:100",
    "squeezenet:8",
    "mobilenet:8",
    "googlenet:8",
    "alexnet:32",
    "resnet50:4",
)
"""Nets whose layers the forecast was not fitted to, then three whose layers it was."""


def _reset_peak() -> None:
    """Let the kernel count this process's peak memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def _resident() -> float:
    """The resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _step(path: Path, net: str, batch: int) -> Any:
    solver = ours.make_solver(str(path))
    solver.net.share_memory()
    rng = np.random.default_rng(0)
    for blob in solver.net.params.values():
        for each in blob:
            each.data[...] = 0.01 * rng.standard_normal(each.shape, dtype=np.float32)
    data = solver.net.blobs["data"].data
    data[...] = inputs.image(data.shape)
    classes = nets.NETS[net].classes
    solver.net.blobs["label"].data[...] = inputs.labels(batch, classes)
    solver.step(1)
    return solver


def resident(key: str, folder: str) -> list[float]:
    """The megabytes that a training of a row takes: the forecast, and the peak that is measured.

    A step of one image first loads all kernels, which are no part of either.
    """
    net, _, size = key.partition(":")
    batch, path = int(size), Path(folder) / f"{net}.prototxt"
    path.write_text(nets.prototxt(net, 1, train=True))
    _step(path, net, 1).close()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else the next net would get what this one has touched
    path.write_text(nets.prototxt(net, batch, train=True))
    found = memory.memory_of(gather(Request(str(path))))
    assert found is not None
    before = _resident()
    _reset_peak()
    solver = _step(path, net, batch)
    solver.step(1)
    peak = measure.peak_memory() * 1.048576 - before
    return [found.total / 1e6, peak]


def timed(key: str, folder: str) -> list[float]:
    """The milliseconds of a training step of a row: the forecast, and the fastest of several."""
    net, _, size = key.partition(":")
    batch, path = int(size), Path(folder) / f"{net}.prototxt"
    path.write_text(nets.prototxt(net, batch, train=True))
    found = forecast_of(gather(Request(str(path))))
    assert found is not None
    solver = _step(path, net, batch)
    took = min(measure.passes(lambda: solver.step(1), 4.0, 5))
    return [1e3 * found.seconds(), 1e3 * took]


def section(options: Options) -> Section:
    """Compare; returns the tables."""
    data: dict[str, Any] = {}
    tables = []
    for function, unit, rows in (("resident", "MB", MEMORY_ROWS), ("timed", "ms", TIME_ROWS)):
        lines = []
        for key in rows:
            foreseen, got = isolated.call(
                f"tools.bench.forecast:{function}",
                threads=options.threads,
                key=key,
                folder=str(options.folder),
            )
            data[f"{function} {key}"] = [foreseen, got]
            error = f"{100 * (foreseen / got - 1):+.0f} %"
            lines.append([key, number(foreseen), number(got), error])
        head = ("net, batch", f"forecast, {unit}", f"measured, {unit}", "difference")
        tables.append(table(head, lines))
    text = "\n\n".join(tables)
    return Section("forecast", "A training step, forecast and measured", text, data)
