"""No reader waits for a named pipe, opens a device, or reads without an end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caffe_lite import io, reading
from caffe_lite.cli import UsageError, flags
from caffe_lite.cli.detect import read_windows as read_csv
from caffe_lite.data import cifar, detections, images, mnist, npy, windows
from caffe_lite.data.db import open_db
from caffe_lite.data.hdf5 import Hdf5Rows, read_datasets
from caffe_lite.data.transformer import read_mean
from caffe_lite.errors import CaffeError
from caffe_lite.pictures.answers import read_lines
from caffe_lite.proto import files
from caffe_lite.training_log.parse import parse_log

posix = pytest.mark.skipif(os.name != "posix", reason="there are no such files")


def hdf5_list(path: str) -> object:
    return Hdf5Rows(path, ["x"], False, np.random.default_rng(1), np.float32)


READERS: dict[str, Callable[[str], object]] = {
    "prototxt": files.read_net,
    "solver": files.read_solver,
    "label map": detections.read_names,
    "caffemodel": files.read_weights,
    "solverstate": files.read_state,
    "binaryproto": read_mean,
    "npy": npy.read_array,
    "image": images.read,
    "image of pycaffe": io.load_image,
    "image list": images.read_list,
    "window file": windows.read_windows,
    "sizes": detections.read_pictures,
    "csv": read_csv,
    "HDF5": lambda path: read_datasets(path, ["x"], np.float32),
    "HDF5 list": hdf5_list,
    "MNIST": mnist.read_images,
    "CIFAR": cifar.read_batch,
    "lmdb": lambda path: open_db(path, "lmdb"),
    "log": parse_log,
    "labels": read_lines,
    "flags": lambda path: flags.expand_files([f"-flagfile={path}"]),
}


def named_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def endless(folder: Path) -> str:
    """A file of 4 EB, which takes no place on the disk."""
    with (folder / "sparse").open("wb") as file:
        try:
            file.truncate(1 << 43)
        except OSError:
            pytest.skip("this file system has no such files")
    return str(folder / "sparse")


def listening(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
    return str(folder / "s")


KINDS: dict[str, Callable[[Path], str]] = {
    "pipe": named_pipe,
    "device": lambda folder: "/dev/zero",
    "folder": str,
    "socket": listening,
    "endless": endless,
    "a NUL byte": lambda folder: "a\0b",
    "a surrogate": lambda folder: "\ud800",
    "missing": lambda folder: str(folder / "nothing"),
}


@posix
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, reader: str, kind: str
) -> None:
    path = KINDS[kind](tmp_path_factory.mktemp("x"))
    with pytest.raises((CaffeError, UsageError)) as error:
        READERS[reader](path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no such folder")
def test_a_pipe_that_the_shell_gives_is_read() -> None:
    program = "import sys; from caffe_lite.reading import read_text as r; print(r(sys.argv[1]))"
    for path in ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
        words = [sys.executable, "-c", program, path]
        answer = subprocess.run(
            words,
            input=b"a\r\nb",
            stdout=subprocess.PIPE,
            check=True,
            cwd=Path(__file__).parents[1],
        )
        assert answer.stdout == b"a\nb\n"


@posix
def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    assert reading.read_bytes(tmp_path / "a", 10) == bytes(10)
    with pytest.raises(OSError, match="over 0 MB"):
        reading.read_bytes(tmp_path / "a", 9)
    read, write = os.pipe()
    try:
        os.write(write, bytes(10))
        os.close(write)
        with pytest.raises(OSError, match="over 0 MB"):
            reading.read_bytes(f"/dev/fd/{read}", 9)
    finally:
        os.close(read)


@posix
def test_a_file_whose_place_a_pipe_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x")
    regular = os.stat(tmp_path / "a")
    path = named_pipe(tmp_path)
    monkeypatch.setattr(reading, "_status", lambda path: regular)
    with pytest.raises(OSError, match="a named pipe"):
        reading.open_regular(path)


@pytest.mark.parametrize(
    ("reader", "content", "says"),
    [
        ("image list", b"a.jpg %s\n" % (b"9" * 400), "an integer label"),
        ("image list", b"a.jpg 2147483648\n", "an integer label"),
        ("image list", b"a.jpg %s\n" % (b"9" * 5000), "an integer label"),
        ("sizes", b"a 300 %s\n" % (b"9" * 400), "is not"),
        ("sizes", b"a 300 %s\n" % (b"9" * 5000), "is not"),
        ("window file", b"# 0 a 3 4 5 1 1 0.5 1 2 %s 4\n" % (b"9" * 400), "x2 should be here"),
        ("log", b"I1129 10:00:00.1 7 s.cpp:1] Iteration 1, loss = 1..2\n" * 2, None),
        ("log", b"I1129 10:00:00.1 7 s:1] Iteration 1\nI1129 10:00:00.1 7 s:1] TraIn net output "
         b"#0: a = 1\n", None),
        ("npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4",  "is not an .npy file"),
        ("npy", b"PK\x03\x04", "is not an .npy file"),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit(
    tmp_path: Path, reader: str, content: bytes, says: str | None
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    if says is None:
        READERS[reader](str(path))
        return
    with pytest.raises(CaffeError, match=says) as error:
        READERS[reader](str(path))
    assert len(str(error.value)) < 400


def test_what_gzip_unpacks_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr(reading, "LARGEST_TEXT", 1000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(1001)))
    with pytest.raises(CaffeError, match="it unpacks to more than"):
        mnist.read_images(str(tmp_path / "a.gz"))
