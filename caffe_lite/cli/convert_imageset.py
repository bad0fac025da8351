"""Make a database of an image list, for Data layers.

Each line of LIST is a file name, a space and a whole number, the label.  The names are put behind
ROOT as they are, so ROOT ends with a slash.  An image that cannot be read is named and left out;
if at least one is stored, that is no error (exit code 0), as in Caffe.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from caffe_lite.cli import UsageError, flags
from caffe_lite.cli.progress import note, watch

SPELLINGS = ("jpg", "jpeg", "png", "bmp", "tif", "tiff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Caffe's arguments for convert_imageset."""
    parser.add_argument("root", metavar="ROOT/", help="put before every file name")
    parser.add_argument("list", metavar="LIST", help="the image list, a text file")
    parser.add_argument("db", metavar="DB", help="the database to make; it must not exist")
    flags.add_switch(parser, "gray", "decode in grey, to one channel")
    flags.add_switch(parser, "shuffle", "store the images in another order, which -seed decides")
    flags.add(parser, "seed", "of the order of -shuffle (default: 0)", type=flags.size, default=0)
    flags.add_backend(parser)
    for name in ("width", "height"):
        flags.add(
            parser,
            f"resize_{name}",
            f"the {name} to resize to (default: 0, as it is)",
            type=flags.size,
            default=0,
        )
    flags.add_switch(parser, "check_size", "refuse an image of another size than the first")
    flags.add_switch(
        parser,
        "encoded",
        "store files, not pixels; one that need not be resized as it is, even with -gray",
    )
    flags.add(
        parser,
        "encode_type",
        "what to encode as: jpg, png, bmp or tif (default: what each file's name says)",
        choices=SPELLINGS,
        metavar="TYPE",
    )
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the database; say how many images it has and how many were left out."""
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
    left_out = 0

    def stored() -> Iterator[tuple[bytes, bytes]]:
        nonlocal left_out
        for record in watch(imageset.records(items, settings), len(items), "images"):
            if record.problem:
                left_out += 1
                note(f"left out: {record.problem}")
            else:
                yield record.key, record.value
        if left_out == len(items):
            hint = "" if args.root.endswith("/") else f"; is {args.root}/ what is meant?"
            raise DataError(
                f"none of the {left_out} images could be stored; {args.db} is not made{hint}"
            )

    count = write_all(args.db, args.backend, stored())
    print(f"{args.db}: {count} images" + (f", {left_out} left out" if left_out else ""))
    return 0
