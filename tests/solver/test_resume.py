"""A run that was stopped and continued equals one that was not, to the bit."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.solver import get_solver
from tests.solver.resuming import CONFIGS, Config, write_data, write_solver

END = 8


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_data(folder)
    return folder


@pytest.fixture
def folder(sources, monkeypatch):
    monkeypatch.chdir(sources)
    monkeypatch.syspath_prepend(str(sources))
    caffe.set_random_seed(-1)
    yield sources
    caffe.set_random_seed(-1)
    sys.modules.pop("resuming_layer", None)
    for path in sources.glob("run_iter_*"):
        path.unlink()


def start(config: Config, folder: Path, share: bool = False, **settings: object):
    """A solver that takes snapshots in each iteration, its nets fed."""
    settings = {"max_iter": END, "snapshot": 1, **settings}
    solver = get_solver(str(write_solver(config, folder, "run", **settings)), python_layers=True)
    if config.by_program:
        for size, net in zip((8, 6, 4), [solver.net, *solver.test_nets], strict=True):
            values = np.random.default_rng(size).standard_normal((size, 1, 2, 3))
            net.set_input_arrays(values, np.arange(size) % 3)
    if share:
        solver.net.share_memory()
        for net in solver.test_nets:
            net.share_memory(backward=False)
    return solver


def results(folder: Path) -> dict[str, bytes]:
    """All files of the last snapshot."""
    files = sorted(folder.glob(f"run_iter_{END}.*"))
    assert len(files) == 3
    return {path.name: path.read_bytes() for path in files}


SPEED = re.compile(r" \([^)]*iters\)")


def told(caplog: pytest.LogCaptureFixture, after: int) -> list[str]:
    """What was logged from the snapshot of iteration `after` on, without times."""
    lines = [
        SPEED.sub("", record.getMessage())
        for record in caplog.records
        if record.name == "caffe_lite.solver"
    ]
    start = max(i for i, line in enumerate(lines) if f"_iter_{after}." in line or i == 0)
    return [line for line in lines[start + 1 :] if re.match(r"Iteration|Test|    ", line)]


@pytest.mark.parametrize("share", [False, True], ids=["apart", "shared"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_continued_run_equals_the_whole_one(name, share, folder, caplog):
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    with start(CONFIGS[name], folder, share) as solver:
        solver.solve()
    whole = results(folder)
    wholes_lines = {stop: told(caplog, stop) for stop in (1, 3, 6)}
    for stop in (1, 3, 6):
        for path in folder.glob(f"run_iter_{END}.*"):
            path.unlink()
        caplog.clear()
        with start(CONFIGS[name], folder, share) as solver:
            end = ".h5" if "HDF5" in CONFIGS[name].solver else ""
            solver.solve(f"run_iter_{stop}.solverstate{end}")
        assert results(folder) == whole, f"continued from {stop}"
        lines = [line for line in told(caplog, stop) if line]
        assert lines == wholes_lines[stop]
        assert any(line.startswith("Iteration") for line in lines)
