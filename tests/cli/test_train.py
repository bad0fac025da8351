from __future__ import annotations

import html
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffe_lite import cli
from caffe_lite.proto import files
from caffe_lite.solver import get_solver

ROOT = Path(__file__).parent.parent.parent

# the expressions of Caffe's parse_log.py
ITERATION = re.compile(r"Iteration (\d+)")
TRAIN_OUTPUT = re.compile(r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)")
TEST_OUTPUT = re.compile(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)")
RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)")


def train(*words):
    return cli.main(["train", "-solver", "solver.prototxt", *words])


def test_log_can_be_parsed_as_caffe_s(folder, capsys):
    assert train() == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    found = {"train": [], "test": [], "lr": []}
    iteration = None
    for line in captured.err.splitlines():
        if match := ITERATION.search(line):
            iteration = int(match[1])
        if match := TRAIN_OUTPUT.search(line):
            found["train"].append((iteration, match[2]))
        if match := TEST_OUTPUT.search(line):
            found["test"].append((iteration, match[2]))
        if match := RATE.search(line):
            found["lr"].append((iteration, float(match[1])))
    assert found["train"] == [(0, "loss"), (2, "loss")]
    assert found["test"] == [(n, name) for n in (0, 2, 4) for name in ("accuracy", "loss")]
    assert found["lr"] == [(0, 0.05), (2, 0.05)]
    assert captured.err.index("] Solving ") < captured.err.index("Optimization Done.")
    assert "\r" not in captured.err


def test_snapshots_and_resume(folder, capsys):
    assert train() == 0
    whole = [path.read_bytes() for path in sorted(folder.glob("run_iter_4.*"))]
    assert len(whole) == 3
    Path("run_iter_4.caffemodel").unlink()
    assert train("-snapshot", "run_iter_2.solverstate") == 0
    err = capsys.readouterr().err
    assert "Resuming from run_iter_2.solverstate" in err
    assert "Restoring previous solver status from run_iter_2.solverstate" in err
    assert [path.read_bytes() for path in sorted(folder.glob("run_iter_4.*"))] == whole


def test_the_same_command_starts_and_continues(folder, capsys):
    text = Path("solver.prototxt").read_text() + "random_seed: 3"
    Path("solver.prototxt").write_text(text)
    command = ("-snapshot", "auto", "-keep_snapshots", "1", "-weights", "init.caffemodel")
    assert train(*command) == 0
    err = capsys.readouterr().err
    assert "Finetuning from init.caffemodel" in err
    assert 'No snapshot under "run" to continue from: starting anew' in err
    whole = {path.name: path.read_bytes() for path in folder.glob("run_iter_*")}
    assert sorted(whole) == [
        f"run_iter_4.{kind}" for kind in ("caffemodel", "resume", "solverstate")
    ]
    for path in folder.glob("run_iter_4.*"):
        path.unlink()
    Path("solver.prototxt").write_text(text.replace("max_iter: 4", "max_iter: 2"))
    assert train(*command) == 0
    Path("solver.prototxt").write_text(text)
    assert train(*command) == 0
    assert (
        "Restoring previous solver status from run_iter_2.solverstate" in capsys.readouterr().err
    )
    assert {path.name: path.read_bytes() for path in folder.glob("run_iter_*")} == whole


def test_a_snapshot_or_weights(folder, capsys):
    assert train("-snapshot", "x.solverstate", "-weights", "init.caffemodel") == 2
    assert "not both" in capsys.readouterr().err
    assert train("-keep_snapshots", "0") == 2
    assert "'0' is not an integer of at least 1" in capsys.readouterr().err


def test_fine_tuning(folder, capsys):
    assert train("-weights", "init.caffemodel") == 0
    assert "Finetuning from init.caffemodel" in capsys.readouterr().err


