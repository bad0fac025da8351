"""One net, layer by layer, against the lower bound of each layer on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from caffe_lite import TEST
from caffe_lite.net.net import Net
from tools.bench import cost, inputs, isolated, measure, nets, ours, rows, weights
from tools.bench.report import Options, Section, number, table

HEAD = ("layer", "type", "forward, ms", "GFLOP/s", "floor", "x", "backward, ms", "floor", "x")
NOTES = """\
The floor is the time of the layer's operations at np.matmul's speed, or of its bytes, each read or
written once, at the speed of a copy, whichever is longer; x is the layer's time divided by the
floor.  A layer run alone is not fused with its neighbours and does not find its input in the
caches, so the whole pass may take less than the sum.  Winograd convolutions may be faster than the
floor."""


def profile(key: str, folder: str, seconds: float = 5.0) -> dict[str, Any]:
    """The medians for a row's net, in ms: each layer, the whole pass, and the solver's update."""
    row = rows.parse(key)
    path = Path(folder) / "profile.prototxt"
    path.write_text(nets.prototxt(row.net, row.batch, row.train))
    if row.train:
        solver = ours.make_solver(str(path))
        net, update = solver.net, solver.apply_update
    else:
        net, update = Net(str(path), TEST), None
    weights.fill(net)
    net.blobs["data"].data[...] = inputs.image(net.blobs["data"].shape)
    result = _profile_net(net, row.train, seconds)
    if update is not None:
        result["update"] = 1e3 * measure.median(measure.passes(update, 0.3, 3))
    return result


def _profile_net(net: Net, train: bool, seconds: float) -> dict[str, Any]:
    def pass_through() -> None:
        net.compute_loss()
        if train:
            net.compute_gradients()

    pass_through()
    whole = measure.median(measure.passes(pass_through, seconds / 3, 2))
    count = len(net.layers)
    ahead: list[list[float]] = [[] for _ in range(count)]
    back: list[list[float]] = [[] for _ in range(count)]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(ahead[0]) < 2:
        for index in range(count):
            ahead[index] += measure.passes(lambda i=index: net.forward_from_to(i, i), 0)  # type: ignore[misc]
        for index in reversed(range(count if train else 0)):
            back[index] += measure.passes(lambda i=index: net.backward_from_to(i, i), 0)  # type: ignore[misc]
    return {
        "whole": 1e3 * whole,
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "forward": 1e3 * measure.median(ahead[index]),
                "forward_cost": cost.forward(net, index),
                "backward": 1e3 * measure.median(back[index]) if train else None,
                "backward_cost": cost.backward(net, index),
            }
            for index, layer in enumerate(net.layers)
        ],
    }


def section(key: str, options: Options) -> Section:
    """The times of one row, layer by layer."""
    times = isolated.call(
        "tools.bench.layers:profile",
        threads=options.threads,
        key=key,
        folder=str(options.folder),
    )
    lines = [_line(layer, options) for layer in times["layers"]]
    sums = [_total(times["layers"], options), *_whole_pass(times)]
    text = f"{table(HEAD, [*lines, *sums])}\n\n{NOTES}"
    return Section(f"layers-{key.replace(':', '-')}", f"{key}, layer by layer", text, times)


def _floor(layer_cost: list[float], options: Options) -> float:
    return 1e3 * cost.Cost(*layer_cost).floor(*options.speed)


def _line(layer: dict[str, Any], options: Options) -> list[str]:
    cells = [layer["name"], layer["type"]]
    for way in ("forward", "backward"):
        took, floor = layer[way], _floor(layer[f"{way}_cost"], options)
        flops = layer[f"{way}_cost"][0]
        cells.append(number(took))
        if way == "forward":
            cells.append(number(1e-6 * flops / took if flops else None))
        cells += [number(floor or None), number(took / floor if took and floor else None)]
    return cells


def _total(layers: list[dict[str, Any]], options: Options) -> list[str]:
    cells = ["all layers", ""]
    for way in ("forward", "backward"):
        took = sum(layer[way] or 0 for layer in layers)
        floor = sum(_floor(layer[f"{way}_cost"], options) for layer in layers if layer[way])
        cells += [number(took or None)] + [""] * (way == "forward")
        cells += [number(floor or None), number(took / floor if floor else None)]
    return cells


def _whole_pass(times: dict[str, Any]) -> list[list[str]]:
    lines = [("whole pass", times["whole"]), ("update", times.get("update"))]
    return [[name, "", number(ms), *[""] * 6] for name, ms in lines if ms is not None]
