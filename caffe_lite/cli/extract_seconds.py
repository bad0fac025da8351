"""Write the seconds since the start of training, for each log line that names an iteration."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for extract_seconds."""
    parser.add_argument("log", metavar="IN", help="a log of caffe-lite train, or of Caffe")
    parser.add_argument("seconds", metavar="OUT", help="the file to write, a number on each line")


def run(args: argparse.Namespace) -> int:
    """Write the seconds."""
    from caffe_lite import training_log

    seconds = training_log.seconds_of_iterations(args.log)
    training_log.write_text(args.seconds, "".join(f"{each:f}\n" for each in seconds))
    return 0
