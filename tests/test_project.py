"""The tests pass in a tree that was used: they read no file that a user's runs have made there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import EXAMPLES, MODELS, PAGES, ROOT, copy, copy_golden

# Where the commands of the README and of the pages leave files, and where users put their own.
# Each holds what would make a test fail that reads it.
DECOYS = [
    "lenet.log",
    "lenet.png",
    "notes.md",
    "mnist_train_lmdb/data.mdb",
    "models/lenet/mnist_train_lmdb/data.mdb",
    "models/lenet/mnist_train_lmdb/lock.mdb",
    "models/lenet/mnist_test_lmdb/data.mdb",
    "models/lenet/mnist_test_leveldb/CURRENT",
    "models/lenet/lenet_iter_500.solverstate",
    "models/lenet/lenet_iter_1000.caffemodel",
    "models/lenet/lenet_iter_1000.solverstate.h5",
    "models/lenet/my_solver.prototxt",
    "models/lenet/train.txt",
    "models/lenet/notes.md",
    "models/alexnet/bvlc_alexnet.caffemodel",
    "models/alexnet/imagenet_mean.binaryproto",
    "models/mine/readme.md",
    "models/mine/train_val.prototxt",
    "examples/mine.py",
    "examples/pictures/siamese.png",
    "tests/golden/layers/ReLU/mine.prototxt",
    "tests/golden/data/layer_mine.npz",
    "tests/golden/data/lmdb_64x48/lock.mdb",
    "tests/golden/solvers/mine_solver.prototxt",
    "tests/golden/solvers/adam_iter_30.caffemodel.h5",
    "tests/golden/upgrade/mine.upgraded.prototxt",
]
DECOY = b"no database, no net: [no page](nowhere.md) /" + b"home/me/imagenet\n"
# Those that read models/, examples/, pages, or recorded files, and need no compiler.
TESTS = [
    "tests/test_architecture.py",
    "tests/test_project.py",
    "tests/cli/test_compile.py",
    "tests/cli/test_draw_net.py",
    "tests/cli/test_summarize.py",
    "tests/cli/test_upgrade.py",
    "tests/data/test_golden.py",
    "tests/examples",
    "tests/training_log",
    "tests/layers/test_golden.py",
    "tests/proto/test_upgrade.py",
    "tests/pycaffe/test_draw.py",
    "tests/solver/test_golden.py::test_caffe_s_snapshot_is_resumed",
    "tests/tools/test_record_golden.py",
]


def plant(folder: Path) -> None:
    for name in DECOYS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DECOY)


def copy_tree(folder: Path) -> None:
    """What the tests need of the project, as in a fresh clone."""
    without = shutil.ignore_patterns("__pycache__", "golden")
    for name in "caffe_lite", "proto", "tests", "tools":
        shutil.copytree(ROOT / name, folder / name, ignore=without)
    copy([*MODELS, *EXAMPLES, *PAGES, "LICENSE", "setup.cfg"], folder)
    for name in "layers", "data", "solvers", "upgrade", "nets", "forks":
        copy_golden(name, folder / "tests" / "golden" / name)
    copy(["tests/golden/SHA256SUMS"], folder)


def tracked(*folders: str) -> list[str]:
    """The files that git knows; skips where this is no git checkout, as in an sdist."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    words = ["git", "-C", str(ROOT), "ls-files", *folders]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(done.stderr)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("folder", "listed"), [("models", MODELS), ("examples", EXAMPLES)])
def test_the_lists_are_what_git_tracks(folder: str, listed: list[str]) -> None:
    assert sorted(listed) == sorted(tracked(folder))


def test_every_page_is_listed() -> None:
    pages = {name for name in tracked() if name.endswith(".md")}
    elsewhere = ("tests/golden/", "tools/bench/results/", ".github/")  # nothing to run in those
    outside = {name for name in pages if name.startswith(elsewhere)}
    assert sorted(pages - outside) == sorted(PAGES)


def test_copies_leave_out_what_is_not_listed(tmp_path: Path) -> None:
    copy(MODELS, tmp_path / "clone")
    plant(tmp_path / "clone")
    copy(MODELS, tmp_path / "copy", tmp_path / "clone")
    copied = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path / "copy").as_posix() for path in copied) == MODELS


@pytest.mark.skipif("DECOYS_PLANTED" in os.environ, reason="is what started this")
def test_the_tests_pass_in_a_tree_that_was_used(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    plant(tmp_path)
    settings = {"NUMBA_DISABLE_JIT": "1", "DECOYS_PLANTED": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
