"""Some mutated inputs of each kind, and the whole corpus, in processes that may die of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT
from tools.fuzz.corpus import CORPUS
from tools.fuzz.targets import all_targets

COUNT = 60
"""Mutated inputs of each kind."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def fuzz(*words: str) -> tuple[int, str]:
    """The exit code and the output of ``python -m tools.fuzz``."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.fuzz", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_mutated_inputs_of_every_kind_behave() -> None:
    code, output = fuzz("inputs", "-count", str(COUNT), "-seed", "2")
    assert f"{COUNT * len(all_targets())} inputs tried, 0 misbehaved" in output, output
    assert code == 0


def test_the_corpus_behaves() -> None:
    code, output = fuzz("corpus")
    count = sum(1 for folder in CORPUS.iterdir() if folder.is_dir() for _ in folder.iterdir())
    assert f"{count} inputs of the corpus, 0 misbehaved" in output, output
    assert code == 0


def test_a_second_run_goes_on(tmp_path: Path) -> None:
    words = ("inputs", "cifar", "-keep", str(tmp_path), "-count")
    _, first = fuzz(*words, "20")
    _, second = fuzz(*words, "50")
    _, whole = fuzz("inputs", "cifar", "-count", "50")
    assert "20 inputs tried" in first
    assert second.split()[:9] == whole.split()[:9], "the numbers of one run and of two differ"
