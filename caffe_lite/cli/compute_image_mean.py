"""Compute the mean image of a database.

Prints the mean of each channel, for mean_value, and writes the mean image to OUT, for mean_file.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for compute_image_mean."""
    parser.add_argument("db", metavar="DB", help="the database, or a list of them")
    parser.add_argument("out", metavar="OUT", nargs="?", help="the .binaryproto to write")
    flags.add_backend(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the mean image, if OUT is given, and print the mean of each channel."""
    from caffe_lite.data import mean
    from caffe_lite.data.db import open_db
    from caffe_lite.errors import DataError
    from caffe_lite.proto.files import write_message

    with open_db(args.db, args.backend) as cursor:
        try:
            image = mean.mean_image(watch(cursor, cursor.count, "images"))
        except DataError as error:
            raise DataError(f'"{args.db}": {error.message}') from None
    if args.out:
        write_message(args.out, mean.mean_blob(image))
    say(f"Number of channels: {len(image)}")
    for channel, value in enumerate(mean.channel_means(image)):
        say(f"mean_value channel [{channel}]: {value:g}")
    return 0
