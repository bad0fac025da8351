"""Write a net with its weights as an ONNX file, which ONNX Runtime and other programs run.

The inputs and outputs have the names of the blobs, and the height and width of the prototxt; the
batch may be of any size if the net's layers allow it.  A layer that ONNX cannot express, such as
DetectionOutput, is named; -until cuts the net before it.  Needs the extra `onnx`.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three files and -until."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="its .caffemodel or .caffemodel.h5")
    parser.add_argument("onnx", metavar="ONNX", help="the file to write")
    flags.add(
        parser,
        "until",
        "the last layer to export; blobs that later layers would read become outputs",
        metavar="LAYER",
    )
    flags.add_unknown_fields(parser)
    flags.add_memory_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file and describe it."""
    from caffe_lite.export import export_onnx
    from caffe_lite.net.net import Net
    from caffe_lite.phases import TEST

    with Net(args.net, TEST) as net:
        net.copy_from(args.weights).refuse_untrained()
        exported = export_onnx(net, args.onnx, until=args.until)
    say(f"{args.onnx}: {exported}")
    for kind, shapes in (("input", exported.inputs), ("output", exported.outputs)):
        for name, shape in shapes.items():
            say(f"{kind} {name}: {' x '.join(map(str, shape))}")
    return 0
