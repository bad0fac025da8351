"""The command ``caffe-lite``: Caffe's commands, flags and log lines.

Each command is a module of this folder with `add_arguments(parser)` and `run(args) -> int`; it
imports what computes only inside `run`, so that help is quick.  A module that serves several
commands tells them apart by `args.command`; `USAGES`, if it has them, are the lines of its usage.

Exit codes: 0 done, 1 an error in the input (one line says where), 2 wrong usage, 130 Ctrl-C, 143
SIGTERM.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType

from caffe_lite import __version__
from caffe_lite.cli.parser import Parser

GROUPS: dict[str, dict[str, str]] = {
    "train and score": {
        "train": "train or fine-tune a net, or resume its training",
        "test": "score a net with its weights",
        "time": "time each layer of a net, forward and backward",
        "compile": "compile the kernels that nets need, ahead of their first run",
    },
    "look at nets and logs": {
        "summarize": "list each layer's shape, parameters, multiply-adds and memory",
        "draw_net": "draw a net",
        "parse_log": "make tables of a training's log",
        "extract_seconds": "list the seconds at which a log names iterations",
        "plot_training_log": "plot loss, accuracy or learning rate of logs",
    },
    "use a trained net": {
        "classify": "name what is in an image, or save the scores of many",
        "detect": "score windows of images, as R-CNN does",
        "extract_features": "save what blobs of a net hold for each image",
    },
    "make and measure databases": {
        "convert_imageset": "make a database of an image list",
        "convert_mnist_data": "make a database of MNIST's image and label files",
        "convert_mnist_siamese_data": "make a database of pairs of MNIST's images",
        "convert_cifar_data": "make databases of CIFAR-10's binary files",
        "compute_image_mean": "average the images of a database",
    },
    "bring old files up to date": {
        "upgrade_net_proto_text": "rewrite an old net prototxt in today's schema",
        "upgrade_net_proto_binary": "rewrite an old caffemodel in today's schema",
        "upgrade_solver_proto_text": "rewrite an old solver prototxt in today's schema",
    },
    "this machine": {
        "device_query": "say what computes here: processor, vector width, threads",
        "completion": "print what makes a shell complete commands and flags",
    },
}
"""Every command, with what it does in a few words, in the groups that the help shows."""

COMMANDS: dict[str, str] = {
    name: what for commands in GROUPS.values() for name, what in commands.items()
}
"""Every command, with what it does in a few words."""

MODULES: dict[str, str] = {
    "upgrade_net_proto_text": "upgrade",
    "upgrade_net_proto_binary": "upgrade",
    "upgrade_solver_proto_text": "upgrade",
}
"""The module of a command, where it is not the command's own name."""

REPLACED: dict[str, str] = {
    "train_net": "train -solver SOLVER [-snapshot STATE]",
    "finetune_net": "train -solver SOLVER -weights WEIGHTS",
    "test_net": "test -model NET -weights WEIGHTS [-iterations N]",
    "net_speed_benchmark": "time -model NET [-iterations N]",
}
"""Programs of older Caffes, with the command that does their work now."""


class UsageError(Exception):
    """Flags that parse but make no sense together; `main` prints the usage and exits with 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``caffe-lite`` with these arguments, or the process's own; returns the exit code."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        from caffe_lite.cli import completion

        completion.answer()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever a file is called can be printed
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "-help", "--help", "help"):
        return _help(words[1:], asked=bool(words))
    if {"-version", "--version"} & set(words):
        print(f"caffe-lite {__version__}")
        return 0
    at, command = _find_command(words)
    if command in REPLACED:
        return _fail(f"{command} is replaced by: caffe-lite {REPLACED[command]}", 1)
    if command not in COMMANDS:
        return _unknown(words[0])
    del words[at]  # flags may stand before the command, as with Caffe
    return _run(command, words)


def parser_of(command: str) -> tuple[Parser, ModuleType]:
    """The parser of a command's flags, and the module that runs it."""
    module = importlib.import_module(f"caffe_lite.cli.{MODULES.get(command, command)}")
    parser = Parser(f"caffe-lite {command}", module.__doc__, usages=getattr(module, "USAGES", ()))
    parser.set_defaults(command=command)
    module.add_arguments(parser)
    return parser, module


def _find_command(words: list[str]) -> tuple[int, str]:
    """Where the command stands, first or behind flags, and which it is; "" if there is none.

    Dashes in its name count as underscores.
    """
    for at, word in enumerate(words):
        name = word if word.startswith("-") else word.replace("-", "_")
        if name in COMMANDS or name in REPLACED:
            return at, name
        if at == 0 and not word.startswith("-"):
            break
    return 0, ""


def _run(command: str, words: list[str]) -> int:
    parser, module = parser_of(command)
    from caffe_lite.cli import flags
    from caffe_lite.errors import CaffeError

    try:
        with _terminable():
            args = parser.parse(flags.expand_files(words))
            return int(module.run(args))
    except SystemExit as stop:
        return int(stop.code or 0)
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
    except OSError as error:
        what = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return _fail(f"{what}{error.strerror or error}", 1)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the program, so that what is half written is taken away."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def _unknown(word: str) -> int:
    if word.startswith("-"):
        return _fail(f"caffe-lite: no command among the words; {_WHERE_HELP_IS}", 2)
    near = difflib.get_close_matches(word.replace("-", "_"), COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else _WHERE_HELP_IS
    return _fail(f"caffe-lite: there is no command {word}; {hint}", 2)


_WHERE_HELP_IS = "caffe-lite --help lists all commands"


def _help(words: list[str], asked: bool) -> int:
    """Print the help: of a command that is named, or the list of all, to stderr if not asked."""
    if words and words[0] in COMMANDS:
        return _run(words[0], ["--help"])
    print(_overview(), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = []
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<{width}}  {what}" for name, what in commands.items()]
    return "\n".join(
        [
            "usage: caffe-lite COMMAND [flags]",
            "",
            "Reads, runs and trains Caffe models.  Flags are Caffe's: -solver x, --solver x,",
            "-solver=x and --solver=x all mean the same, and -flagfile=x reads flags from a file.",
            *lines,
            "",
            "caffe-lite COMMAND --help lists its flags; caffe-lite --version prints the version.",
        ]
    )
