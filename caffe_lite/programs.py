"""Running a Python program, or a module, inside of this process, as ``python`` would run it."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Sequence


def add_program(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which program is run, the last ones of a command line."""
    parser.add_argument("-m", dest="module", action="store_true", help="it is a module's name")
    parser.add_argument("program", help="a Python file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own arguments")


def run(program: str, arguments: Sequence[str], module: bool) -> None:
    """Run the Python file `program`, or the module of that name, with its own arguments."""
    sys.argv = [program, *arguments]
    if module:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    runpy.run_path(program, run_name="__main__")