def test_weights_that_do_not_match_are_told_once_or_refused(folder, capsys):
    text = Path("net.prototxt").read_text().replace('"ip"', '"new"')
    Path("net.prototxt").write_text(text)
    assert train("-weights", "init.caffemodel") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "init.caffemodel has" in line]
    assert [line[0] for line in told] == ["W", "W"]
    assert told[0].endswith("layers of the net (1 of 5), which start from their fillers: new")
    assert told[1].endswith("that are not in the net (1), which are ignored: ip")
    for path in folder.glob("run_iter_*"):
        path.unlink()
    for flag in "-strict", "--strict":
        assert train("-weights", "init.caffemodel", flag) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(
            'net.prototxt:14:1: layer "new" (InnerProduct): init.caffemodel has'
        )
    assert list(folder.glob("run_iter_*")) == []
    assert train("-strict") == 0  # from scratch there is nothing to match


def test_a_report_and_curves_change_no_number(folder, capsys):
    def weights():
        return {path.name: path.read_bytes() for path in sorted(folder.glob("run_iter_*"))}

    text = Path("solver.prototxt").read_text() + "random_seed: 3"
    Path("solver.prototxt").write_text(text)
    assert train() == 0
    without = weights()
    for path in folder.glob("run_iter_*"):
        path.unlink()
    words = ["-report", "run.html"]
    if importlib.util.find_spec("tensorboardX"):
        words += ["-tensorboard", "logs"]
    assert train(*words) == 0
    assert weights() == without
    page = Path("run.html").read_text(encoding="utf-8")
    assert "iteration 4 of 4" in page
    assert "data-reload" not in page
    assert len(words) == 2 or len(list(Path("logs").glob("events.*"))) == 1


def test_a_report_that_cannot_be_written_ends_the_command_at_once(folder, capsys):
    assert train("-report", "absent/run.html") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("absent/run.html: cannot be")
    assert list(folder.glob("run_iter_*")) == []


def test_a_report_of_a_continued_run(folder, capsys):
    assert train() == 0
    assert train("-snapshot", "run_iter_2.solverstate", "-report", "run.html") == 0
    assert "iteration 4 of 4" in Path("run.html").read_text(encoding="utf-8")
    assert train("-snapshot", "absent.solverstate", "-report", "run.html") == 1
    page = Path("run.html").read_text(encoding="utf-8")
    assert "absent.solverstate: no such file" in page
    assert "data-reload" not in page


def test_a_report_says_that_the_loss_was_not_finite(folder, capsys):
    text = Path("solver.prototxt").read_text().replace("base_lr: 0.05", "base_lr: 1e38")
    Path("solver.prototxt").write_text(text)
    assert train("-report", "run.html") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the loss is" in error
    assert html.escape(error) in Path("run.html").read_text(encoding="utf-8")


def test_early_stop_and_reduction(folder, capsys):
    text = Path("solver.prototxt").read_text().replace("test_interval: 2", "test_interval: 1")
    Path("solver.prototxt").write_text(text)
    watch = ["-monitor", "loss", "-monitor_mode", "max"]  # the loss falls: it never improves
    assert train("-early_stop", "2", *watch) == 0
    err = capsys.readouterr().err
    assert "Early stop: Iteration 2, loss has not improved for 2 tests; the best was" in err
    assert "Optimization stopped early." in err
    assert Path("run_iter_2.solverstate").exists()
    assert not Path("run_iter_4.solverstate").exists()
    assert train("-reduce_on_plateau", "0.1,1", *watch) == 0
    rates = [float(match[1]) for match in RATE.finditer(capsys.readouterr().err)]
    assert rates == pytest.approx([0.05, 0.0005])


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["-early_stop", "0"], 2, "'0' is not an integer of at least 1"),
        (["-reduce_on_plateau", "2,3"], 2, "is not a factor between 0 and 1"),
        (["-reduce_on_plateau", "0.1"], 2, "such as 0.1,5"),
        (["-monitor", "loss"], 2, "-monitor needs -early_stop or -reduce_on_plateau"),
        (["-early_stop", "1", "-monitor_mode", "mid"], 2, "invalid choice: 'mid'"),
        (["-early_stop", "1", "-monitor", "los"], 1, "solver.prototxt: the test net has no outp"),
    ],
)
def test_wrong_monitors(folder, capsys, words, code, says):
    assert train(*words) == code
    assert says in capsys.readouterr().err
    assert list(folder.glob("run_iter_*")) == []


