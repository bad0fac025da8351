"""The command ``caffe-lite``: Caffe's commands, flags and log lines.

Each command is a module in this folder with `add_arguments(parser)` and `run(args) -> int`, and
has a line in `GROUPS`.  It imports the computing modules only inside `run`, so that its help is
fast.  A module that serves several commands distinguishes them by `args.command`.  A module's
`USAGES`, if defined, replaces the usage line.  Its examples are in `examples`.

Exit codes: 0 success, 1 an error in the input (described in one line), 2 wrong usage, 130 Ctrl-C,
143 SIGTERM.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from caffe_lite import __version__, mpirun
from caffe_lite.cli import interrupt, streams
from caffe_lite.cli.examples import EXAMPLES
from caffe_lite.cli.parser import Parser

GROUPS: dict[str, dict[str, str]] = {
    "train and score": {
        "train": "train or fine-tune a net, or resume its training",
        "test": "score a net with its weights",
        "time": "time each layer of a net, forward and backward",
        "compile": "compile the kernels of nets before their first run",
    },
    "inspect nets and logs": {
        "check": "say what is wrong in a net, solver or weights",
        "summarize": "list the layers: shapes, parameters, operations",
        "draw_net": "draw a net",
        "parse_log": "make tables from a training log",
        "extract_seconds": "list the seconds of each iteration in a log",
        "plot_training_log": "plot the loss, accuracy or learning rate in logs",
    },
    "use a trained net": {
        "classify": "classify pictures, or save all their scores",
        "detect": "draw boxes around what is found, or score windows",
        "segment": "name and colour the class of each pixel",
        "extract_features": "save blobs of a net for each image",
        "merge_bn": "fold normalisations into the weights",
        "export_onnx": "write a net for ONNX Runtime and other programs",
    },
    "create and average databases": {
        "convert_imageset": "make a database from an image list",
        "create_annoset": "make a database of images with boxes",
        "create_label_map": "make a label map from a list of classes",
        "get_image_size": "list the sizes of images, for DetectionOutput",
        "convert_mnist_data": "make a database from MNIST's image and label files",
        "convert_mnist_siamese_data": "make a database of pairs of MNIST images",
        "convert_cifar_data": "make databases from CIFAR-10's binary files",
        "compute_image_mean": "compute the mean image of a database",
    },
    "upgrade old files": {
        "upgrade_net_proto_text": "rewrite an old net prototxt in the current schema",
        "upgrade_net_proto_binary": "rewrite an old caffemodel in the current schema",
        "upgrade_solver_proto_text": "rewrite an old solver in the current schema",
    },
    "this machine": {
        "device_query": "describe the processor and its threads",
        "completion": "print the shell code that completes commands",
        "install_names": "make programs with Caffe's names, for scripts",
    },
}
"""The commands and their descriptions, in the groups shown by the help."""

COMMANDS: dict[str, str] = {
    name: what for commands in GROUPS.values() for name, what in commands.items()
}
"""The commands and their descriptions."""

MODULES: dict[str, str] = {
    "upgrade_net_proto_text": "upgrade",
    "upgrade_net_proto_binary": "upgrade",
    "upgrade_solver_proto_text": "upgrade",
}
"""The module of a command, where it differs from the command's name."""

REPLACED: dict[str, str] = {
    "train_net": "train -solver SOLVER [-snapshot STATE]",
    "finetune_net": "train -solver SOLVER -weights WEIGHTS",
    "test_net": "test -model NET -weights WEIGHTS [-iterations N]",
    "net_speed_benchmark": "time -model NET [-iterations N]",
}
"""Programs of older versions of Caffe, with the commands that replace them."""


class UsageError(Exception):
    """Flags that are valid but contradict each other; `main` prints the usage and exits with 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``caffe-lite`` with `argv` (default: the process's arguments); returns the exit code."""
    streams.prepare()
    if mpirun.launched() > 1:
        return _ended_together(argv)
    return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    if "_ARGCOMPLETE" in os.environ:  # called by a shell for completion
        from caffe_lite.cli import completion

        completion.answer()
    code = _reported(lambda: _dispatch(list(sys.argv[1:] if argv is None else argv)))
    failure = streams.settle()
    if failure is None or isinstance(failure, BrokenPipeError):  # a reader that has gone knows
        return 1 if failure and not code else code
    return _fail(f"cannot write the output: {failure.strerror or failure}", code or 1)


def _ended_together(argv: Sequence[str] | None) -> int:
    """`_main` on one of several ranks: where it fails, it ends all of them."""
    from caffe_lite.distributed import ending

    try:
        code = _main(argv)
    except Exception:
        if ending.may_speak():
            sys.excepthook(*sys.exc_info())
        ending.end(1)
    if code:
        ending.end(code)
    return code


