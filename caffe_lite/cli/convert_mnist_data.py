"""Make a database of MNIST's image and label files, plain or gzipped, for Data layers."""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags

BACKENDS = ("lmdb", "leveldb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Caffe's arguments for convert_mnist_data."""
    parser.add_argument("images", metavar="IMAGES", help="a file ...-images-idx3-ubyte(.gz)")
    parser.add_argument("labels", metavar="LABELS", help="a file ...-labels-idx1-ubyte(.gz)")
    parser.add_argument("db", metavar="DB", help="the database to make; it must not exist")
    flags.add(
        parser,
        "backend",
        "the kind of database (default: lmdb)",
        choices=BACKENDS,
        default="lmdb",
    )


def run(args: argparse.Namespace) -> int:
    """Write the database and say how many records it has."""
    from caffe_lite.data import mnist

    count = mnist.convert(args.images, args.labels, args.db, args.backend)
    print(f"{args.db}: {count} images")
    return 0
