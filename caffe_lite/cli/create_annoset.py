"""Make a database of images with boxes, for AnnotatedData layers.

Each line of LIST has the names of an image and of its annotations: an XML of PASCAL VOC, a JSON
of COCO (of one image, or of the whole set), or a text file with a line "label xmin ymin xmax ymax"
for each object.  With -anno_type classification it is an image list, as of convert_imageset.  ROOT
is a prefix of every file name; no slash is added, so end it with one.  An image that cannot be
read is reported and skipped; one whose annotations are missing is reported and has no boxes.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import UsageError, flags
from caffe_lite.cli.progress import watch
from caffe_lite.cli.skipping import Skips
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of SSD's convert_annoset."""
    parser.add_argument("root", metavar="ROOT/", help="a prefix of every file name")
    parser.add_argument("list", metavar="LIST", help="the list, a text file")
    parser.add_argument("db", metavar="DB", help="the database to make; it must not exist")
    flags.add(
        parser,
        "anno_type",
        "what is annotated (default: classification)",
        choices=("classification", "detection"),
        default="classification",
    )
    flags.add(
        parser,
        "label_type",
        "the kind of annotations (default: xml)",
        choices=("xml", "json", "txt"),
        default="xml",
    )
    flags.add(
        parser, "label_map_file", "the label map of the names; not needed for txt", metavar="FILE"
    )
    flags.add_switch(parser, "check_label", "accepted: a label map is always checked")
    for name, side in (("min", "shorter"), ("max", "longer")):
        flags.add(
            parser,
            f"{name}_dim",
            f"the {name}imum of the {side} side, with the aspect kept (default: 0, none)",
            type=flags.size,
            default=0,
        )
    flags.add_imageset(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the database; print the numbers of stored and skipped images."""
    detection = args.anno_type == "detection"
    if detection and not args.label_map_file and args.label_type != "txt":
        raise UsageError("give -label_map_file, the labels of the names in the annotations")
    from caffe_lite.data import annoset, imageset
    from caffe_lite.data.db import refuse_existing, write_all

    settings = imageset.Settings(
        **flags.imageset_settings(args), min_dim=args.min_dim, max_dim=args.max_dim
    )
    refuse_existing(args.db)
    if detection:
        records, total = annoset.of_boxes(
            args.list, settings, args.label_type, args.label_map_file, _seed(args)
        )
    else:
        records, total = annoset.of_labels(args.list, settings, _seed(args))
    skips = Skips(args, total)
    made = skips.stored(watch(records, total, "images"))
    count = write_all(args.db, args.backend, made)
    say(f"{args.db}: {count} images" + (f", {skips.count} skipped" if skips.count else ""))
    return 0


def _seed(args: argparse.Namespace) -> int | None:
    return args.seed if args.shuffle else None
