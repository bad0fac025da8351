"""Draw a net as .svg, .png or .html; .pdf and other formats require pydot and graphviz.

Layers are boxes, coloured by their type; blobs have cut corners.  An in-place layer (green) is
attached to its blob.  An .html page has a search and zooms: for nets of hundreds of layers.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags, input_shapes
from caffe_lite.cli.streams import say
from caffe_lite.errors import CaffeError

UNKNOWN = ", without the shapes of its blobs: -shapes says why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for draw_net."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument("picture", metavar="OUT", help="the picture; its suffix sets the format")
    flags.add(
        parser,
        "rankdir",
        "the direction of the net: LR (to the right), TB (down), BT (up), RL (default: TB for a "
        "net of more than 16 layers, else LR)",
        choices=("LR", "TB", "BT", "RL"),
    )
    flags.add(
        parser,
        "phase",
        "the layers to draw: of TRAIN, of TEST, or ALL (default: ALL)",
        choices=("TRAIN", "TEST", "ALL"),
        default="ALL",
    )
    flags.add_switch(parser, "display-lrm", "show learning rate multipliers")
    flags.add_switch(parser, "shapes", "show the shapes of the blobs (default: if known)")
    parser.set_defaults(shapes=None)
    input_shapes.add(parser)
    flags.add_unknown_fields(parser)


def run(args: argparse.Namespace) -> int:
    """Draw the net and print the file's name."""
    from caffe_lite import draw
    from caffe_lite.proto import caffe_pb2, files

    net = files.read_net(args.net)
    phase = None if args.phase == "ALL" else caffe_pb2.Phase.Value(args.phase)
    rankdir = args.rankdir or draw.choose_rankdir(net, phase)
    shapes = None
    if args.shapes is not False:
        try:
            shapes = draw.blob_shapes(net, phase, input_shapes.of(args, net))
        except CaffeError:
            if args.shapes:
                raise
    draw.draw_net_to_file(net, args.picture, rankdir, phase, args.display_lrm, shapes=shapes)
    say(f"{args.picture}: drawn" + ("" if shapes or args.shapes is False else UNKNOWN))
    return 0
