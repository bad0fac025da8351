"""Make a database from an image list, for Data layers.

Each line of LIST is a file name, a space and an integer label.  ROOT is a prefix of every file
name; no slash is added, so end it with one.  An image that cannot be read is reported and skipped.
As in Caffe, the exit code is 0 if at least one image is stored.
"""

from __future__ import annotations

import argparse
from collections import deque

from caffe_lite.cli import flags, ranks
from caffe_lite.cli.progress import watch
from caffe_lite.cli.skipping import Skips
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for convert_imageset."""
    parser.add_argument("root", metavar="ROOT/", help="a prefix of every file name")
    parser.add_argument("list", metavar="LIST", help="the image list, a text file")
    parser.add_argument("db", metavar="DB", help="the database to make; it must not exist")
    flags.add_imageset(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the database; print the numbers of stored and skipped images."""
    from caffe_lite.data import images, imageset
    from caffe_lite.data.db import refuse_existing, write_all

    group = ranks.gather(args.list)
    if group.is_root:
        refuse_existing(args.db)
    items = images.read_list(args.list)
    if args.shuffle:
        items = imageset.shuffled(items, args.seed)
    settings = imageset.Settings(**flags.imageset_settings(args))
    records = imageset.records(items, settings, group)
    if not group.is_root:
        deque(records, 0)  # they come at rank 0
        return 0
    skips = Skips(args, len(items))
    made = skips.stored(watch(records, len(items), "images"))
    count = write_all(args.db, args.backend, made)
    say(f"{args.db}: {count} images" + (f", {skips.count} skipped" if skips.count else ""))
    return 0
