"""The flags that pycaffe's classify and detect share: the net, and the preprocessing of images."""

from __future__ import annotations

import argparse
from typing import Any

from caffe_lite.cli import UsageError, flags

DEFAULTS: dict[str, Any] = {
    "model_def": None,
    "pretrained_model": None,
    "mean_file": None,
    "input_scale": None,
    "raw_scale": 255.0,
    "channel_swap": [2, 1, 0],
}
"""The flags, but -gpu, that `add_arguments` adds, with their defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add -model_def, -pretrained_model and the flags of preprocessing."""
    flags.add(parser, "model_def", "the deploy prototxt", metavar="FILE")
    flags.add(parser, "pretrained_model", "the .caffemodel(.h5)", metavar="FILE")
    flags.add_strict(parser)
    flags.add_switch(parser, "gpu", "accepted, but has no effect: everything runs on the CPU")
    flags.add(
        parser,
        "mean_file",
        "the mean to subtract, .npy or .binaryproto (default: none)",
        metavar="FILE",
    )
    flags.add(
        parser,
        "input_scale",
        "a factor for the net's input, applied after the mean",
        type=float,
        metavar="X",
    )
    flags.add(
        parser,
        "raw_scale",
        "a factor for pixels from 0 to 1, applied before the mean (default: 255)",
        type=float,
        default=DEFAULTS["raw_scale"],
        metavar="X",
    )
    flags.add(
        parser,
        "channel_swap",
        "the order of the net's channels (default: 2,1,0: blue, green, red)",
        type=flags.sizes,
        default=DEFAULTS["channel_swap"],
        metavar="I,..",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a Classifier or Detector.  Raises UsageError if the net is missing."""
    for name in ("model_def", "pretrained_model"):
        if not getattr(args, name):
            raise UsageError(f"-{name} is required")
    if args.gpu:
        from caffe_lite import modes

        modes.set_mode_gpu()
    from caffe_lite.data.mean import read_mean

    return {
        "model_file": args.model_def,
        "pretrained_file": args.pretrained_model,
        "mean": read_mean(args.mean_file) if args.mean_file else None,
        "input_scale": args.input_scale,
        "raw_scale": args.raw_scale,
        "channel_swap": args.channel_swap,
        "strict": args.strict,
    }