def test_gpu_is_answered(folder, capsys):
    assert train("-gpu", "0,1") == 0
    assert "CPU" in capsys.readouterr().err


def test_stage_and_level_reach_the_net(folder, capsys):
    net = Path("net.prototxt").read_text()
    Path("net.prototxt").write_text(
        net + 'layer { name: "only" type: "Silence" bottom: "data"'
        ' include { phase: TRAIN stage: "extra" min_level: 2 } }'
    )
    assert train("-stage", "other,extra", "-level", "2") == 0
    assert "Creating Layer only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-solver", "gone.prototxt"], "gone.prototxt"),
        (["-solver", "solver.prototxt", "-snapshot", "gone.solverstate"], "gone.solverstate"),
        (["-solver", "solver.prototxt", "-weights", "gone.caffemodel"], "gone.caffemodel"),
        (["-solver", "train.h5"], "train.h5"),
    ],
)
def test_bad_input_is_one_line_and_exit_1(folder, capsys, words, says):
    assert cli.main(["train", *words]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert says in last
    assert not re.match(r"[IWEF]\d{4} ", last)


def test_nothing_is_written_when_the_prefix_is_wrong(folder, capsys):
    text = Path("solver.prototxt").read_text().replace('"run"', '"gone/run"')
    Path("solver.prototxt").write_text(text)
    before = sorted(folder.iterdir())
    assert train() == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("solver.prototxt:2:")
    assert "folder that does not exist: gone" in last
    assert sorted(folder.iterdir()) == before


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value", "ignore:divide by zero")
def test_divergence_stops_unless_told_not_to(folder, capsys):
    text = Path("solver.prototxt").read_text().replace("base_lr: 0.05", "base_lr: 1e30")
    Path("solver.prototxt").write_text(text)
    assert train() == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"iteration \d: the loss is \w+; the first non-finite values are in", last)
    assert train("--continue-on-nan") == 0


# -- a real process ------------------------------------------------------------------------


@pytest.fixture
def start(folder):
    """Starts a training run that would take for ever; ended after the test."""
    started = []

    def run(snapshot=0):
        text = Path("solver.prototxt").read_text()
        text = text.replace("max_iter: 4", "max_iter: 1000000").replace("test_iter: 2", "")
        text = text.replace("snapshot: 2", f"snapshot: {snapshot}").replace("test_interval: 2", "")
        Path("solver.prototxt").write_text(text)
        command = [sys.executable, "-m", "caffe_lite", "train", "-solver", "solver.prototxt"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def read_until(process, words):
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return
    pytest.fail("".join(lines))


def test_ctrl_c_snapshots_and_stops(folder, start):
    process = start()
    read_until(process, "Iteration 2 ")
    process.send_signal(signal.SIGINT)
    read_until(process, "Optimization stopped early.")
    assert process.wait(timeout=60) == 0
    assert list(folder.glob("run_iter_*.solverstate"))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_hang_up_snapshots_and_goes_on(start):
    process = start()
    read_until(process, "Iteration 2 ")
    process.send_signal(signal.SIGHUP)
    read_until(process, "Snapshotting solver state")
    read_until(process, "Iteration ")


def test_killed_while_snapshotting_leaves_a_good_pair(folder, start):
    process = start(snapshot=1)
    read_until(process, "Iteration 4 ")
    time.sleep(0.1)
    process.kill()
    process.wait()
    states = sorted(
        folder.glob("run_iter_*.solverstate"), key=lambda path: files.read_state(path).iter
    )
    with get_solver("solver.prototxt") as solver:
        solver.restore(states[-1])
        assert solver.iter == len(states)


def test_log_reader_that_goes_away_ends_the_run(start):
    process = start()
    read_until(process, "Iteration 2 ")
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    process.stderr = None
