"""Make a database from MNIST's image and label files, plain or gzipped, for Data layers."""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for convert_mnist_data."""
    flags.add_mnist(parser)
    flags.add_backend(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the database and print the number of its records."""
    from caffe_lite.data import mnist
    from caffe_lite.data.db import write_all

    images, labels = mnist.read(args.images, args.labels)
    records = watch(mnist.records(images, labels), len(images), "images")
    count = write_all(args.db, args.backend, records)
    say(f"{args.db}: {count} images")
    return 0
