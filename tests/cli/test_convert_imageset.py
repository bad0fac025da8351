"""convert_imageset: the records of Caffe's own databases, and what is left out or refused."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2
from tests.project import GOLDEN, copy_golden

DATA = GOLDEN / "data"
FILES = [line.split()[0] for line in (DATA / "list.txt").read_text().splitlines()]


def records(path: str | Path) -> list[tuple[bytes, caffe_pb2.Datum]]:
    """The records of an LMDB, read without the package."""
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return [
            (bytes(key), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()
        ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: images/ and list.txt, without any database."""
    copy_golden("data/images", tmp_path / "images")
    shutil.copy(DATA / "list.txt", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> int:
    return cli.main(["convert_imageset", *words])


def left(folder: Path) -> set[str]:
    """What is in the folder besides what was there."""
    return {path.name for path in folder.iterdir()} - {"images", "list.txt"}


def test_the_records_are_byte_for_byte_caffe_s(folder, capsys):
    copy_golden("data/lmdb_64x48", folder / "wanted")
    size = ("-resize_width=64", "--resize_height", "48")
    assert run(*size, "images/", "list.txt", "db") == 0
    assert capsys.readouterr() == ("db: 8 images\n", "")
    for (key, got), (wanted_key, wanted) in zip(records("db"), records("wanted"), strict=True):
        assert key == wanted_key
        assert got.SerializeToString() == wanted.SerializeToString()


def test_grey_into_leveldb_as_caffe_does_it(folder):
    plyvel = pytest.importorskip("plyvel")
    copy_golden("data/leveldb_gray40", folder / "wanted")
    size = ("-resize_width", "40", "-resize_height", "40")
    assert run("--gray", "-backend", "leveldb", *size, "images/", "list.txt", "db") == 0
    with closing(plyvel.DB("db")) as got, closing(plyvel.DB("wanted")) as wanted:
        assert list(got) == list(wanted)


def test_encoded_png_has_caffe_s_pixels(folder):
    cv2 = pytest.importorskip("cv2")
    copy_golden("data/lmdb_encoded_png50", folder / "wanted")
    size = ("-resize_width", "50", "-resize_height", "50")
    assert run("-encoded", "-encode_type", "png", *size, "images/", "list.txt", "db") == 0
    for (key, got), (wanted_key, wanted) in zip(records("db"), records("wanted"), strict=True):
        assert (key, got.encoded, got.label) == (wanted_key, True, wanted.label)
        assert not got.HasField("channels")
        assert got.data.startswith(b"\x89PNG")
        pixels = [cv2.imdecode(np.frombuffer(datum.data, np.uint8), -1) for datum in (got, wanted)]
        np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize("gray", [(), ("--gray",)])
def test_encoded_alone_stores_the_files_as_they_are(folder, gray):
    assert run("--encoded", *gray, "images/", "list.txt", "db") == 0
    for (_, datum), file in zip(records("db"), FILES, strict=True):
        assert datum.encoded
        assert datum.data == (folder / "images" / file).read_bytes()


def test_jpeg_is_encoded_as_by_opencv(folder):
    cv2 = pytest.importorskip("cv2")
    assert run("-encode_type=jpg", "images/", "list.txt", "db") == 0
    for (_, datum), file in zip(records("db"), FILES, strict=True):
        content = (folder / "images" / file).read_bytes()
        if file.endswith(".jpg"):
            assert datum.data == content
        else:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), 1)
            wanted = cv2.imdecode(cv2.imencode(".jpg", image)[1], 1)
            got = cv2.imdecode(np.frombuffer(datum.data, np.uint8), 1)
            assert np.abs(got.astype(int) - wanted).max() <= 2


def test_raw_pixels_are_those_of_opencv(folder):
    cv2 = pytest.importorskip("cv2")
    assert run("images/", "list.txt", "db") == 0
    for (_, datum), file in zip(records("db"), FILES, strict=True):
        wanted = cv2.imread(str(folder / "images" / file), 1).transpose(2, 0, 1)
        assert (datum.channels, datum.height, datum.width) == wanted.shape
        assert datum.data == wanted.tobytes()


def test_shuffle_keeps_labels_and_is_decided_by_its_seed(folder):
    labels = dict(line.split() for line in (folder / "list.txt").read_text().splitlines())
    orders = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run("--shuffle", "images/", "list.txt", name, "-seed", seed) == 0
        got = [(key.decode().partition("_")[2], datum.label) for key, datum in records(name)]
        assert [key[:8] for key, _ in records(name)] == [b"%08d" % i for i in range(8)]
        assert {file: str(label) for file, label in got} == labels
        orders.append([file for file, _ in got])
    assert orders[0] == orders[1] != orders[2]
    assert FILES not in orders


