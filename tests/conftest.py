"""What holds for every test: two threads at work, and a current folder that is empty."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before numba is imported.  Two threads on a machine with one core too: kernels must give the same
# bits with both.
os.environ.setdefault("NUMBA_NUM_THREADS", "2")


@pytest.fixture(scope="session", autouse=True)
def _small_arrays_are_cut() -> None:
    """The arrays of tests are so small that each would be worked on by one thread."""
    importlib.import_module("caffe_lite.kernels.parallel.launcher").GRAIN = 8


@pytest.fixture(scope="session", autouse=True)
def _compiling_is_not_told() -> None:
    """Whether kernels were compiled before must not change what a test reads on stderr."""
    importlib.import_module("caffe_lite.kernels.compiling").INTERVAL = 1e9


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stays empty."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def _outside_of_the_tree(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Paths in a prototxt are relative to the current folder: in the project's own, a test would
    read the databases and the weights that its user has made there.
    """
    monkeypatch.chdir(empty_folder)
    yield
    assert os.listdir(empty_folder) == [], "the test wrote into the current folder"