def _dispatch(words: list[str]) -> int:
    """Run the command that the words name, or print help."""
    if not words or words[0] in ("-h", "-help", "--help", "help"):
        return _help(words[1:], requested=bool(words))
    if {"-version", "--version"} & set(words):
        print(f"caffe-lite {__version__}")
        return 0
    index, command = _find_command(words)
    if command in REPLACED:
        return _fail(f"{command} is replaced by: caffe-lite {REPLACED[command]}", 1)
    if command not in COMMANDS:
        return _unknown(words)
    del words[index]  # flags may precede the command, as in Caffe
    return _run(command, words)


def parser_of(command: str) -> tuple[Parser, ModuleType]:
    """The parser of a command's flags, and the module that runs it."""
    module = importlib.import_module(f"caffe_lite.cli.{MODULES.get(command, command)}")
    usages, examples = getattr(module, "USAGES", ()), EXAMPLES.get(command, ())
    parser = Parser(f"caffe-lite {command}", module.__doc__, usages, examples)
    parser.set_defaults(command=command)
    module.add_arguments(parser)
    return parser, module


def _find_command(words: list[str]) -> tuple[int, str]:
    """The index and name of the command, which may follow flags; (0, "") if there is none.

    Dashes in its name count as underscores.
    """
    for index, word in enumerate(words):
        name = word if word.startswith("-") else word.replace("-", "_")
        if name in COMMANDS or name in REPLACED:
            return index, name
        if index == 0 and not word.startswith("-"):
            break
    return 0, ""


def _run(command: str, words: list[str]) -> int:

    try:
        with interrupt.Watch():
            from caffe_lite.cli import flags

            parser, module = parser_of(command)
            args = parser.parse(flags.expand_files(words))
            unknown_fields = getattr(args, "allow_unknown_fields", False)
            with _limited(getattr(args, "memory_limit", None)), _allowing(unknown_fields):
                return int(module.run(args))
    except UsageError as error:
        parser.leave_to_rank_0()
        parser.print_usage(sys.stderr)
        return _fail(f"{parser.prog}: {error}", 2)


def _reported(act: Callable[[], int]) -> int:
    """The exit code of `act`; what it raises for the input or the system becomes one line."""
    from caffe_lite.errors import CaffeError

    try:
        return act()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except CaffeError as error:
        return _fail(str(error), 1)
    except MemoryError as error:
        detail = str(error) or "use a smaller batch"
        return _fail(f"out of memory: {detail}", 1)
    except RecursionError:
        return _fail("the input is nested too deeply", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of the output has exited
        streams.discard(sys.stdout)
        streams.discard(sys.stderr)
        return 1
    except OSError as error:
        file = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return _fail(f"{file}{error.strerror or error}", 1)
    except UnicodeError as error:
        return _fail(f"text that is not UTF-8: {error}", 1)
    except Exception as error:
        from caffe_lite.layers.python import raised_by_user

        message = raised_by_user(error)
        if message is None:
            raise
        return _fail(message, 1)


@contextmanager
def _limited(memory: int | None) -> Iterator[None]:
    """Let no net take more bytes than that, if it is given."""
    if memory is None:
        yield
        return
    from caffe_lite import limits

    before = limits.memory_limit()
    limits.set_memory_limit(memory)
    try:
        yield
    finally:
        limits.set_memory_limit(before)


@contextmanager
def _allowing(unknown_fields: bool) -> Iterator[None]:
    """Let every prototxt have fields that the schema does not know, if so."""
    if not unknown_fields:
        yield
        return
    from caffe_lite.proto import private_fields

    private_fields.allow_unknown_fields()
    try:
        yield
    finally:
        private_fields.allow_unknown_fields(False)


def _fail(message: str, code: int) -> int:
    if mpirun.launched() > 1:
        from caffe_lite.distributed import ending

        if code > 128 or not ending.may_speak():  # a signal is for all ranks
            return code
    streams.complain(message)
    return code


def _unknown(words: list[str]) -> int:
    for word in words if words[0].startswith("-") else words[:1]:  # flags may precede the command
        near = difflib.get_close_matches(word.replace("-", "_"), COMMANDS, n=1)
        if near and not word.startswith("-"):
            return _fail(f"caffe-lite: there is no command {word}; did you mean {near[0]}?", 2)
    if words[0].startswith("-"):
        return _fail(f"caffe-lite: no command given; {_HELP_HINT}", 2)
    return _fail(f"caffe-lite: there is no command {words[0]}; {_HELP_HINT}", 2)


_HELP_HINT = "caffe-lite --help lists all commands"


def _help(words: list[str], requested: bool) -> int:
    """Print the help of the command in `words`, or the list of commands.

    The list goes to stderr unless it was requested.
    """
    if words and words[0] in COMMANDS:
        return _run(words[0], ["--help"])
    print(_overview(), file=sys.stdout if requested else sys.stderr)
    return 0 if requested else 2


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
            "-solver=x and --solver=x are equivalent; -flagfile=x reads flags from a file.",
            *lines,
            "",
            "caffe-lite COMMAND --help lists its flags and shows an example;",
            "caffe-lite --version prints the version.",
        ]
    )
