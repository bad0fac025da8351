"""The recorded answers are whole, and the tool that copied them copies what it says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project import GOLDEN, ROOT, copy_golden
from tools import record_golden

FOLDERS = ["data", "forks", "layers", "nets", "solvers", "upgrade"]


def test_every_copy_is_the_recorded_file() -> None:
    assert record_golden.wrong() == []


def test_copies_again_what_was_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in FOLDERS:
        copy_golden(name, source / name)
    for name in (
        "README.md",
        "forks/README.md",
        "forks/layers/ReLU6/notes.txt",
        "forks/nets/INDEX.tsv",
        "forks/nets/se_resnet50.prototxt",
        "layers/ReLU/notes.txt",
        "data/lmdb_64x48/lock.mdb",
        "data/leveldb_gray40/LOCK",
        "data/leveldb_gray40/LOG.old",
        "data/layer_lmdb_plain.npz",
        "solvers/sgd_inv_iter_30.solverstate",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("not taken")
    names = record_golden.record(source, target)
    made = [path for path in target.rglob("*") if path.is_file()]
    assert {path.relative_to(target).as_posix() for path in made} == {*names, "SHA256SUMS"}
    assert (target / "SHA256SUMS").read_bytes() == (GOLDEN / "SHA256SUMS").read_bytes()


def test_names_the_file_that_is_not_as_recorded(tmp_path: Path) -> None:
    source = tmp_path / "source"
    copy_golden("upgrade", source / "upgrade")
    golden = tmp_path / "golden"
    record_golden.record(source, golden)
    assert record_golden.wrong(golden) == []
    text = (golden / "upgrade" / "v0_net.prototxt").read_bytes()
    (golden / "upgrade" / "v0_net.prototxt").write_bytes(text.replace(b"\n", b"\r\n"))
    (golden / "upgrade" / "v1_net.prototxt").unlink()
    first, second = record_golden.wrong(golden)
    assert first.startswith("upgrade/v0_net.prototxt: is not the recorded file")
    assert second == "upgrade/v1_net.prototxt: is missing"


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds none of the recorded answers"):
        record_golden.record(tmp_path, tmp_path / "golden")


def test_git_gives_no_recorded_file_other_line_endings() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    names = [f"tests/golden/{name}" for name in record_golden.recorded()]
    words = ["git", "-C", str(ROOT), "check-attr", "-z", "--stdin", "text", "diff"]
    done = subprocess.run(words, input="\0".join(names), capture_output=True, text=True)
    if done.returncode:
        pytest.skip(done.stderr)
    fields = done.stdout.split("\0")[:-1]
    found = {(fields[i], fields[i + 1]): fields[i + 2] for i in range(0, len(fields), 3)}
    assert [name for name in names if found[name, "text"] != "unset"] == []
    binary = {".npz", ".caffemodel", ".solverstate", ".h5", ".mdb", ".ldb", ".png", ".jpg"}
    binary.add(".binaryproto")
    shown = [n for n in names if Path(n).suffix in binary and found[n, "diff"] != "unset"]
    assert shown == []
