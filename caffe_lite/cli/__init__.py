"""The command ``caffe-lite``: Caffe's commands, flags and log lines.

Each command is a module of this folder with `add_arguments(parser)` and `run(args) -> int`; it
imports what computes only inside `run`, so that help is quick.

Exit codes: 0 done, 1 an error in the input (one line says where), 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from caffe_lite import __version__

COMMANDS: dict[str, str] = {
    "train": "train or fine-tune a net, or resume its training",
    "test": "score a net with its weights",
    "time": "time each layer of a net, forward and backward",
    "convert_mnist_data": "make a database of MNIST's image and label files",
}
"""Every command, with what it does in a few words."""


class UsageError(Exception):
    """Flags that parse but make no sense together; `main` prints the usage and exits with 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``caffe-lite`` with these arguments, or the process's own; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "-help", "--help"):
        print(_help(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] in ("-version", "--version"):
        print(f"caffe-lite {__version__}")
        return 0
    command = next((word for word in words if word in COMMANDS), None)
    if command is None:
        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; one of {', '.join(COMMANDS)}"
        print(f"caffe-lite: there is no command {words[0]}{hint}", file=sys.stderr)
        return 2
    words.remove(command)  # flags may stand before the command, as with Caffe
    return _run(command, words)


def _run(command: str, words: list[str]) -> int:
    module = importlib.import_module(f"caffe_lite.cli.{command}")
    parser = argparse.ArgumentParser(
        prog=f"caffe-lite {command}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    from caffe_lite.errors import CaffeError

    try:
        return int(module.run(args))
    except UsageError as error:
        parser.print_usage(sys.stderr)
        return _fail(f"{parser.prog}: {error}", 2)
    except CaffeError as error:
        return _fail(str(error), 1)
    except MemoryError as error:
        detail = str(error) or "a smaller batch needs less"
        return _fail(f"out of memory: {detail}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # whoever read our output has gone; Python would complain once more when it flushes
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 1


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: caffe-lite COMMAND [flags]",
            "",
            "Reads, runs and trains Caffe models.  Flags are Caffe's: -solver x, --solver x,",
            "-solver=x and --solver=x all mean the same.",
            "",
            "commands:",
            *lines,
            "",
            "caffe-lite COMMAND --help lists its flags; caffe-lite --version prints the version.",
        ]
    )
