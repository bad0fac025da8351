"""What classify, detect and segment share: the flags of a model of pictures, and their answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from caffe_lite.cli import UsageError, flags
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say

if TYPE_CHECKING:
    from caffe_lite.distributed import Group
    from caffe_lite.pictures.model import Model, Result
    from caffe_lite.pictures.records import Records
    from caffe_lite.pictures.sources import Picture

T = TypeVar("T")

USAGE = "-model NET -weights WEIGHTS [flags] PICTURE ..."

STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the net, of its preprocessing and of the answers' files."""
    flags.add(parser, "model", "the deploy prototxt", metavar="FILE")
    flags.add(parser, "weights", "the .caffemodel(.h5)", metavar="FILE")
    flags.add(
        parser,
        "mean",
        "the mean to subtract from values from 0 to 255: a number for each channel in the net's "
        "order, one for all, or a file .binaryproto or .npy (default: none)",
        type=_numbers_or_file,
        metavar="X,..|FILE",
    )
    flags.add(
        parser,
        "scale",
        "a factor after the mean, for all channels or for each (default: 1)",
        type=_numbers,
        metavar="X,..",
    )
    flags.add(
        parser,
        "resize",
        "resize pictures to this size, or until the shorter side has N pixels, then crop the "
        "centre to the net's input (default: resize to the input)",
        type=_one_or_two,
        metavar="H,W|N",
    )
    flags.add(
        parser,
        "input_size",
        "the size of the net's input, or any: that of each picture (default: the prototxt's)",
        type=_size_or_any,
        metavar="H,W|any",
    )
    flags.add(parser, "order", "the net's order of colours (default: BGR)", choices=("BGR", "RGB"))
    flags.add(
        parser,
        "labels",
        "the classes' names: a file with one on each line, or a label map of SSD (.prototxt)",
        metavar="FILE",
    )
    flags.add(
        parser,
        "batch",
        "how many pictures the net takes at a time (default: 8)",
        type=flags.positive,
    )
    for name, what in ("json", "JSON"), ("csv", "CSV"):
        flags.add(
            parser,
            name,
            f"write the answers as {what} to this file, or to stdout with -",
            metavar="FILE",
        )


OPTIONS = ("mean", "scale", "resize", "input_size", "order", "batch")
NAMES = ("weights", *OPTIONS, "labels", "json", "csv")
"""The flags of `add_arguments` but -model; all None if they are not given."""


def refuse(args: argparse.Namespace, defaults: dict[str, Any], why: str) -> None:
    """Raise UsageError if a flag of another form is given: one that has not its default."""
    for name, default in defaults.items():
        if getattr(args, name) != default:
            raise UsageError(f"-{name} {why}")


def load(args: argparse.Namespace) -> Model:
    """The model of the flags.  Raises UsageError if the weights are missing."""
    if not args.weights:
        raise UsageError("-weights is required")
    if args.json == STDOUT and args.csv == STDOUT:
        raise UsageError("-json and -csv cannot both go to stdout")
    from caffe_lite.pictures.model import load as load_model

    given = {name: getattr(args, name) for name in OPTIONS}
    settings = {name: value for name, value in given.items() if value is not None}
    return load_model(args.model, args.weights, strict=args.strict, **settings)


def pictures_of(words: Sequence[str]) -> list[Picture]:
    """The pictures that the words name: files, folders, patterns."""
    from caffe_lite.pictures import sources

    return [picture for word in words for picture in sources.files(word)]


def own(group: Group, model: Model, items: Sequence[T]) -> list[T]:
    """The part of a rank of the pictures, or of what there is one of for each picture.

    A rank takes whole batches, so that each picture is in a batch with those that one process
    takes with it.
    """
    from caffe_lite.distributed import dealt

    return list(dealt(group, items, model.batch))


def answer(
    args: argparse.Namespace,
    group: Group,
    model: Model,
    pictures: Sequence[Picture],
    records: Records,
    rows: Callable[[Result], Sequence[tuple[Any, ...]]],
) -> None:
    """Run the model on the pictures, and print or write their rows.

    Each rank of the group runs it on its own ones; rank 0 prints and writes.
    """
    from caffe_lite.distributed import in_order

    results = model.run([picture.name for picture in own(group, model, pictures)])
    answers = ((result.picture.name, result.frame.picture, rows(result)) for result in results)
    for each in watch(in_order(group, answers, model.batch), len(pictures), "pictures"):
        records.add(*each)
    if not group.is_root:
        return
    from caffe_lite.proto.files import write_text

    to_stdout = False
    for path, text in (args.json, records.to_json), (args.csv, records.to_csv):
        if path == STDOUT:
            print(_printable(text()), end="")
            to_stdout = True
        elif path:
            write_text(path, text())
    if not to_stdout:
        say(*records.to_lines())


def _printable(text: str) -> str:
    """The text with escapes in the place of control characters, but for line ends."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def _numbers(text: str) -> list[float]:
    """Parse numbers, separated by commas."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number nor several, separated by commas"
        ) from None


def _numbers_or_file(text: str) -> list[float] | str:
    try:
        return _numbers(text)
    except argparse.ArgumentTypeError:
        return text


def _one_or_two(text: str) -> int | list[int]:
    found = flags.sizes(text)
    if len(found) > 2 or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a size nor height,width")
    return found if len(found) == 2 else found[0]


def _size_or_any(text: str) -> str | list[int]:
    if text == "any":
        return text
    found = _one_or_two(text)
    return [found, found] if isinstance(found, int) else found
