"""A small net with its solver and data, in a folder of its own."""

from __future__ import annotations

import logging
import shutil

import pytest

from tests.project import GOLDEN


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: net, weights and data of tests/golden/solvers, and a short solver."""
    for name in (
        "net.prototxt",
        "init.caffemodel",
        "train.h5",
        "test.h5",
        "train.txt",
        "test.txt",
    ):
        shutil.copy(GOLDEN / "solvers" / name, tmp_path)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9\n'
        'max_iter: 4 display: 2 snapshot: 2 snapshot_prefix: "run"\n'
        "test_iter: 2 test_interval: 2\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _log_as_before(monkeypatch):
    """Commands send the log to stderr, and say once what is to be said once: not the next test."""
    monkeypatch.setattr("caffe_lite.modes._told", False)
    logger = logging.getLogger("caffe_lite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
