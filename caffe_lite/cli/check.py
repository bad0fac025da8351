"""Say what is wrong or suspicious in a net, a solver and weights, without running them.

FILE is the prototxt of a net, or of a solver whose nets are then checked, too.  Each finding has
its place, what to do, and in brackets the id of its rule; docs/check.md lists the rules.  Data
need not be here.  The exit code is 1 if there are errors, 0 if there are only warnings and notes.
"""

from __future__ import annotations

import argparse
import os
import sys

from caffe_lite import __version__, glog
from caffe_lite.cli import UsageError, flags, input_shapes
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files, what to ignore, where to write, and the flags that select a state."""
    parser.add_argument("file", metavar="FILE", help="a net or solver prototxt")
    parser.add_argument(
        "weights", nargs="*", metavar="WEIGHTS", help="files .caffemodel or .caffemodel.h5"
    )
    flags.add_switch(parser, "strict", "exit with 1 for warnings, too")
    flags.add(
        parser,
        "ignore",
        "ids of rules to ignore, separated by commas; may be repeated",
        action="append",
        default=[],
        metavar="IDS",
    )
    flags.add(parser, "json", "a file to write the findings to, as JSON", metavar="FILE")
    flags.add(parser, "sarif", "a file to write the findings to, as SARIF 2.1.0", metavar="FILE")
    flags.add_switch(parser, "github", "print annotations for a workflow of GitHub's")
    input_shapes.add(parser)
    flags.add(
        parser,
        "phase",
        "check the net in this phase only: TRAIN or TEST (default: those it is made for)",
        choices=("TRAIN", "TEST"),
    )
    flags.add(parser, "level", "the net's level", type=int, default=0)
    flags.add(parser, "stage", "the net's stages, separated by commas", default="")
    flags.add_python_layers(parser)
    flags.add_unknown_fields(parser)
    flags.add_memory_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Check, print and write the findings; returns 1 if there are errors."""
    from caffe_lite.arguments import ArgumentError
    from caffe_lite.checking import check, writing
    from caffe_lite.checking.findings import Severity
    from caffe_lite.proto import caffe_pb2, files

    glog.init_log(stderr=False)  # what it would warn of is found
    ignored = [each for ids in args.ignore for each in ids.split(",") if each]
    if args.allow_unknown_fields:
        ignored.append("unknown-field")
    try:
        report = check(
            args.file,
            args.weights,
            phase=None if args.phase is None else caffe_pb2.Phase.Value(args.phase),
            level=args.level,
            stages=flags.stages(args),
            input_shapes=dict(args.input_shape),
            python_layers=args.allow_python_layers,
            ignore=ignored,
        )
    except ArgumentError as error:
        raise UsageError(str(error)) from None
    if args.github:
        say(*writing.as_annotations(report))
    else:
        colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print("\n".join(writing.text(report, colored)))
    if args.json:
        files.write_text(args.json, writing.as_json(report))
    if args.sarif:
        files.write_text(args.sarif, writing.as_sarif(report, __version__))
    worst = report.worst
    least = Severity.WARNING if args.strict else Severity.ERROR
    return int(worst is not None and worst >= least)
