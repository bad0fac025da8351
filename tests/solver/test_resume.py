"""A run that was stopped and continued equals one that was not, to the bit."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import SolverError
from caffe_lite.proto import temporary
from caffe_lite.solver import Monitor, get_solver, resume
from caffe_lite.solver.monitor import Progress
from caffe_lite.solver.signals import Action
from tests.solver.resuming import CONFIGS, HAS_LEVELDB, Config, write_data, write_solver

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


def start(
    config: Config,
    folder: Path,
    share: bool = False,
    monitor: Monitor | None = None,
    **settings: object,
):
    """A solver that takes snapshots in each iteration, its nets fed."""
    settings = {"max_iter": END, "snapshot": 1, **settings}
    file = str(write_solver(config, folder, "run", **settings))
    solver = get_solver(file, python_layers=True, monitor=monitor)
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


APART = ("lmdb", "lstm", "norms", "memory")
"""Run without shared memory too, as programs in Python do."""


@pytest.mark.parametrize(
    ("name", "share"), [*((name, True) for name in CONFIGS), *((name, False) for name in APART)]
)
def test_a_continued_run_equals_the_whole_one(name, share, folder, caplog):
    if name == "leveldb" and not HAS_LEVELDB:
        pytest.skip("LevelDB needs plyvel")
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


MONITORS = {
    "stops": {"early_stop": 2},
    "lowers": {"reduce_on_plateau": (0.5, 1), "output": "loss"},
    "both": {"early_stop": 3, "reduce_on_plateau": (0.25, 2), "mode": "max"},
}


@pytest.mark.parametrize("name", MONITORS)
def test_a_continued_run_is_monitored_as_the_whole_one(name, folder, caplog):
    """With a test in each iteration; a run that has stopped early is told to stop again."""
    caplog.set_level(logging.INFO, "caffe_lite.solver")

    def run(state=None):
        monitor = Monitor(**MONITORS[name])
        with start(CONFIGS["lmdb"], folder, test_interval=1, monitor=monitor) as solver:
            solver.solve(state)
        files = sorted(folder.glob(f"run_iter_{solver.iter}.*"))
        return solver.iter, monitor.progress, {path.name: path.read_bytes() for path in files}

    whole = run()
    end, progress, _ = whole
    assert (end < END) == (name != "lowers")
    assert name == "stops" or progress.reductions > 0
    for stop in range(1, end + 1):
        caplog.clear()
        assert run(f"run_iter_{stop}.solverstate") == whole, f"continued from {stop}"
        early = any("Early stop" in line for line in caplog.messages)
        assert early == (name != "lowers")


def test_a_run_that_has_stopped_early_stops_again(folder):
    """Its snapshot is from after the test that stopped it: that is run, and judged, once more."""

    def run(state=None):
        monitor = Monitor(early_stop=2, mode="max")
        with start(
            CONFIGS["lmdb"], folder, snapshot=0, test_interval=2, monitor=monitor
        ) as solver:
            solver.solve(state)
        files = sorted(folder.glob(f"run_iter_{solver.iter}.*"))
        return solver.iter, monitor.progress, {path.name: path.read_bytes() for path in files}

    end, progress, files = run()
    assert (end < END, progress.waited, len(files)) == (True, 2, 3)
    assert run(f"run_iter_{end}.solverstate") == (end, progress, files)


def test_a_monitor_begins_anew_where_the_snapshot_has_none(folder):
    monitor = Monitor(early_stop=3)
    with start(CONFIGS["lmdb"], folder, test_interval=1, monitor=monitor) as solver:
        solver.step(2)
        assert monitor.progress.best > 0
        Path("run_iter_1.resume").unlink()
        solver.restore("run_iter_1.solverstate")
    assert math.isnan(monitor.progress.best)


def test_a_monitor_that_is_not_there_any_more_is_told(folder, caplog):
    monitor = Monitor(reduce_on_plateau=(0.5, 1), mode="max")
    with start(CONFIGS["lmdb"], folder, test_interval=1, monitor=monitor) as solver:
        solver.solve()
        lowered = solver.lr
    assert lowered < 0.01
    with start(CONFIGS["lmdb"], folder, test_interval=1) as solver:
        solver.restore(f"run_iter_{END}.solverstate")
        assert solver.lr == pytest.approx(0.02)
    assert "times by reduce_on_plateau, which is not set now" in caplog.text
    other = Monitor(reduce_on_plateau=(0.5, 1), output="loss", mode="max")
    with start(CONFIGS["lmdb"], folder, test_interval=1, monitor=other) as solver:
        solver.restore(f"run_iter_{END}.solverstate")
        # a test at the end is after the snapshot, which has one reduction less
        assert solver.lr in (lowered, 2 * lowered)
        assert other.progress.waited == 0
    assert "watched another score" in caplog.text


# -- stopped by a signal -------------------------------------------------------------------


def stopping(solver, action: Action, polls: int) -> None:
    """Let the solver be told `action` when it asks for the time number `polls`."""
    asked = iter([*[Action.NONE] * (polls - 1), action])
    solver.action = lambda: next(asked, Action.NONE)


@pytest.mark.parametrize(
    ("action", "polls"),
    [(Action.STOP, n) for n in range(1, 14, 2)] + [(Action.SNAPSHOT, n) for n in range(2, 14, 2)],
)
def test_any_moment_can_be_continued(polls, action, folder):
    """In the tests of iteration 0 and 3, before and between the nets' batches, and in training."""
    config = CONFIGS["lmdb"]
    with start(config, folder, snapshot=0) as solver:
        solver.solve()
    whole = results(folder)
    for path in folder.glob("run_iter_*"):
        path.unlink()
    with start(config, folder, snapshot=0) as solver:
        stopping(solver, action, polls)
        solver.solve()
    (state, *_) = sorted(folder.glob("run_iter_?.solverstate"))
    assert (state.name != f"run_iter_{END}.solverstate") or polls > 13
    with start(config, folder, snapshot=0) as solver:
        solver.solve(state)
    assert results(folder) == whole


