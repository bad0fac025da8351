"""Score a net: run its TEST phase on its data; log each batch, then the means."""

from __future__ import annotations

import argparse

from caffe_lite import glog
from caffe_lite.cli import flags, ranks

_log = glog.logger("caffe_lite.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's flags for test."""
    flags.add(parser, "model", "the net prototxt", required=True)
    flags.add(parser, "weights", "the .caffemodel(.h5) to score", required=True)
    flags.add_strict(parser)
    flags.add(
        parser,
        "iterations",
        "the number of batches (default: 50)",
        type=flags.positive,
        default=50,
    )
    flags.add_phase(parser, "TEST")
    flags.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Run the batches and log the means."""
    flags.start_log(args)
    from caffe_lite.solver.divided import run_batches
    from caffe_lite.solver.report import Means, Output

    group = ranks.gather(args.model, args.weights)
    with flags.build_net(args) as net:
        net.copy_from(args.weights, args.strict)
        net.freeze()
        net.share_memory(backward=False)
        _log.info("Running for %d iterations.", args.iterations)
        means, loss = Means(), 0.0

        def result(its_loss: float) -> tuple[float, list[Output]]:
            return its_loss, means.read(net)

        results = run_batches(net, group, args.iterations, result)
        for batch, (its_loss, found) in enumerate(results):
            loss += its_loss
            means.add(found)
            for output in found:
                _log.info("Batch %d, %s = %g", batch, output.name, output.value)
        _log.info("Loss: %g", loss / args.iterations)
        for output in means.means():
            _log.info("%s", output)
    return 0
