"""Flags that several commands share, in the syntax of gflags: -name or --name."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from caffe_lite import glog, reading
from caffe_lite.cli import UsageError
from caffe_lite.cli.parser import Switch

if TYPE_CHECKING:
    from caffe_lite.cli.log import GlogHandler
    from caffe_lite.net.net import Net


_FLAG_FILE = re.compile(r"--?flagfile(=|$)")


def expand_files(words: Iterable[str], within: tuple[str, ...] = ()) -> list[str]:
    """The words, with each ``-flagfile=a,b`` replaced by the flags in these files.

    A flag file has one flag per line; empty lines and lines that begin with # are ignored.
    `within` are the flag files being expanded.
    """
    expanded: list[str] = []
    rest = iter(words)
    for word in rest:
        if not _FLAG_FILE.match(word):
            expanded.append(word)
            continue
        _, _, names = word.partition("=")
        for path in (names or next(rest, "")).split(","):
            if path in within:
                raise UsageError(f"the flag file {path} includes itself")
            expanded += expand_files(_flags_in(path), (*within, path))
    return expanded


def _flags_in(path: str) -> Iterator[str]:
    try:
        lines = [line.strip() for line in reading.read_text(path, "strict").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"cannot read the flag file {path or 'that -flagfile needs'}: {reason}"
        ) from None
    for line in lines:
        if line and not line.startswith("#"):
            yield from line.split(None, 1) if "=" not in line.split()[0] else [line]


def add(parser: argparse.ArgumentParser, name: str, meaning: str, **settings: object) -> None:
    """Add a flag that takes a value; the help shows N for a number."""
    if settings.get("type") in (int, positive, size):
        settings.setdefault("metavar", "N")
    parser.add_argument(f"-{name}", f"--{name}", help=meaning, **settings)  # type: ignore[arg-type]


def add_switch(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    """Add a flag that is on or off: -name, -noname, -name=true, -name=false."""
    field = name.replace("-", "_")
    spellings = dict.fromkeys((f"-{name}", f"--{name}", f"-{field}", f"--{field}"))
    parser.add_argument(*spellings, dest=field, action=Switch, help=meaning)
    parser.add_argument(
        f"-no{field}", f"--no{field}", dest=field, action="store_false", help=argparse.SUPPRESS
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the flags of all commands that build nets: state, device, log."""
    add(parser, "level", "the net's level", type=int)
    add(parser, "stage", "the net's stages, separated by commas", default="")
    add(parser, "gpu", "accepted, but has no effect: everything runs on the CPU")
    add_permissions(parser)
    add_memory_limit(parser)
    add_log(parser)


def add_memory_limit(parser: argparse.ArgumentParser) -> None:
    """Add -memory_limit, which `cli.main` heeds."""
    add(
        parser,
        "memory_limit",
        "the most memory that a net may take, such as 500MB or 1.5GiB (default: the machine's)",
        type=byte_size,
        metavar="SIZE",
    )


def add_permissions(parser: argparse.ArgumentParser) -> None:
    """Add -allow-python-layers, -allow-any-output and -allow-unknown-fields."""
    add_python_layers(parser)
    add_unknown_fields(parser)
    add_switch(
        parser,
        "allow-any-output",
        "allow layers to write files outside of the current folder, and to replace any file",
    )