def test_bad_images_are_named_and_left_out(folder, capsys):
    (folder / "images" / "cut.jpg").write_bytes((folder / "images" / FILES[1]).read_bytes()[:500])
    (folder / "images" / "a b.png").write_bytes((folder / "images" / "cat.png").read_bytes())
    (folder / "list.txt").write_text("cat.png 4\nnowhere.png 1\ncut.jpg 2\na b.png 3\n")
    assert run("images/", "list.txt", "db") == 0
    out, err = capsys.readouterr()
    assert out == "db: 2 images, 2 skipped\n"
    lines = err.splitlines()
    assert len(lines) == 2
    assert (
        lines[0]
        == 'skipped: cannot read the image "images/nowhere.png": No such file or directory'
    )
    assert lines[1].startswith('skipped: "images/cut.jpg": not an image that can be decoded')
    assert [(key, datum.label) for key, datum in records("db")] == [
        (b"00000000_cat.png", 4),
        (b"00000003_a b.png", 3),
    ]


def test_only_bad_images_make_no_database(folder, capsys):
    (folder / "list.txt").write_text("x 1\ny 2\n")
    assert run("images/", "list.txt", "db") == 1
    assert capsys.readouterr().err.endswith(
        "none of the 2 images could be stored; db is not created\n"
    )
    assert left(folder) == set()


def test_an_image_that_cannot_be_encoded_is_left_out(folder, capsys):
    shutil.copy(folder / "images" / "cat.png", folder / "images" / "cat")
    (folder / "list.txt").write_text("cat 1\ncat.png 2\n")
    assert run("-encoded", "images/", "list.txt", "db") == 0
    out, err = capsys.readouterr()
    assert out == "db: 1 images, 1 skipped\n"
    assert "the file name gives no encoding" in err


def test_check_size(folder, capsys):
    assert run("-check_size", "images/", "list.txt", "db") == 1
    err = capsys.readouterr().err
    assert re.fullmatch(
        r'image ".*" has shape \(.*\), but the first, "cat.png", has \(.*\)\n', err
    )
    assert left(folder) == set()
    assert (
        run(
            "-check_size", "-resize_width", "8", "-resize_height", "9", "images/", "list.txt", "db"
        )
        == 0
    )


def test_a_root_without_its_slash(folder, capsys):
    assert run("images", "list.txt", "db") == 1
    err = capsys.readouterr().err
    assert err.splitlines()[0].startswith('skipped: cannot read the image "imagescat.png"')
    assert err.endswith("db is not created; did you mean images/?\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, 'cannot read the image list "list.txt": No such file'),
        ("", 'the image list "list.txt" is empty'),
        (
            "\0" * 5000,
            "list.txt:1: a line must be a file name, a space and an integer label, "
            f'not "{60 * "?"}..."',
        ),
        ("cat.png 1\ncat.png\n", "list.txt:2: a line must be a file name, a space and an integer"),
    ],
)
def test_bad_lists(folder, capsys, content, says):
    (folder / "list.txt").unlink()
    if content is not None:
        (folder / "list.txt").write_text(content)
    assert run("images/", "list.txt", "db") == 1
    err = capsys.readouterr().err
    assert err.startswith(says)
    assert err.count("\n") == 1
    assert left(folder) == set()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["images/", "list.txt", "list.txt"], 1, '"list.txt" already exists; remove it'),
        (["images/", "list.txt", "no/db"], 1, 'cannot make "no/db": there is no folder'),
        (["images/", "list.txt", "db", "-backend", "sqlite"], 2, "invalid choice: 'sqlite'"),
        (["images/", "list.txt", "db", "-resize_width", "5"], 2, "give both -resize_width and"),
        (["images/", "list.txt", "db", "-resize_width", "-5"], 2, "-resize_width"),
        (["images/", "list.txt", "db", "-encode_type", "gif"], 2, "invalid choice: 'gif'"),
        (["images/", "list.txt"], 2, "required: DB"),
    ],
)
def test_refusals(folder, capsys, words, code, says):
    assert run(*words) == code
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err
    assert left(folder) == set()


def test_a_key_too_long_for_lmdb(folder, capsys):
    name = "./" * 300 + "cat.png"
    (folder / "list.txt").write_text(f"{name} 1\n")
    assert run("images/", "list.txt", "db") == 1
    assert '"db": an LMDB key has 1 to 511 bytes, not 616' in capsys.readouterr().err
    assert left(folder) == set()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(folder, number, code):
    Image.new("RGB", (400, 300)).save(folder / "images" / "black.png")
    (folder / "list.txt").write_text("black.png 1\n" * 200_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "caffe_lite", "convert_imageset", "images/", "list.txt", "db"],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
        # where tests run in the background, the shell has them ignore SIGINT: a child would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob(".db.*.tmp/data.mdb")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert err == (b"interrupted\n" if number == signal.SIGINT else b"")
    assert left(folder) == set()
