"""The flags that pycaffe's classify and detect share: the net, and the preprocessing of images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from caffe_lite.cli import UsageError, flags

LARGEST_ARRAY = 1 << 33  # bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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
        default=255.0,
        metavar="X",
    )
    flags.add(
        parser,
        "channel_swap",
        "the order of the net's channels (default: 2,1,0: blue, green, red)",
        type=flags.sizes,
        default=[2, 1, 0],
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
    return {
        "model_file": args.model_def,
        "pretrained_file": args.pretrained_model,
        "mean": read_mean(args.mean_file) if args.mean_file else None,
        "input_scale": args.input_scale,
        "raw_scale": args.raw_scale,
        "channel_swap": args.channel_swap,
        "strict": args.strict,
    }


def read_mean(path: str) -> npt.NDArray[np.float32]:
    """The mean in an .npy or .binaryproto file: (channels, height, width) or (channels,)."""
    from caffe_lite.data import transformer

    return read_array(path) if path.endswith(".npy") else transformer.read_mean(path)


def read_array(path: str) -> npt.NDArray[Any]:
    """The array in an .npy file.  Raises DataError for any other file."""
    import io

    import numpy as np

    from caffe_lite import reading
    from caffe_lite.errors import DataError

    try:
        content = reading.read_bytes(path, LARGEST_ARRAY)
    except OSError as error:
        raise DataError(f'cannot read "{path}": {error.strerror}') from None
    try:
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:  # its header is Python, and read as such: every kind is possible
        array = None
    if array is None or array.dtype.kind not in "fiu":
        raise DataError(f'"{path}" is not an .npy file of a numeric array')
    return array
