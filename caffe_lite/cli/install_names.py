"""Make Caffe's programs in a folder, under the names that shell scripts use.

Each is a script for the POSIX shell that runs a command with this Python.  DIR itself gets caffe,
convert_imageset and so on, for PATH.  DIR/build/tools and DIR/build/examples get the same, also
with .bin, for scripts that run in DIR, as those of a checkout of Caffe do; .build_release is
another name of build.  Files that this command has not made are replaced only with -force.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, and -force."""
    parser.add_argument("folder", metavar="DIR", help="the folder; it is made if it is missing")
    flags.add_switch(parser, "force", "replace any file in the place of a program")


def run(args: argparse.Namespace) -> int:
    """Make the programs and print their number."""
    from caffe_lite import launchers

    made = launchers.install(args.folder, args.force)
    say(f"{args.folder}: {len(made)} programs")
    return 0
