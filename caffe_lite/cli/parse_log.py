"""Make tables from a training log: OUTDIR/LOG.train and OUTDIR/LOG.test.

Their columns are NumIters, Seconds since the start, LearningRate, and the outputs of the nets.
"""

from __future__ import annotations

import argparse
import os

from caffe_lite.cli import flags
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for parse_log."""
    parser.add_argument("log", metavar="LOG", help="a log of caffe-lite train, or of Caffe")
    parser.add_argument("folder", metavar="OUTDIR", help="the folder for the two tables")
    flags.add_switch(parser, "verbose", "name the files written")
    flags.add(
        parser,
        "delimiter",
        "the separator of columns (default: a comma)",
        type=_delimiter,
        default=",",
    )


def run(args: argparse.Namespace) -> int:
    """Write the tables; report a table that has no rows and is not written."""
    from caffe_lite import training_log

    log = training_log.parse_log(args.log)
    for name, rows in (("train", log.train), ("test", log.test)):
        path = os.path.join(args.folder, f"{os.path.basename(args.log)}.{name}")
        if rows:
            training_log.write_text(path, training_log.to_csv(rows, args.delimiter))
            if args.verbose:
                say(f"{path}: {len(rows)} rows")
        else:
            say(f"{path}: not written, there are no outputs of a {name} net in the log")
    return 0


def _delimiter(text: str) -> str:
    """Parse one character, or a backslash and t for a tab."""
    letter = text.replace("\\t", "\t")
    if len(letter) != 1 or letter in '\r\n"':
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one character that can separate columns"
        )
    return letter