def permissions(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a Net or Solver for the flags of `add_permissions`."""
    return {"python_layers": args.allow_python_layers, "any_output": args.allow_any_output}


def add_python_layers(parser: argparse.ArgumentParser) -> None:
    """Add -allow-python-layers."""
    add_switch(
        parser,
        "allow-python-layers",
        "allow layers of type Python to import and run the modules they name",
    )


def add_unknown_fields(parser: argparse.ArgumentParser) -> None:
    """Add -allow-unknown-fields, which `cli.main` heeds."""
    add_switch(
        parser,
        "allow-unknown-fields",
        "report fields that no known fork of Caffe has, and read the rest of the file",
    )


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add -strict."""
    add_switch(
        parser,
        "strict",
        "refuse weights for layers that the net lacks, and layers that the weights lack",
    )


def add_log(parser: argparse.ArgumentParser) -> None:
    """Add -minloglevel, -logtostderr and -alsologtostderr."""
    add(
        parser,
        "minloglevel",
        "the lowest level to log: 0 INFO, 1 WARNING, 2 ERROR",
        type=int,
        default=os.environ.get("GLOG_minloglevel") or 0,  # noqa: SIM112  (glog's own spelling)
    )
    for name in ("logtostderr", "alsologtostderr"):
        add_switch(parser, name, "accepted: the log always goes to stderr")


def accept_log(parser: argparse.ArgumentParser) -> None:
    """Accept and hide glog's flags in a command that writes no log."""
    for name in ("minloglevel", "logtostderr", "alsologtostderr"):
        parser.add_argument(f"-{name}", f"--{name}", nargs="?", help=argparse.SUPPRESS)


def add_mnist(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the commands that convert MNIST."""
    parser.add_argument("images", metavar="IMAGES", help="a file ...-images-idx3-ubyte(.gz)")
    parser.add_argument("labels", metavar="LABELS", help="a file ...-labels-idx1-ubyte(.gz)")
    parser.add_argument("db", metavar="DB", help="the database to make; it must not exist")


def add_backend(parser: argparse.ArgumentParser, default: str = "lmdb") -> None:
    """Add -backend."""
    add(
        parser,
        "backend",
        f"the kind of database (default: {default})",
        choices=("lmdb", "leveldb"),
        default=default,
    )


def add_imageset(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the commands that make a database of images."""
    add_switch(parser, "gray", "decode in grey, to one channel")
    add_switch(parser, "shuffle", "store the images in a random order")
    add(parser, "seed", "the seed of -shuffle (default: 0)", type=size, default=0)
    add_backend(parser)
    for name in ("width", "height"):
        add(
            parser,
            f"resize_{name}",
            f"the {name} to resize to (default: 0, unchanged)",
            type=size,
            default=0,
        )
    add_switch(parser, "check_size", "stop at an image whose size differs from the first")
    add_switch(
        parser,
        "encoded",
        "store image files, not pixels; a file that is not resized is copied, even with -gray",
    )
    add(
        parser,
        "encode_type",
        "the format to encode to: jpg, png, bmp or tif (default: the format in each file's name)",
        choices=("jpg", "jpeg", "png", "bmp", "tif", "tiff"),
        metavar="TYPE",
    )


def imageset_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of `data.imageset.Settings` for the flags of `add_imageset` and a ROOT."""
    if bool(args.resize_width) != bool(args.resize_height):
        raise UsageError("give both -resize_width and -resize_height, or neither")
    return {
        "root": args.root,
        "gray": args.gray,
        "height": args.resize_height,
        "width": args.resize_width,
        "encoding": args.encode_type or ("guess" if args.encoded else ""),
        "same_size": args.check_size,
    }


def add_phase(parser: argparse.ArgumentParser, default: str) -> None:
    """Add -phase."""
    add(
        parser,
        "phase",
        f"the phase to build the net in: TRAIN or TEST (default: {default})",
        choices=("TRAIN", "TEST"),
        default=default,
    )


def start_log(args: argparse.Namespace) -> GlogHandler:
    """Start the log at the level of the flags, and warn of a -gpu flag."""
    from caffe_lite.cli import log

    handler = log.start(args.minloglevel)
    if args.gpu is not None:
        from caffe_lite import modes

        modes.set_mode_gpu()
    else:
        glog.logger("caffe_lite.cli").info("Use CPU.")
    return handler


def stages(args: argparse.Namespace) -> list[str]:
    """The stages of -stage."""
    return [stage for stage in args.stage.split(",") if stage]


def build_net(args: argparse.Namespace) -> Net:
    """The net of the flags -model, -phase, -level and -stage."""
    from caffe_lite.net.net import Net
    from caffe_lite.proto import caffe_pb2

    return Net(
        args.model,
        caffe_pb2.Phase.Value(args.phase),
        args.level or 0,
        stages(args),
        **permissions(args),
    )


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return number


def size(text: str) -> int:
    """Parse an integer of at least 0."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 0")
    return number


_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_BYTE_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+) *([KMGT]?)(i?)B?", re.IGNORECASE | re.ASCII)


def byte_size(text: str) -> int:
    """Parse a number of bytes: 500MB, 2 GB, 1.5GiB, 100000."""
    match = _BYTE_SIZE.fullmatch(text.strip())
    if match and (match[2] or not match[3]):
        count = float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2].upper()]
        if 1 <= count < 2**63:
            return int(count)
    raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB, 2GB or 1.5GiB")


def sizes(text: str) -> list[int]:
    """Parse integers of at least 0, separated by commas."""
    return [size(word) for word in text.split(",")]
