"""The common battery: every check of `caffe_lite.testing` on every case of every layer type."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path

import numba
import numpy as np
import pytest

import tests.cases
from caffe_lite.layers.registry import layer_types
from caffe_lite.testing import CHECKS, Case, Refusal, check_refusal, results

MODULES = [
    importlib.import_module(f"tests.cases.{module.name}")
    for module in pkgutil.iter_modules(tests.cases.__path__)
]
CASES: list[Case] = [case for module in MODULES for case in module.CASES]
REFUSALS: list[Refusal] = [refusal for module in MODULES for refusal in module.REFUSALS]


def label(case: Case | Refusal) -> str:
    return f"{case.type}-{' '.join(case.config.split())[:60]}"


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", CASES, ids=label)
def test_case(case: Case, check: str, tmp_path: Path) -> None:
    CHECKS[check](case, tmp_path)


@pytest.mark.parametrize("refusal", REFUSALS, ids=label)
def test_refusal(refusal: Refusal) -> None:
    check_refusal(refusal)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="has no threads")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="this machine has one core")
@pytest.mark.parametrize("case", CASES, ids=label)
def test_threads_do_not_change_a_bit(case: Case, tmp_path: Path) -> None:
    found = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        numba.set_num_threads(threads)
        try:
            found.append(results(case, folder))
        finally:
            numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_every_type_has_a_case() -> None:
    covered = {case.type for case in CASES} | {"Python"}  # that has test_python.py
    assert sorted(set(layer_types()) - covered) == []
