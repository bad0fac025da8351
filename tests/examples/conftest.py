"""Copies of the project's files, and programs run in them from a shell, as a user runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from numba import config

from tests.project import EXAMPLES, MODELS, ROOT, copy

Run = Callable[..., str]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of programs: `python` is this one, `caffe-lite` this source tree."""
    if config.DISABLE_JIT:
        pytest.skip("programs that train nets take minutes without the compiler")
    if shutil.which("sh") is None:
        pytest.skip("the pages' commands are for a POSIX shell")
    folder = tmp_path_factory.mktemp("bin")
    for name, what in ("python", ""), ("caffe-lite", "-m caffe_lite "):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {what}"$@"\n')
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    # while other tests run, waiting threads must not keep a core busy
    return os.environ | settings | {"OMP_WAIT_POLICY": "passive"}


@pytest.fixture(scope="session")
def run(environment: dict[str, str]) -> Run:
    """Call ``run(folder, command, ...)``: its output on stdout; a failure shows stderr too."""

    def call(folder: Path, *command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return call


def copy_project(folder: Path) -> None:
    """The models and the examples as in a fresh clone, but LeNet learns from smaller batches."""
    copy([*MODELS, *EXAMPLES], folder)
    net = folder / "models" / "lenet" / "train_test.prototxt"
    text = net.read_text(encoding="utf-8")
    assert "batch_size: 64" in text
    net.write_text(text.replace("batch_size: 64", "batch_size: 16"), encoding="utf-8")


@pytest.fixture(scope="session")
def lenet(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that models/lenet/train.sh makes."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    run(folder, "sh", "models/lenet/train.sh", "-minloglevel", "1")
    return folder / "models" / "lenet" / "lenet_iter_1000.caffemodel"
