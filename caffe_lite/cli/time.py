"""Time a net: each layer forward and backward, on its own data or whatever its inputs hold."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from caffe_lite import glog
from caffe_lite.cli import flags
from caffe_lite.cli.compilation import compilation

if TYPE_CHECKING:
    from caffe_lite.net.net import Net

_log = glog.logger("caffe_lite.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Caffe's flags for time."""
    flags.add(parser, "model", "the net prototxt", required=True)
    flags.add(
        parser, "iterations", "how many passes (default: 50)", type=flags.positive, default=50
    )
    flags.add_phase(parser, "TRAIN")
    flags.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Run forward and backward; log the averages in milliseconds."""
    flags.start_log(args)
    with flags.build_net(args) as net:
        _warm_up(net)
        _benchmark(net, args.iterations)
    return 0


def _warm_up(net: Net) -> None:
    """A first pass, in which kernels are compiled or loaded; not among the averages.

    Layer by layer, as what is measured: a whole pass would fuse some, and not load their kernels.
    """
    layers = range(len(net.layers))
    start = time.perf_counter()
    with compilation() as found:
        _log.info("Performing Forward")
        loss = sum(net.forward_from_to(index, index) for index in layers)
        _log.info("Initial loss: %g", loss)
        _log.info("Performing Backward")
        for index in reversed(layers):
            net.backward_from_to(index, index)
    rest = time.perf_counter() - start - found.seconds
    _log.info("Compilation: %g s for %d kernels.", found.seconds, found.kernels)
    _log.info("First forward-backward without it, not counted below: %g ms.", 1e3 * rest)


def _benchmark(net: Net, iterations: int) -> None:
    """Caffe's table."""
    _log.info("*** Benchmark begins ***")
    _log.info("Testing for %d iterations.", iterations)
    forward, backward = [0.0] * len(net.layers), [0.0] * len(net.layers)
    begin = time.perf_counter()
    for iteration in range(iterations):
        start = time.perf_counter()
        for index in range(len(net.layers)):
            forward[index] += _timed(net.forward_from_to, index)
        for index in reversed(range(len(net.layers))):
            backward[index] += _timed(net.backward_from_to, index)
        _log.info(
            "Iteration: %d forward-backward time: %g ms.",
            iteration + 1,
            1e3 * (time.perf_counter() - start),
        )
    total = time.perf_counter() - begin
    each = 1e3 / iterations
    _log.info("Average time per layer: ")
    for layer, ahead, back in zip(net.layers, forward, backward, strict=True):
        _log.info("%10s\tforward: %g ms.", layer.name, ahead * each)
        _log.info("%10s\tbackward: %g ms.", layer.name, back * each)
    _log.info("Average Forward pass: %g ms.", sum(forward) * each)
    _log.info("Average Backward pass: %g ms.", sum(backward) * each)
    _log.info("Average Forward-Backward: %g ms.", (sum(forward) + sum(backward)) * each)
    _log.info("Total Time: %g ms.", 1e3 * total)
    _log.info("*** Benchmark ends ***")


def _timed(run: Callable[[int, int], object], index: int) -> float:
    """Seconds that one layer takes."""
    start = time.perf_counter()
    run(index, index)
    return time.perf_counter() - start
