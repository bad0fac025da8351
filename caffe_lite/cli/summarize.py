"""Print one row for each layer of a net: type, top shape, parameters, multiply-adds, memory.

Needs no data and no weights.  Parameters are all values saved with the net.  Multiply-adds are
those of the convolutions and inner products in one forward pass of the batch.  Memory is that of
the layers' data; training takes about as much again for the gradients.
"""

from __future__ import annotations

import argparse
import os
import sys

from caffe_lite.cli import flags, input_shapes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for summarize, and those that select the net's state."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument(
        "-w",
        "-max-width",
        "--max-width",
        metavar="N",
        type=flags.positive,
        default=30,
        help="the greatest width of a column; longer texts are truncated (default: 30)",
    )
    input_shapes.add(parser)
    flags.add_phase(parser, "TRAIN")
    flags.add(parser, "level", "the net's level", type=int, default=0)
    flags.add(parser, "stage", "the net's stages, separated by commas", default="")
    flags.add_python_layers(parser)
    flags.add_unknown_fields(parser)
    flags.add_memory_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from caffe_lite.net.summary import summarize
    from caffe_lite.proto import caffe_pb2, files

    source = files.read_net(args.net)
    shapes = input_shapes.of(args, source)
    phase = caffe_pb2.Phase.Value(args.phase)
    stages = flags.stages(args)
    allowed = args.allow_python_layers
    summary = summarize(source, phase, args.level, stages, shapes, allowed)
    colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print("\n".join([*summary.table(args.max_width, colored), "", *summary.totals()]))
    return 0
