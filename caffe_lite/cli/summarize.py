"""Print one row for each layer of a net: type, top shape, parameters, multiply-adds, memory.

Needs no data and no weights.  Parameters are all values saved with the net.  Multiply-adds are
those of the convolutions and inner products in one forward pass of the batch.  Memory is that of
the layers' data; training takes about as much again for the gradients.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from caffe_lite.cli import UsageError, flags
from caffe_lite.errors import one_line

if TYPE_CHECKING:
    from caffe_lite.summary import Row, Summary

HEADER = ("layer", "type", "top shape", "parameters", "multiply-adds", "memory")
RIGHT_ALIGNED_FROM = 3
"""The first of the columns that are aligned to the right."""
COLORS = {
    "convolution": "31",
    "depthwise convolution": "31",
    "inner product": "35",
    "pooling": "33",
}
"""The terminal colours closest to those of draw_net."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for summarize, and those that select the net's state."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument(
        "-w",
        "-max-width",
        "--max-width",
        metavar="N",
        type=flags.positive,
        default=30,
        help="the greatest width of a column; longer texts are truncated (default: 30)",
    )
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
    flags.add_phase(parser, "TRAIN")
    flags.add(parser, "level", "the net's level", type=int, default=0)
    flags.add(parser, "stage", "the net's stages, separated by commas", default="")
    flags.add_python_layers(parser)
    flags.add_unknown_fields(parser)
    flags.add_memory_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from caffe_lite.proto import caffe_pb2, files
    from caffe_lite.summary import summarize

    source = files.read_net(args.net)
    shapes = {}
    for name, shape in args.input_shape:
        first = (top for node in source.nodes if not node.param.bottom for top in node.param.top)
        known = name or next(first, None)
        if known is None:
            raise UsageError(f"{args.net} has no inputs; remove -input-shape")
        shapes[known] = shape
    phase = caffe_pb2.Phase.Value(args.phase)
    stages = flags.stages(args)
    allowed = args.allow_python_layers
    summary = summarize(source, phase, args.level, stages, shapes, allowed)
    colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print("\n".join(table(summary, args.max_width, colored)))
    print(totals(summary))
    return 0


def table(summary: Summary, max_width: int, colored: bool) -> list[str]:
    """The lines of the table, with columns as narrow as possible."""
    cells = [_cut(HEADER, max_width), *(_cut(_cells(row), max_width) for row in summary.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    styles = ["1", *(COLORS.get(row.kind, "") for row in summary.rows)]
    lines = []
    for row, style in zip(cells, styles, strict=True):
        texts = [
            cell.ljust(width) if column < RIGHT_ALIGNED_FROM else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(texts).rstrip()
        lines.append(f"\033[{style}m{line}\033[0m" if colored and style else line)
    return lines


def totals(summary: Summary) -> str:
    """The totals, and the multiply-adds for one item."""
    from caffe_lite.summary import ITEM_SIZE, count_text

    items = summary.items
    batch = f"a batch of {items}" if items != 1 else "one item"
    lines = [
        "",
        f"parameters:    {summary.parameters:,} ({count_text(summary.parameters)}), "
        f"{_bytes(ITEM_SIZE * summary.parameters)}",
        f"multiply-adds: {summary.multiply_adds:,} ({count_text(summary.multiply_adds)}) "
        f"for {batch}",
        f"memory:        {_bytes(summary.memory)} for the data of {batch}",
    ]
    if items > 1:
        lines[2] += f", {count_text(summary.multiply_adds / items)} for each item"
    if summary.unknown:
        layers = f"{len(summary.unknown)} layer{'s' if len(summary.unknown) > 1 else ''}"
        lines.append(
            f"not counted:   {layers} of types that are not here, or with bottoms of unknown shape"
        )
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    from caffe_lite.summary import shape_text

    parameters = f"{row.parameters:,}" if row.parameters else "-"
    unknown = "-" if row.is_known else "?"
    if row.shared:
        parameters = f"{row.shared:,} shared"
    return (
        one_line(row.name),
        one_line(row.type),
        ", ".join(map(shape_text, row.shapes)) or "-",
        parameters if row.is_known else "?",
        f"{row.multiply_adds:,}" if row.multiply_adds else unknown,
        _bytes(row.memory) if row.memory else unknown,
    )


def _cut(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    return tuple(cell if len(cell) <= width else cell[: width - 1] + "…" for cell in cells)


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.1f} {unit}"


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
