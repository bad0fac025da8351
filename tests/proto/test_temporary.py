"""Names of incomplete files, and those that killed processes have left."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffe_lite.data.db import create_db
from caffe_lite.proto import temporary
from caffe_lite.proto.temporary import remove_leftovers, temporary_path


def test_names_are_new_short_and_beside_the_target(tmp_path):
    names = {temporary_path(tmp_path / "file") for _ in range(3)}
    assert len(names) == 3
    assert {path.parent for path in names} == {tmp_path}
    for target in ("x" * 250, "ü" * 120, "\udcff" * 200):
        temporary_path(tmp_path / target).touch()


def of(process: int | None, path: Path, age: float = 0.0, host: str | None = None) -> Path:
    """A leftover of `path`, by a process of this machine or of `host`, `age` seconds old."""
    new = temporary_path(path)
    *_, number, _ = new.name.split(".")
    this, _, run, count = number.split("-")
    left = new.with_name(f".{path.name}.{host or this}-{process}-{run}-{count}.tmp")
    if process is None:
        left = new.with_name(
            f".{path.name}.{secrets.token_hex(4)}.tmp"
        )  # as earlier versions named them
    left.mkdir()
    (left / "data.mdb").touch()
    for each in (left / "data.mdb", left):
        os.utime(each, (time.time() - age,) * 2)
    return left


@pytest.fixture
def ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(os.name != "posix", reason="processes are not asked for")
def test_only_what_nobody_writes_is_removed(tmp_path, ended):
    file = tmp_path / "db"
    left = [of(ended, file), of(ended, file, host="00000000", age=90_000), of(None, file, 90_000)]
    kept = [
        of(os.getpid(), file, age=90_000),
        of(os.getppid(), file, age=90_000),
        of(ended, file, host="00000000", age=80_000),
        of(None, file, age=80_000),
        of(ended, tmp_path / "other"),
        of(ended, tmp_path / "db.db"),
    ]
    written = of(None, file, age=90_000)
    os.utime(written / "data.mdb")  # a database grows, and its folder stays as old as it is
    for name in (".db.tmp", ".db.x.tmp", "db.12345678.tmp"):
        (tmp_path / name).touch()
        kept.append(tmp_path / name)
    removed = remove_leftovers(tmp_path, lambda name: name == "db")
    assert sorted(removed) == sorted(path.name for path in left)
    assert sorted(tmp_path.iterdir()) == sorted([*kept, written])


@pytest.mark.skipif(os.name != "posix", reason="processes are not asked for")
def test_an_earlier_process_of_the_same_number_has_ended(tmp_path, monkeypatch):
    """In a container the number is the same each time."""
    with monkeypatch.context() as patch:
        patch.setattr(temporary, "_run", "0123abcd")
        left = temporary_path(tmp_path / "db")
    left.touch()
    assert remove_leftovers(tmp_path, lambda name: True) == [left.name]


def test_a_folder_that_is_not_there_and_files_that_stay(tmp_path, monkeypatch, ended):
    assert remove_leftovers(tmp_path / "gone", lambda name: True) == []
    left = of(ended, tmp_path / "db", age=90_000)
    monkeypatch.setattr(temporary.shutil, "rmtree", lambda path: os.stat(path / "gone"))
    assert remove_leftovers(tmp_path, lambda name: True) == []
    assert left.exists()


@pytest.mark.skipif(os.name != "posix", reason="processes are not asked for")
def test_a_new_database_removes_what_a_killed_one_left(tmp_path):
    code = (
        "import os, signal, sys; from caffe_lite.data.db import create_db\n"
        "writer = create_db(sys.argv[1], 'lmdb'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "db")], env=environment, check=False
    )
    assert [path.name[:4] for path in tmp_path.iterdir()] == [".db."]
    with create_db(str(tmp_path / "db"), "lmdb") as writer:
        writer.put(b"a", b"b")
    assert [path.name for path in tmp_path.iterdir()] == ["db"]
