"""Make databases from CIFAR-10's binary files, for Data layers.

INPUT has data_batch_1.bin to data_batch_5.bin and test_batch.bin.  The databases are
OUTPUT/cifar10_train_TYPE and OUTPUT/cifar10_test_TYPE; their channels are red, green, blue.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from caffe_lite.cli import flags
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for convert_cifar_data."""
    parser.add_argument("input", metavar="INPUT", help="the folder of the .bin files")
    parser.add_argument("output", metavar="OUTPUT", help="the folder for the databases")
    parser.add_argument(
        "type", metavar="TYPE", choices=("lmdb", "leveldb"), help="lmdb or leveldb"
    )
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write both databases and print the number of their records."""
    from caffe_lite.data import cifar
    from caffe_lite.data.db import refuse_existing, write_all

    jobs = {"train": cifar.TRAIN_FILES, "test": (cifar.TEST_FILE,)}
    databases = {name: os.path.join(args.output, f"cifar10_{name}_{args.type}") for name in jobs}
    for database in databases.values():
        refuse_existing(database)

    def records(files: tuple[str, ...]) -> Iterator[tuple[bytes, bytes]]:
        count = 0
        for file in watch(files, len(files), "files"):
            images, labels = cifar.read_batch(os.path.join(args.input, file))
            yield from cifar.records(images, labels, count)
            count += len(images)

    for name, files in jobs.items():
        count = write_all(databases[name], args.type, records(files))
        say(f"{databases[name]}: {count} images")
    return 0
