"""Save blobs of a net, in phase TEST, for each image that its data layer reads.

BLOB and DB are names separated by commas, one DB for each BLOB.  A database has one Datum for each
image, with its values in float_data and the keys "%010d".  An HDF5 file has one dataset with the
blob's name and a row for each image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from caffe_lite.cli import UsageError, flags, ranks
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from caffe_lite.blob import Blob
    from caffe_lite.distributed import Group
    from caffe_lite.net.net import Net

    Array = npt.NDArray[np.float32]
    Sink = Callable[[Array], None]
    """Stores the features of a batch: one row, of any shape, for each image."""

TYPES = ("lmdb", "leveldb", "hdf5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for extract_features."""
    parser.add_argument("weights", metavar="WEIGHTS", help="the .caffemodel(.h5)")
    parser.add_argument("model", metavar="MODEL", help="the net prototxt, with its data layer")
    parser.add_argument("blobs", metavar="BLOB,..", help="the blobs to save")
    parser.add_argument(
        "databases", metavar="DB,..", help="the databases to make; they must not exist"
    )
    parser.add_argument(
        "batches", metavar="BATCHES", type=flags.positive, help="the number of batches to run"
    )
    parser.add_argument("type", metavar="TYPE", choices=TYPES, help="lmdb, leveldb or hdf5")
    parser.add_argument(
        "device", metavar="CPU|GPU", nargs="?", choices=("CPU", "GPU"), help="accepted: always CPU"
    )
    parser.add_argument("device_id", metavar="ID", nargs="?", type=flags.size, help="not used")
    flags.add_strict(parser)
    flags.add_permissions(parser)
    flags.add_memory_limit(parser)
    flags.add_log(parser)


def run(args: argparse.Namespace) -> int:
    """Run the batches, store the features and print their number."""
    blobs, databases = args.blobs.split(","), args.databases.split(",")
    if len(blobs) != len(databases):
        raise UsageError(f"{len(blobs)} blobs for {len(databases)} databases; give one for each")
    if len(set(databases)) < len(databases):
        raise UsageError("two blobs cannot be stored in one database; give one for each")
    from caffe_lite import modes
    from caffe_lite.cli import log
    from caffe_lite.data.db import refuse_existing
    from caffe_lite.net.net import Net
    from caffe_lite.proto import caffe_pb2

    log.start(max(args.minloglevel, 1))  # without the log of building the net
    if args.device == "GPU":
        modes.set_mode_gpu()
    group = ranks.gather(args.model, args.weights)
    for database in databases if group.is_root else ():
        refuse_existing(database)
    with (
        Net(args.model, caffe_pb2.TEST, **flags.permissions(args)) as net,
        ExitStack() as stack,
    ):
        net.copy_from(args.weights, args.strict)
        sources = [_blob(net, name, args.type) for name in blobs]
        net.freeze()
        net.share_memory(backward=False, keep=blobs)
        sinks = [
            stack.enter_context(_sink(database, args.type, name))
            for name, database in zip(blobs, databases, strict=True)
            if group.is_root
        ]
        count = _extract(net, group, sources, sinks, args.batches)
    for name, database in zip(blobs, databases, strict=True):
        say(f"{database}: {name} of {count} images")
    return 0


def _extract(
    net: Net, group: Group, sources: Sequence[Blob], sinks: Sequence[Sink], batches: int
) -> int:
    """Run the net and store the blobs; returns the number of images in the first blob.

    Of several ranks, rank 0 stores what all of them compute.
    """
    from caffe_lite.solver.divided import run_batches

    def features(loss: float) -> list[Array]:
        return [blob.data if blob.shape else blob.data.reshape(1) for blob in sources]

    count = 0
    for arrays in watch(run_batches(net, group, batches, features), batches, "batches"):
        for array, store in zip(arrays, sinks, strict=True):
            store(array)
        count += len(arrays[0])
    return count


def _blob(net: Net, name: str, kind: str) -> Blob:
    from caffe_lite.errors import NetError

    if name not in net.blobs:
        raise NetError(f'the net has no blob "{name}"; it has {", ".join(net.blobs)}')
    blob = net.blobs[name]
    if kind != "hdf5" and len(blob.shape) > 4:
        raise NetError(f'a Datum cannot store the blob "{name}" {blob.shape}; use hdf5')
    return blob


@contextmanager
def _sink(path: str, kind: str, name: str) -> Iterator[Sink]:
    """A new database or HDF5 file; it is created when the block ends without an error."""
    if kind == "hdf5":
        from caffe_lite.data.hdf5 import growing_dataset

        with growing_dataset(path, name) as append:
            yield append
        return
    from caffe_lite.data.datum import array_to_datum
    from caffe_lite.data.db import create_db

    with create_db(path, kind) as writer:

        def store(rows: Array) -> None:
            for row in rows.reshape(*rows.shape, *(1,) * (4 - rows.ndim)):
                writer.put(b"%010d" % writer.count, array_to_datum(row).SerializeToString())

        yield store
