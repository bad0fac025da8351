"""Nets before and after `merge_bn`: their layers, their results, their times.

The weights are random.  The mean of each normalisation is that of its bottom for a random image,
its scales and shifts are drawn around 1 and 0: so none is the identity.  Its variance is the mean
of the squares, the mean not subtracted, which lets rounding errors grow less from layer to layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite import TEST
from caffe_lite.blob import Array
from caffe_lite.folding import merge_bn
from caffe_lite.net.net import Net
from tools.bench import inputs, isolated, measure, nets, weights
from tools.bench.report import Options, Section, number, table

SECONDS = 2.0
"""Of each round of each net."""
NOTES = """\
Medians of single passes in milliseconds; the two nets of a row alternate in one process.  Both are
fused when they run: a BatchNorm, a Scale and a ReLU behind a convolution are computed with it, so
merging saves little more than the layers' overhead and the weights' memory.  The errors are the
greatest of the outputs, divided by the greatest element, against the net before in float64: what
rounding does to either net.  In nets that were not trained it grows from layer to layer.  SegNet's
maxima are not even continuous: where two elements of a window are equal but for rounding, the
other one may win, and appears at another pixel."""


NETS = {"MobileNet-SSD": "mobilenet_ssd", "SegNet": "segnet", "ResNet-50": "resnet50"}
"""Their names in the table, and in `nets.NETS`."""


def fill(net: Net) -> None:
    """Fill all parameters, in place, so that each normalisation has work to do."""
    weights.fill(net)
    draws = np.random.default_rng(3)
    for index, layer in enumerate(net.layers):
        if layer.type in ("BatchNorm", "BN"):
            x = net.blobs[net.bottom_names[layer.name][0]].data
            mean, variance = x.mean(axis=(0, 2, 3)), np.square(x).mean(axis=(0, 2, 3))
            if layer.type == "BN":
                scale = draws.uniform(0.5, 1.5, mean.shape) / np.sqrt(variance + 1e-5)
                shift = draws.normal(0, 0.2, mean.shape) - mean * scale
                mean, variance = scale, shift
            for blob, values in zip(layer.blobs, (mean, variance), strict=False):
                blob.data[...] = values.reshape(blob.shape)
        elif layer.type == "Scale":
            layer.blobs[0].data[...] *= draws.uniform(0.5, 1.5, layer.blobs[0].shape)
            layer.blobs[1].data[...] = draws.normal(0, 0.2, layer.blobs[1].shape)
        net.forward_from_to(index, index)


def row(name: str, folder: str, rounds: int, seconds: float) -> dict[str, Any]:
    """The layers, times and errors of a net and what `merge_bn` makes of it."""
    path = Path(folder) / "before.prototxt"
    path.write_text(nets.prototxt(NETS[name], 1, False))
    before = Net(str(path), TEST)
    before.blobs["data"].data[...] = image = inputs.image(before.blobs["data"].shape)
    fill(before)
    weighted = before.to_proto()
    merged = merge_bn(str(path), weighted)
    after = Net(merged.net, TEST)
    after.copy_from(merged.weights, strict=True)
    after.blobs["data"].data[...] = image
    with Net(str(path), TEST, dtype=np.float64) as precise:
        precise.copy_from(weighted)
        precise.blobs["data"].data[...] = image
        exact = {key: values.copy() for key, values in precise.forward().items()}
    found = {
        key: {output: values.copy() for output, values in net.forward().items()}
        for key, net in (("before", before), ("after", after))
    }
    times: dict[str, list[float]] = {"before": [], "after": []}
    for _ in range(rounds):
        for key, net in (("before", before), ("after", after)):
            times[key] += measure.passes(net.forward, seconds, 3)
    return {
        "net": name,
        "layers": {"before": merged.layers_before, "after": len(merged.net.layer)},
        "median_ms": {key: 1e3 * measure.median(each) for key, each in times.items()},
        "error": {key: _error(each, exact) for key, each in found.items()},
    }


def _error(found: dict[str, Array], exact: dict[str, Array]) -> float:
    errors = (np.abs(found[key] - each).max() / np.abs(each).max() for key, each in exact.items())
    return float(max(errors))


def section(options: Options) -> Section:
    """Measure; returns the table."""
    rows = [
        isolated.call(
            "tools.bench.merged:row",
            threads=options.threads,
            name=name,
            folder=str(options.folder),
            rounds=options.rounds,
            seconds=SECONDS,
        )
        for name in NETS
    ]
    head = (
        "net",
        "layers",
        "merged",
        "fewer, %",
        "ms",
        "merged",
        "times faster",
        "error",
        "merged",
    )
    text = table(head, [_line(each) for each in rows])
    return Section("merged", "Merged normalisations", f"{text}\n\n{NOTES}", rows)


def _line(data: dict[str, Any]) -> list[str]:
    layers, times = data["layers"], data["median_ms"]
    return [
        data["net"],
        str(layers["before"]),
        str(layers["after"]),
        number(100 * (1 - layers["after"] / layers["before"])),
        number(times["before"]),
        number(times["after"]),
        f"{times['before'] / times['after']:.2f}",
        *(f"{error:.1e}" for error in data["error"].values()),
    ]
