"""Draw a net as .svg or .png; .pdf and other formats require pydot and graphviz.

Layers are boxes, coloured by their type; blobs have cut corners.  An in-place layer (green) is
attached to its blob.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for draw_net."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument("picture", metavar="OUT", help="the picture; its suffix sets the format")
    flags.add(
        parser,
        "rankdir",
        "the direction of the net: LR (to the right), TB (down), BT (up), RL (default: LR)",
        choices=("LR", "TB", "BT", "RL"),
        default="LR",
    )
    flags.add(
        parser,
        "phase",
        "the layers to draw: of TRAIN, of TEST, or ALL (default: ALL)",
        choices=("TRAIN", "TEST", "ALL"),
        default="ALL",
    )
    flags.add_switch(parser, "display-lrm", "show learning rate multipliers")
    flags.add_unknown_fields(parser)


def run(args: argparse.Namespace) -> int:
    """Draw the net and print the file's name."""
    from caffe_lite import draw
    from caffe_lite.proto import caffe_pb2, files

    net = files.read_net(args.net)
    phase = None if args.phase == "ALL" else caffe_pb2.Phase.Value(args.phase)
    draw.draw_net_to_file(net, args.picture, args.rankdir, phase, args.display_lrm)
    say(f"{args.picture}: drawn")
    return 0
