"""Draw a net: .svg and .png by itself, .pdf and what else graphviz makes with pydot and graphviz.

Layers are boxes, coloured by their kind; blobs have cut corners.  A layer that works in place
(green) is attached to its blob.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Caffe's arguments for draw_net."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument("picture", metavar="OUT", help="the picture; its ending is its type")
    flags.add(
        parser,
        "rankdir",
        "where the net runs: LR (to the right), TB (down), BT (up), RL (default: LR)",
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


def run(args: argparse.Namespace) -> int:
    """Draw the net and say where."""
    from caffe_lite import draw
    from caffe_lite.proto import caffe_pb2, files

    net = files.read_net(args.net)
    phase = None if args.phase == "ALL" else caffe_pb2.Phase.Value(args.phase)
    draw.draw_net_to_file(net, args.picture, args.rankdir, phase, args.display_lrm)
    print(f"{args.picture}: drawn")
    return 0
