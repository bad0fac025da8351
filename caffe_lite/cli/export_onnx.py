"""Write a net with its weights as an ONNX file, which ONNX Runtime and other programs run.

The inputs and outputs have the names of the blobs, and the height and width of the prototxt or of
-input-shape; the batch may be of any size if the net's layers allow it.  A layer that ONNX cannot
express, such as DetectionOutput, is named; -until cuts the net before it.  Needs the extra `onnx`.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import UsageError, flags, input_shapes
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three files, -until and -input-shape."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="its .caffemodel or .caffemodel.h5")
    parser.add_argument("onnx", metavar="ONNX", help="the file to write")
    flags.add(
        parser,
        "until",
        "the last layer to export; blobs that later layers would read become outputs",
        metavar="LAYER",
    )
    input_shapes.add(parser)
    flags.add_unknown_fields(parser)
    flags.add_memory_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file and describe it."""
    from caffe_lite.export import export_onnx
    from caffe_lite.net.net import Net
    from caffe_lite.phases import TEST
    from caffe_lite.proto import files

    source = files.read_net(args.net)
    given = input_shapes.of(args, source)
    with Net(source, TEST) as net:
        for name, shape in given.items():
            if name not in net.inputs:
                inputs = ", ".join(net.inputs) or "none"
                raise UsageError(f'-input-shape: "{name}" is no input of {args.net} ({inputs})')
            net.blobs[name].reshape(*shape)
        net.reshape()
        net.copy_from(args.weights).refuse_untrained()
        exported = export_onnx(net, args.onnx, until=args.until)
    say(f"{args.onnx}: {exported}")
    for kind, shapes in (("input", exported.inputs), ("output", exported.outputs)):
        for name, sizes in shapes.items():
            say(f"{kind} {name}: {' x '.join(map(str, sizes))}")
    return 0
