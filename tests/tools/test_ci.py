"""The scripts of CI find what they are to run, and the cache of kernels heeds every kernel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT
from tools import check_versions, pythons

FOLDER = ROOT / ".ci"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the scripts alone."""
    if not FOLDER.is_dir() or shutil.which("bash") is None:
        pytest.skip("needs bash, and .ci, which an sdist does not have")
    shutil.copytree(FOLDER, tmp_path / ".ci")
    return tmp_path


def script(tree: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = str(tree / ".ci" / name)
    return subprocess.run(["bash", path, *words], capture_output=True, text=True, cwd=tree)


def test_the_readme_has_the_two_commands(tree: Path) -> None:
    shutil.copy(ROOT / "README.md", tree)
    first = script(tree, "readme_command", "first")
    assert first.stdout == "pip install . && models/lenet/train.sh\n"
    second = script(tree, "readme_command", "second")
    assert second.stdout.startswith("pip install -e ")
    assert " && pytest" in second.stdout


def test_a_readme_without_a_command_is_refused(tree: Path) -> None:
    (tree / "README.md").write_text("pip install .\npytest\n")
    for which in "first", "second":
        done = script(tree, "readme_command", which)
        assert done.returncode == 1
        assert done.stderr.startswith("README.md must have one line like")


@pytest.mark.parametrize("name", ["gemm.py", "simd/emitter.py", "conv/winograd/plan.py"])
def test_the_cache_heeds_every_kernel(tree: Path, name: str) -> None:
    kernels = tree / "caffe_lite" / "kernels"
    for each in "gemm.py", "simd/emitter.py", "conv/winograd/plan.py":
        (kernels / each).parent.mkdir(parents=True, exist_ok=True)
        (kernels / each).write_text("x = 1\n")
    (kernels / "notes.txt").write_text("no kernel")
    before = script(tree, "kernel_cache")
    assert "caffe_lite-numba-" in before.stdout, before.stderr
    (kernels / "notes.txt").write_text("still none")
    assert script(tree, "kernel_cache").stdout == before.stdout
    (kernels / name).write_text("x = 2\n")
    assert script(tree, "kernel_cache").stdout != before.stdout


def test_versions_come_from_setup_cfg() -> None:
    assert pythons.supported() == ["3.10", "3.11", "3.12", "3.13"]
    bounds = dict(bound.split("==") for bound in check_versions.lower_bounds())
    assert {"numpy", "numba", "protobuf", "lmdb", "h5py", "pillow", "tqdm", "argcomplete"} < set(
        bounds
    )
    assert bounds["plyvel"] == "1.5"
    assert all(bound.replace(".", "").isdigit() for bound in bounds.values())


def test_this_python_is_found() -> None:
    version = "{}.{}".format(*sys.version_info[:2])
    assert pythons.find(version) == sys.executable
    assert pythons.find("3.1") is None
