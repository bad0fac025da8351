"""List the sizes of images, as DetectionOutput and DetectionEvaluate read them.

Each line of LIST begins with the name of an image; what follows on the line is ignored.  For each
image OUT gets a line "name height width", with the name without folder and ending, or the id that
-name_id_file gives it.  ROOT is a prefix of every file name; no slash is added.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of SSD's get_image_size."""
    parser.add_argument("root", metavar="ROOT/", help="a prefix of every file name")
    parser.add_argument("list", metavar="LIST", help="the list, a text file")
    parser.add_argument("out", metavar="OUT", help="the file to write")
    flags.add(
        parser,
        "name_id_file",
        'a file with a line "name id" for each image, whose ids are written',
        metavar="FILE",
    )
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the sizes and print their number."""
    from caffe_lite.data import image_sizes
    from caffe_lite.proto.files import write_text

    names = image_sizes.read_names(args.list)
    lines = image_sizes.lines(args.root, watch(names, len(names), "images"), args.name_id_file)
    write_text(args.out, "".join(lines))
    say(f"{args.out}: {len(names)} images")
    return 0
