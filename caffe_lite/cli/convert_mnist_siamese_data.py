"""Make a database of pairs of MNIST images, for siamese nets.

Each record has two channels, two images drawn at random.  Its label is 1 if both show the same
digit, otherwise 0.  There are as many pairs as images.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for convert_mnist_siamese_data."""
    flags.add_mnist(parser)
    flags.add_backend(parser, default="leveldb")
    flags.add(
        parser, "seed", "the seed of the random pairs (default: 0)", type=flags.size, default=0
    )
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the database and print the number of its records."""
    from caffe_lite.data import mnist
    from caffe_lite.data.db import write_all

    images, labels = mnist.read(args.images, args.labels)
    pairs = mnist.siamese_records(images, labels, args.seed)
    count = write_all(args.db, args.backend, watch(pairs, len(images), "pairs"))
    say(f"{args.db}: {count} pairs")
    return 0
