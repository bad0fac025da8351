"""Name the class of each pixel of pictures: the class with the highest score in the net's output.

Prints how much of each picture each class covers.  With -output, draws the classes' colours on
each picture, and saves the classes themselves beside it as NAME.labels.png, with the palette of
PASCAL VOC.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from caffe_lite.cli import UsageError, flags, pictures, ranks

if TYPE_CHECKING:
    from caffe_lite.pictures.model import Result

USAGES = (pictures.USAGE,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a model, and those of the drawings."""
    parser.add_argument(
        "pictures", metavar="PICTURE", nargs="+", help="a file, a folder, or a pattern in quotes"
    )
    pictures.add_arguments(parser)
    flags.add(parser, "blob", "the output with the scores, of a net that has several")
    flags.add(parser, "output", "the folder to draw the pictures to", metavar="FOLDER")
    flags.add(
        parser,
        "opacity",
        "the share of the classes' colours, from 0 to 1 (default: 0.5)",
        type=float,
        default=0.5,
        metavar="X",
    )
    flags.add_strict(parser)
    flags.add_memory_limit(parser)
    flags.add_unknown_fields(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Segment the pictures."""
    if not args.model:
        raise UsageError("-model is required")
    if not 0 <= args.opacity <= 1:
        raise UsageError(f"-opacity must be from 0 to 1, not {args.opacity:g}")
    group = ranks.gather(args.model, args.weights, args.labels)
    with pictures.load(args) as model:
        from caffe_lite.pictures import answers, drawing, records

        found = pictures.pictures_of(args.pictures)
        names = answers.read_labels(args.labels)
        segment = model.segmenter(args.blob)
        files: Iterator[tuple[str, str]] = iter(())
        if args.output:
            drawn, plain = (
                drawing.targets(found, args.output, ending) for ending in ("", ".labels")
            )
            files = iter(pictures.own(group, model, list(zip(drawn, plain, strict=True))))

        def rows(result: Result) -> list[tuple[Any, ...]]:
            labels = segment(result)
            if args.output:
                drawing.make_folder(args.output)
                image = drawing.draw_labels(result.picture.name, labels, opacity=args.opacity)
                overlay, plain = next(files)
                drawing.save(image, overlay)
                drawing.save(drawing.label_image(labels), plain)
            return records.region_rows(labels, names)

        table = records.Records("regions", records.REGIONS)
        pictures.answer(args, group, model, found, table, rows)
    return 0
