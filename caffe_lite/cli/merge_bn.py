"""Fold batch normalisations into the weights, for a net that is only used, not trained further.

BatchNorm, BN, Scale, Bias and a Power that is a line go into the convolution, deconvolution or
inner product before or behind them; Dropout and copies are left out.  What cannot be folded
exactly stays.  The new net gives the same results, has a quarter to a half fewer layers, and is
for the phase TEST only.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter

from caffe_lite.cli import UsageError, flags
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the scripts of this name."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="its .caffemodel or .caffemodel.h5")
    parser.add_argument("out_net", metavar="OUT_NET", help="the prototxt to write")
    parser.add_argument("out_weights", metavar="OUT_WEIGHTS", help="the .caffemodel to write")
    flags.add_python_layers(parser)
    flags.add_unknown_fields(parser)
    flags.add_memory_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Write both files and describe them."""
    from caffe_lite.folding import merge_bn
    from caffe_lite.proto import files, text

    if os.path.realpath(args.out_net) == os.path.realpath(args.out_weights):
        raise UsageError("OUT_NET and OUT_WEIGHTS are the same file")
    merged = merge_bn(args.net, args.weights, python_layers=args.allow_python_layers)
    files.write_message(args.out_weights, merged.weights)
    files.write_text(args.out_net, text.format(merged.net))
    counts = Counter(kind for _, kind in merged.removed)
    removed = ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none"
    say(
        f"{args.out_net}: {len(merged.net.layer)} layers of {merged.layers_before}; "
        f"merged or left out: {removed}"
    )
    say(f"{args.out_weights}: the weights")
    return 0
