"""LMDB and LevelDB, MNIST's and CIFAR-10's files."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from caffe_lite.data import cifar, mnist
from caffe_lite.data.datum import array_to_datum, datum_to_array, parse
from caffe_lite.data.db import open_db, write_all
from tools.fuzz.mutate import bytes_mutation
from tools.fuzz.targets import Files, Target
from tools.fuzz.targets.messages import datums


def _databases(backend: str) -> list[Files]:
    rng = np.random.default_rng(2)
    pixels = array_to_datum(rng.integers(0, 255, (3, 40, 50), np.uint8), 1).SerializeToString()
    small = [(b"%08d" % index, record) for index, record in enumerate(datums() * 20)]
    large = [(b"%08d_some/long name.jpg" % index, pixels) for index in range(9)]
    return [_database(backend, records) for records in (small[:2], small, large)]


def _database(backend: str, records: list[tuple[bytes, bytes]]) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "db"
        write_all(str(database), backend, records)
        return {
            f"db/{path.name}": path.read_bytes()
            for path in database.iterdir()
            if path.name not in ("LOCK", "LOG", "LOG.old", "lock.mdb")
        }


def page_mutation(rng: Random, content: bytes, others: Any = ()) -> bytes:
    """Bytes, most of the time those of a page's header and of its table of records."""
    if rng.random() < 0.3 or len(content) < 4096:
        return bytes_mutation(rng, content, others)
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 4))):
        start = rng.randrange(len(data) // 4096) * 4096
        at = start + rng.choice((0, 8, 10, 12, 14, 16, 24, 32, 40, rng.randrange(160)))
        size = rng.choice((1, 2, 4, 8))
        value = rng.choice((0, 1, 2, 4, 8, 16, 255, 4095, 2**31, 2**64 - 1, rng.getrandbits(16)))
        data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data)


def _read(backend: str) -> None:
    with open_db("db", backend) as cursor:
        for _, value in cursor:
            datum = parse(value)
            if not datum.encoded:
                datum_to_array(datum)


def _mnist() -> list[Files]:
    pixels = np.random.default_rng(6).integers(0, 255, (3, 4, 5), np.uint8)
    plain = {
        "images": np.array([2051, 3, 4, 5], ">u4").tobytes() + pixels.tobytes(),
        "labels": np.array([2049, 3], ">u4").tobytes() + bytes([7, 2, 1]),
    }
    packed = {name: gzip.compress(content, mtime=0) for name, content in plain.items()}
    return [plain, packed] * 8 + [{**plain, "images": _bomb(300)}]


def _bomb(megabytes: int) -> bytes:
    """A gzipped IDX file of so many megabytes of zeros, made without taking that memory."""
    packer = zlib.compressobj(1, wbits=31)
    head = packer.compress(np.array([2051, megabytes, 1000, 1000], ">u4").tobytes())
    return (
        head + b"".join(packer.compress(bytes(10**6)) for _ in range(megabytes)) + packer.flush()
    )


def _read_mnist() -> None:
    pixels, classes = mnist.read("images", "labels")
    if len(pixels) < 100:
        list(mnist.records(pixels, classes))
        list(mnist.siamese_records(pixels, classes))


def _read_cifar() -> None:
    list(cifar.records(*cifar.read_batch("data_batch_1.bin")))


LEVELDB_FILES = ("db/LOCK", "db/LOG", "db/LOG.old")

TARGETS = [
    Target(
        "lmdb",
        lambda: _databases("lmdb"),
        lambda: _read("lmdb"),
        page_mutation,
        left_by_library=("db/lock.mdb",),
        isolated=True,
    ),
    Target(
        "leveldb",
        lambda: _databases("leveldb"),
        lambda: _read("leveldb"),
        left_by_library=LEVELDB_FILES,
        rewrites=True,
        isolated=True,
    ),
    Target("mnist", _mnist, _read_mnist, megabytes=200),
    Target(
        "cifar",
        lambda: [{"data_batch_1.bin": bytes(range(256)) * 36 + bytes(3)}],
        _read_cifar,
    ),
]
