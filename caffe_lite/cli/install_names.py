"""Make Caffe's programs in a folder, under the names that shell scripts use.

Each is a small script that runs a command with this Python.  DIR gets caffe,
convert_imageset, ... for PATH, and build/tools, build/examples and
.build_release, with and without .bin, for scripts that run in DIR: it can be a
checkout of Caffe.  No file is replaced that this command has not made.

examples:
  caffe-lite install_names .
  ./examples/mnist/create_mnist.sh

  caffe-lite install_names ~/caffe-names
  PATH="$HOME/caffe-names:$PATH" caffe train -solver solver.prototxt
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
