"""The flag -input-shape, for nets whose data are not here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from caffe_lite.cli import UsageError

if TYPE_CHECKING:
    from caffe_lite.proto.nodes import NetSource


def add(parser: argparse.ArgumentParser) -> None:
    """Add -input-shape."""
    parser.add_argument(
        "-input-shape",
        "--input-shape",
        "-input_shape",
        "--input_shape",
        metavar="[NAME=]N,C,H,W",
        action="append",
        default=[],
        type=_input_shape,
        help="the shape of an input or of a data layer's top; NAME defaults to the first",
    )


def of(args: argparse.Namespace, source: NetSource) -> dict[str, tuple[int, ...]]:
    """The shapes of the flag, by the names of blobs of the net."""
    shapes = {}
    for name, shape in args.input_shape:
        first = (top for node in source.nodes if not node.param.bottom for top in node.param.top)
        known = name or next(first, None)
        if known is None:
            raise UsageError(f"{args.net} has no inputs; remove -input-shape")
        shapes[known] = shape
    return shapes


def _input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """A name, empty if it is omitted, and a shape."""
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(map(int, sizes.replace("x", ",").split(",")))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not [NAME=]N,C,H,W")
    return name, shape
