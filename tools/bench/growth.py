"""Time as a function of the batch, the image's area, and the number of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe_lite import TEST
from caffe_lite.net.net import Net
from tools.bench import inputs, isolated, measure, nets, weights
from tools.bench.report import Options, Section, number, table

NET = "squeezenet"
"""A net without inner products, which accepts images of any size."""
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
SIDES = (64, 96, 128, 192, 256, 384, 512)
SIDE_BATCH = 8
ROUNDS = 3
THREADED = ("alexnet:64:train", "vgg16:8", "resnet50:8:train")


def times(shapes: list[list[int]], folder: str) -> list[float]:
    """The milliseconds of a forward pass for batches of these shapes."""
    path = Path(folder) / "growth.prototxt"
    path.write_text(nets.prototxt(NET, 1, False))
    net = Net(str(path), TEST)
    weights.fill(net)
    found = []
    for shape in shapes:
        net.blobs["data"].reshape(*shape)
        net.blobs["data"].data[...] = inputs.image(tuple(shape))
        net.forward()
        found.append(1e3 * measure.median(measure.passes(net.forward, 0.8, 3)))
    return found


def convolutions(key: str, folder: str) -> float:
    """The total milliseconds of a row's convolutions, forward and, in training, backward."""
    from tools.bench.layers import profile

    layers = profile(key, folder, 3.0)["layers"]
    wanted = [layer for layer in layers if layer["type"] == "Convolution"]
    return float(sum(layer["forward"] + (layer["backward"] or 0) for layer in wanted))


def section(options: Options) -> Section:
    """Measure; returns the three tables."""
    image = nets.NETS[NET].image
    batches = [[batch, *image] for batch in BATCHES]
    areas = [[SIDE_BATCH, image[0], side, side] for side in SIDES]
    by_batch = _call("times", options, options.threads, shapes=batches)
    by_area = _call("times", options, options.threads, shapes=areas)
    threads = {key: _by_threads(key, options) for key in THREADED}
    text = "\n\n".join(
        [
            f"{NET}, forward, time against the batch:",
            _growth("batch", [str(batch) for batch in BATCHES], list(BATCHES), by_batch),
            f"{NET}, forward, {SIDE_BATCH} images, time against their area:",
            _growth("side", [str(side) for side in SIDES], [side**2 for side in SIDES], by_area),
            "The convolutions of a net, one thread against more:",
            table(
                ("net, batch", "1 thread, ms", f"{options.threads} threads", "times faster"),
                [
                    [key, number(one), number(more), f"{one / more:.2f}"]
                    for key, (one, more) in threads.items()
                ],
            ),
        ]
    )
    data = {
        "batch": dict(zip(map(str, BATCHES), by_batch, strict=True)),
        "side": dict(zip(map(str, SIDES), by_area, strict=True)),
        "convolutions": threads,
    }
    return Section("growth", "Growth", text, data)


def _by_threads(key: str, options: Options) -> list[float]:
    """The milliseconds of a row's convolutions on one thread and on all.

    The minimum of several alternating rounds, as work is divided evenly and another process on one
    core delays all threads.
    """
    counts = 1, options.threads
    rounds = [
        [_call("convolutions", options, count, key=key) for count in counts] for _ in range(ROUNDS)
    ]
    return [min(times) for times in zip(*rounds, strict=True)]


def _call(function: str, options: Options, threads: int, **arguments: Any) -> Any:
    return isolated.call(
        f"tools.bench.growth:{function}",
        threads=threads,
        folder=str(options.folder),
        **arguments,
    )


def _growth(what: str, names: list[str], sizes: list[int], times: list[float]) -> str:
    """The times per unit of size, and their difference from that of the largest size."""
    last = times[-1] / sizes[-1]
    lines = [
        [name, number(ms), f"{100 * (ms / size / last - 1):+.0f} %"]
        for name, size, ms in zip(names, sizes, times, strict=True)
    ]
    return table((what, "ms", "for each unit, against the last"), lines)
