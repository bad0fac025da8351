"""Make a label map from a list of classes.

Each line of CLASSES is a name; a name and a name to show; or a name, a label and a name to show.
Without labels the classes are numbered from 0, or from 1 with -include_background.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import UsageError, flags
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of SSD's create_label_map."""
    parser.add_argument("classes", metavar="CLASSES", help="the list of classes, a text file")
    parser.add_argument("out", metavar="OUT", help="the label map to write, a prototxt")
    flags.add_switch(
        parser, "include_background", 'begin with a class 0, "none_of_the_above", for background'
    )
    flags.add(
        parser,
        "delimiter",
        "what separates the fields of a line (default: a space)",
        default=" ",
        metavar="TEXT",
    )
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the label map and print the number of its classes."""
    if not args.delimiter:
        raise UsageError("-delimiter must not be empty")
    from caffe_lite.data import label_map
    from caffe_lite.proto import text
    from caffe_lite.proto.files import write_text

    made = label_map.create(args.classes, args.delimiter, args.include_background)
    write_text(args.out, text.format(made))
    say(f"{args.out}: {len(made.item)} classes")
    return 0