def test_a_run_is_stopped_and_continued_in_one_program(folder):
    """The nets' readers are ahead of what training has used."""
    config = CONFIGS["shuffled"]
    with start(config, folder) as solver:
        solver.solve()
        whole = results(folder)
        solver.restore("run_iter_3.solverstate")
        assert solver.iter == 3
        solver.solve()
    assert results(folder) == whole


# -- files that are not what they should be ------------------------------------------------


def rewritten(path: Path, change) -> None:
    """Change what a resume file says, and its digest with it."""
    content = json.loads(path.read_text())
    run = content["run"]
    change(run)
    content["sha256"] = hashlib.sha256(json.dumps(run).encode()).hexdigest()
    path.write_text(json.dumps(content))


def layer_state(run: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (layer["state"] for layer in run["nets"][0] if layer["name"] == name)
    return found


def put(name: str, *keys: str, value: object):
    def change(run: dict[str, Any]) -> None:
        state = layer_state(run, name) if name else run
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


def add_layer(run: dict[str, Any]) -> None:
    run["nets"][0].append(run["nets"][0][0])


BIG = 10**40
MONITORED = asdict(Progress(best=0.5))
DEEP: list[Any] = []
for _ in range(300):
    DEEP = [DEEP]

HOSTILE = {
    "another iteration": (put("", "iteration", value=7), "is of iteration 7, but"),
    "negative iteration": (put("", "iteration", value=-1), '"iteration" is -1'),
    "iteration of text": (put("", "iteration", value="2"), "\"iteration\" is '2'"),
    "true iteration": (put("", "iteration", value=True), '"iteration" is True'),
    "huge iteration": (put("", "iteration", value=BIG), '"iteration" is 1000'),
    "other digest": (put("", "digests", value={"weights": "0", "state": "0"}), "is not the file"),
    "digest of another type": (put("", "digests", value={"weights": 1}), '"weights" is 1'),
    "monitor of text": (put("", "monitor", value="much"), '"monitor" is'),
    "monitor without counts": (put("", "monitor", value={}), 'no "output"'),
    "monitor that waited for long": (
        put("", "monitor", value={**MONITORED, "waited": -1}),
        '"waited" is -1',
    ),
    "monitor whose best is text": (
        put("", "monitor", value={**MONITORED, "best": "1"}),
        "\"best\" is '1'",
    ),
    "losses of text": (put("", "losses", value=["much"]), '"losses" is'),
    "no losses": (put("", "losses", value=None), '"losses" is None'),
    "no nets": (put("", "nets", value=[]), "-1 test nets, this one has 2"),
    "nets of text": (put("", "nets", value=["a"]), "\"nets\" is 'a'"),
    "layers of text": (put("", "nets", value=[["a"]]), "\"nets\" is 'a'"),
    "deep": (put("", "nets", value=DEEP), '"nets" is'),
    "another layer": (add_layer, "5 layers in the training net, this one has 4"),
    "negative position": (put("data", "image", value=-1), "a whole number from 0 to 10"),
    "position behind the end": (put("data", "image", value=11), "a whole number from 0 to 10"),
    "position of another type": (put("data", "image", value=1.0), '"image" is 1.0'),
    "no order": (put("data", "order", value=None), '"order" is None, not a state'),
    "count of text": (put("data", "images", value="many"), "\"images\" is 'many'"),
    "generator of another kind": (put("data", "rng", "bit_generator", value="X"), "one of PCG64"),
    "generator's word": (put("data", "rng", "uinteger", value=BIG), "of PCG64"),
    "generator's long word": (put("data", "rng", "uinteger", value=1 << 64), "a random state"),
    "generator's negative word": (put("data", "rng", "state", "inc", value=-3), "one of PCG64"),
    "generator of text": (put("Dropout", "rng", value="17"), "a state of its own"),
    "no state": (put("Dropout", "rng", "state", value={}), "one of PCG64"),
    "unknown value": (put("data", "image", value={"$bytes": "%"}), '"$bytes" is'),
    "array of objects": (
        put("data", "image", value={"$array": "", "dtype": "O", "shape": [0]}),
        '"$array" is',
    ),
    "array that is too short": (
        put("data", "image", value={"$array": "", "dtype": "<f4", "shape": [BIG]}),
        '"$array" is',
    ),
    "float of text": (put("", "losses", value=[{"$float": "1"}]), '"$float" is'),
}


def state_of(solver) -> list[Any]:
    """All that a restore changes."""
    weights = [blob.data.tobytes() for blobs in solver.net.params.values() for blob in blobs]
    history = [array.tobytes() for array in solver._rule.history]
    nets = [resume.collect(net, solver.net) for net in [solver.net, *solver.test_nets]]
    return [solver.iter, weights, history, repr(nets), solver._smoothed.losses]


@pytest.fixture(scope="module")
def saved(sources, tmp_path_factory):
    """The files of a snapshot at iteration 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(sources)
        with start(CONFIGS["shuffled"], sources, max_iter=2, test_interval=100) as solver:
            solver.solve()
        folder = tmp_path_factory.mktemp("saved")
        for path in sources.glob("run_iter_2.*"):
            shutil.move(path, folder)
    return folder


@pytest.fixture
def refused(folder, saved):
    """Checks that a solver refuses the snapshot, in one line, and stays as it was."""
    for path in saved.iterdir():
        shutil.copy(path, folder)
    solver = start(CONFIGS["shuffled"], folder, test_interval=100)
    solver.step(1)

    def check(says: str, names: str = "run_iter_2.resume") -> None:
        before = state_of(solver)
        with pytest.raises(SolverError) as caught:
            solver.restore("run_iter_2.solverstate")
        assert says in str(caught.value)
        assert names in str(caught.value)
        assert "\n" not in str(caught.value)
        assert state_of(solver) == before

    yield check
    solver.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_changes(name, refused):
    change, says = HOSTILE[name]
    rewritten(Path("run_iter_2.resume"), change)
    refused(says)


def test_a_damaged_file_is_refused(refused):
    """Cut anywhere, and with any of its bytes changed."""
    path = Path("run_iter_2.resume")
    content = path.read_bytes()
    random = np.random.default_rng(3)
    for size in [0, 1, *random.integers(2, len(content) - 2, 5)]:
        path.write_bytes(content[:size])
        refused("")
    for at in random.integers(0, len(content) - 2, 20):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        refused("")
    broken = ("[" * 100_000, '{"a":' * 100_000, "1" * 5000, '{"format": NaN}', "\xff")
    for text in (*broken, "null", "{}", '{"format": "another", "version": 1}'):
        path.write_text(text, "latin-1")
        refused("is no resume file")
    path.write_bytes(content + b" " * (resume.ROOM + 100_000))
    refused("too much for this solver's nets")
    path.write_bytes(content.replace(b'"version": 1', b'"version": 2'))
    refused("is of version 2; this program reads 1")
    path.unlink()
    path.mkdir()
    refused("cannot be read")
    path.rmdir()


@pytest.mark.parametrize("kind", ["caffemodel", "solverstate"])
def test_files_of_two_snapshots_are_not_mixed(kind, refused):
    path = Path(f"run_iter_2.{kind}")
    path.write_bytes(path.read_bytes() + b"\x9a\x06\x01x")  # a field that nobody knows
    refused(f"run_iter_2.{kind}: is not the file that run_iter_2.resume was written with")


def test_a_run_goes_on_after_a_refused_snapshot(folder, saved, monkeypatch):
    """Its readers too are where they were."""
    with start(CONFIGS["shuffled"], folder) as solver:
        solver.solve()
    whole = results(folder)
    for path in saved.iterdir():
        shutil.copy(path, folder)
    with start(CONFIGS["shuffled"], folder) as solver:
        solver.step(5)
        for path in saved.iterdir():
            shutil.copy(path, folder)
        with monkeypatch.context() as patch:
            patch.setattr("caffe_lite.net.net.Net.copy_from", lambda self, path: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                solver.restore("run_iter_2.solverstate")
        solver._restored = True  # `step` would begin a new mean of losses
        solver.solve()
    assert results(folder) == whole


def test_another_net_is_refused(folder, saved):
    for path in saved.iterdir():
        shutil.copy(path, folder)
    net = CONFIGS["shuffled"].net.replace('name: "Dropout"', 'name: "other"')
    with (
        start(replace(CONFIGS["shuffled"], net=net), folder) as solver,
        pytest.raises(SolverError, match=r'training net "Dropout" .* this one has "other"'),
    ):
        solver.restore("run_iter_2.solverstate")


def test_without_the_file_it_continues_as_caffe_does(folder, saved, caplog):
    for path in saved.iterdir():
        shutil.copy(path, folder)
    Path("run_iter_2.resume").unlink()
    with start(CONFIGS["shuffled"], folder) as solver:
        first = resume.collect(solver.net, solver.net)
        solver.restore("run_iter_2.solverstate")
        assert solver.iter == 2
        assert repr(resume.collect(solver.net, solver.net)) == repr(first)
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warnings == [
        "run_iter_2.resume does not exist: the data begin anew, and so do random streams, as in "
        "Caffe"
    ]


def test_changed_data_are_told(folder, saved, caplog):
    for path in saved.iterdir():
        shutil.copy(path, folder)
    listed = Path("images.txt").read_text()
    try:
        Path("images.txt").write_text(listed + "0.png 1\n")
        with start(CONFIGS["shuffled"], folder) as solver:
            solver.restore("run_iter_2.solverstate")
        assert '"images.txt" has 12 images now, but had 11 at the snapshot' in caplog.messages
        Path("images.txt").write_text("".join(listed.splitlines(True)[:5]))
        with (
            start(CONFIGS["shuffled"], folder) as solver,
            pytest.raises(SolverError, match=r'layer "data" \(ImageData\): .*"image" is 8, not'),
        ):
            solver.restore("run_iter_2.solverstate")
    finally:
        Path("images.txt").write_text(listed)


def test_a_users_source_that_keeps_nothing_is_named(folder, caplog):
    with start(CONFIGS["python"], folder, max_iter=2) as solver:
        solver.solve()
        solver.restore("run_iter_2.solverstate")
        assert "it begins anew" not in caplog.text
        layer = type(solver.net.layers[0]).__mro__[1]
        del layer.get_state, layer.set_state
        solver.restore("run_iter_2.solverstate")
    assert 'layer "count" (Python) has no get_state and set_state: it begins anew' in (
        caplog.messages
    )


def test_a_state_that_cannot_be_written_is_one_line(folder, monkeypatch):
    with start(CONFIGS["python"], folder) as solver:
        layer = type(solver.net.layers[0]).__mro__[1]
        monkeypatch.setattr(layer, "get_state", lambda self: {"file": sys.stdout})
        with pytest.raises(SolverError, match=r'layer "count" \(Python\): a state has a'):
            solver.snapshot()


# -- the newest, and those that are kept ---------------------------------------------------


def snapshots(folder: Path) -> set[int]:
    found = {int(path.name.split("_")[2].split(".")[0]) for path in folder.glob("run_iter_*")}
    for iteration in found:
        assert len(list(folder.glob(f"run_iter_{iteration}.*"))) == 3
    return found


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_only_the_newest_are_kept(kind, folder):
    config = CONFIGS["images"]
    for name in ("run_iter_1.caffemodel.old", "run_iter_x.solverstate", "run_iter_01.resume"):
        (folder / name).touch()
    (folder / "my_run_iter_1.solverstate").touch()
    others = {path for path in folder.iterdir() if "_iter_" in path.name}
    with start(config, folder, snapshot_format=kind) as solver:
        solver.solve()
    for path in folder.glob(f"run_iter_{END}.*"):
        path.rename(path.with_name(path.name.replace(f"_{END}.", "_20.")))  # of another run
    with start(config, folder, snapshot_format=kind) as solver:
        solver.keep_snapshots = 2
        solver.solve()
    for path in others:
        path.unlink()
    assert snapshots(folder) == {END - 1, END, 20}


def test_how_many_are_kept_is_positive(folder):
    write_solver(CONFIGS["images"], folder, "run")
    with pytest.raises(SolverError, match="keep_snapshots must be 1 or more, not 0"):
        get_solver("run.prototxt", keep_snapshots=0)


def test_the_newest_good_one_is_continued(folder, caplog):
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    config = CONFIGS["images"]
    with start(config, folder) as solver:
        assert not solver.restore_newest()
        assert 'No snapshot under "run" to continue from: starting anew' in caplog.messages
        solver.solve()
    whole = results(folder)
    Path("run_iter_8.solverstate").unlink()
    Path("run_iter_7.resume").write_text("{")
    Path("run_iter_6.caffemodel").write_bytes(Path("run_iter_5.caffemodel").read_bytes())
    Path("run_iter_5.caffemodel").unlink()
    Path("run_iter_4.solverstate").write_bytes(b"\0")
    Path("run_iter_99999999999999999999.solverstate").touch()
    caplog.clear()
    with start(config, folder) as solver:
        assert solver.restore_newest()
        assert solver.iter == 3
        told = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
        assert [line[:40].split(" ")[0] for line in told] == [
            "run_iter_8",
            *(f"run_iter_{n}.solverstate" for n in (7, 6, 5, 4)),
        ]
        solver.solve()
    assert results(folder) == whole


def test_damaged_weights_without_a_digest_are_passed_over(folder):
    with start(CONFIGS["images"], folder, max_iter=2) as solver:
        solver.solve()
    for path in folder.glob("run_iter_*.resume"):
        path.unlink()
    weights = Path("run_iter_2.caffemodel")
    weights.write_bytes(weights.read_bytes()[:-9])
    with start(CONFIGS["images"], folder) as solver:
        assert solver.restore_newest()
        assert solver.iter == 1


def test_a_snapshot_of_another_net_is_not_passed_over(folder):
    with start(CONFIGS["images"], folder, max_iter=2) as solver:
        solver.solve()
    with (
        start(CONFIGS["shuffled"], folder) as solver,
        pytest.raises(SolverError, match="is of another net"),
    ):
        solver.restore_newest()


def test_leftovers_under_the_prefix_are_removed(folder):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    target = folder / "run_iter_4.caffemodel"
    mine = temporary.temporary_path(target)
    left = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
    of_others = left.with_name(left.name.replace("run_iter_4", "run2_iter_4"))
    for path in (mine, left, of_others):
        path.touch()
    with start(CONFIGS["images"], folder, max_iter=1) as solver:
        solver.solve()
    kept = {path for path in (mine, left, of_others) if path.exists()}
    mine.unlink()
    of_others.unlink()
    assert kept == {mine, of_others}
