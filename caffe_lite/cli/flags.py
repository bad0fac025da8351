"""Flags that several commands share, spelt as Caffe's gflags: -name or --name."""

from __future__ import annotations

import argparse
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caffe_lite.cli.log import GlogHandler
    from caffe_lite.net.net import Net


def add(parser: argparse.ArgumentParser, name: str, meaning: str, **settings: object) -> None:
    """Add a flag that takes a value."""
    parser.add_argument(f"-{name}", f"--{name}", help=meaning, **settings)  # type: ignore[arg-type]


def add_switch(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    """Add a flag that is on or off: -name, -noname, -name=true, -name=false."""
    field = name.replace("-", "_")
    spellings = {f"-{name}", f"--{name}", f"-{field}", f"--{field}"}
    parser.add_argument(
        *sorted(spellings),
        dest=field,
        nargs="?",
        const=True,
        default=False,
        type=_truth,
        metavar="true|false",
        help=meaning,
    )
    parser.add_argument(
        f"-no{field}", f"--no{field}", dest=field, action="store_false", help=argparse.SUPPRESS
    )


def _truth(text: str) -> bool:
    """A gflags bool."""
    word = text.lower()
    if word in ("1", "t", "true", "y", "yes"):
        return True
    if word in ("0", "f", "false", "n", "no"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Flags of all commands that build nets: state, device, log."""
    add(parser, "level", "the net's level", type=int)
    add(parser, "stage", "the net's stages, separated by commas", default="")
    add(parser, "gpu", "accepted, and said to have no effect: this runs on the CPU")
    add_switch(
        parser,
        "allow-python-layers",
        "let layers of type Python import and run the modules they name",
    )
    add(
        parser,
        "minloglevel",
        "the least level that is logged: 0 INFO, 1 WARNING, 2 ERROR",
        type=int,
        default=os.environ.get("GLOG_minloglevel") or 0,  # noqa: SIM112  (glog's own spelling)
    )
    for name in ("logtostderr", "alsologtostderr"):
        add_switch(parser, name, "accepted: the log always goes to stderr")


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
    """Start the log as the flags ask, and answer a request for a GPU."""
    from caffe_lite.cli import log

    handler = log.start(args.minloglevel)
    if args.gpu is not None:
        from caffe_lite import modes

        modes.set_mode_gpu()
    else:
        logging.getLogger("caffe_lite.cli").info("Use CPU.")
    return handler


def stages(args: argparse.Namespace) -> list[str]:
    """The stages of -stage."""
    return [stage for stage in args.stage.split(",") if stage]


def build_net(args: argparse.Namespace) -> Net:
    """The net of -model, as -phase, -level and -stage say."""
    from caffe_lite.net.net import Net
    from caffe_lite.proto import caffe_pb2

    return Net(
        args.model,
        caffe_pb2.Phase.Value(args.phase),
        args.level or 0,
        stages(args),
        python_layers=args.allow_python_layers,
    )


def positive(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number
