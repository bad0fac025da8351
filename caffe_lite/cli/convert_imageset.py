"""Make a database from an image list, for Data layers.

Each line of LIST is a file name, a space and an integer label.  ROOT is a prefix of every file
name; no slash is added, so end it with one.  An image that cannot be read is reported and skipped.
As in Caffe, the exit code is 0 if at least one image is stored.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from caffe_lite.cli import UsageError, flags
from caffe_lite.cli.progress import note, watch
from caffe_lite.cli.streams import say

SPELLINGS = ("jpg", "jpeg", "png", "bmp", "tif", "tiff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for convert_imageset."""
    parser.add_argument("root", metavar="ROOT/", help="a prefix of every file name")
    parser.add_argument("list", metavar="LIST", help="the image list, a text file")
    parser.add_argument("db", metavar="DB", help="the database to make; it must not exist")
    flags.add_switch(parser, "gray", "decode in grey, to one channel")
    flags.add_switch(parser, "shuffle", "store the images in a random order")
    flags.add(parser, "seed", "the seed of -shuffle (default: 0)", type=flags.size, default=0)
    flags.add_backend(parser)
    for name in ("width", "height"):
        flags.add(
            parser,
            f"resize_{name}",
            f"the {name} to resize to (default: 0, unchanged)",
            type=flags.size,
            default=0,
        )
    flags.add_switch(parser, "check_size", "stop at an image whose size differs from the first")
    flags.add_switch(
        parser,
        "encoded",
        "store image files, not pixels; a file that is not resized is copied, even with -gray",
    )
    flags.add(
        parser,
        "encode_type",
        "the format to encode to: jpg, png, bmp or tif (default: the format in each file's name)",
        choices=SPELLINGS,
        metavar="TYPE",
    )
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the database; print the numbers of stored and skipped images."""
    if bool(args.resize_width) != bool(args.resize_height):
        raise UsageError("give both -resize_width and -resize_height, or neither")
    from caffe_lite.data import images, imageset
    from caffe_lite.data.db import refuse_existing, write_all
    from caffe_lite.errors import DataError

    refuse_existing(args.db)
    items = images.read_list(args.list)
    if args.shuffle:
        items = imageset.shuffled(items, args.seed)
    settings = imageset.Settings(
        root=args.root,
        gray=args.gray,
        height=args.resize_height,
        width=args.resize_width,
        encoding=args.encode_type or ("guess" if args.encoded else ""),
        same_size=args.check_size,
    )
    skipped = 0

    def stored() -> Iterator[tuple[bytes, bytes]]:
        nonlocal skipped
        for record in watch(imageset.records(items, settings), len(items), "images"):
            if record.problem:
                skipped += 1
                note(f"skipped: {record.problem}")
            else:
                yield record.key, record.value
        if skipped == len(items):
            hint = "" if args.root.endswith("/") else f"; did you mean {args.root}/?"
            raise DataError(
                f"none of the {skipped} images could be stored; {args.db} is not created{hint}"
            )

    count = write_all(args.db, args.backend, stored())
    say(f"{args.db}: {count} images" + (f", {skipped} skipped" if skipped else ""))
    return 0
