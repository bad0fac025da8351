"""`caffe-lite train` on several ranks: one log, one message, and a snapshot that stands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffe_lite.data.db import create_db, open_db
from caffe_lite.proto import files
from tests.distributed.launching import PATIENCE, command, environment, needs_mpi, run
from tests.solver.resuming import CONFIGS, write_data, write_solver

pytestmark = needs_mpi

TRAIN = ("-m", "caffe_lite", "train", "-solver")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("command")
    write_data(path)
    with open_db(str(path / "records.lmdb"), "lmdb") as whole:
        records = list(whole)
    with create_db(str(path / "bad.lmdb"), "lmdb") as writer:
        for index, (key, value) in enumerate(records):
            writer.put(key, b"no Datum" if index == 5 else value)
    return path


def test_only_rank_0_logs_and_writes(folder):
    write_solver(CONFIGS["lmdb"], folder, "one", max_iter=6)
    page = ("-report", "run.html")
    done = run(2, *TRAIN, "one.prototxt", *page, "-global_batch", folder=folder)
    assert done.stderr.count("Training on 2 ranks") == 1
    assert done.stderr.count("Iteration 4, lr") == 1
    assert done.stderr.count("Optimization Done.") == 1
    assert not re.search("^[WE]", done.stderr, re.MULTILINE), "it warns of nothing"
    made = sorted(path.name for path in folder.glob("one_iter_6.*"))
    assert made == ["one_iter_6.caffemodel", "one_iter_6.resume", "one_iter_6.solverstate"]
    assert (folder / "run.html").exists()
    losses = re.findall(r"Iteration \d+ \(.*loss = (\S+)", done.stderr)
    alone = run(1, *TRAIN, "one.prototxt", folder=folder)
    assert losses == re.findall(r"Iteration \d+ \(.*loss = (\S+)", alone.stderr)
    assert "ranks" not in alone.stderr


def test_a_bad_record_of_one_rank_is_one_located_message(folder):
    net = CONFIGS["lmdb"].net.replace("records.lmdb", "bad.lmdb")
    settings = {"max_iter": 6, "snapshot": 1, "test_initialization": "false", "test_interval": 9}
    write_solver(CONFIGS["lmdb"], folder, "bad", net_param=f"{{{net}}}", **settings)
    done = run(2, *TRAIN, "bad.prototxt", "-global_batch", folder=folder, code=1)
    said = [line for line in done.stderr.splitlines() if "not a Datum" in line]
    assert len(said) == 1
    assert re.match(
        r'bad\.prototxt:\d+:\d+: layer "data" \(Data\): record "00000005" of "bad.lmdb": .* '
        r"\(rank 1 of 2, on .*\)$",
        said[0],
    )
    assert "Traceback" not in done.stderr
    # the batch of the first iteration was good: its snapshot stands
    assert files.read_state(folder / "bad_iter_1.solverstate").iter == 1
    assert not list(folder.glob("bad_iter_2.*"))


def test_an_error_of_all_ranks_is_told_once(folder):
    done = run(2, *TRAIN, "none.prototxt", folder=folder, code=1)
    assert done.stderr.count("none.prototxt") == 1


def living(words: str) -> list[int]:
    """The processes whose command line has these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line and line.startswith(sys.executable):
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="it finds the ranks in /proc")
def test_where_a_rank_is_killed_the_last_snapshot_stands(folder):
    write_solver(
        CONFIGS["lmdb"], folder, "killed", max_iter=10**6, snapshot=5, test_interval=10**5
    )
    words = [*TRAIN, "killed.prototxt", "-global_batch"]
    with open(folder / "killed.log", "wb") as log:
        launcher = subprocess.Popen(
            command(2, words), cwd=folder, env=environment(), stderr=log, stdout=log
        )
        try:
            end = time.monotonic() + PATIENCE
            while not (folder / "killed_iter_10.solverstate").exists():
                assert launcher.poll() is None, (folder / "killed.log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            ranks = living("killed.prototxt")
            assert len(ranks) == 2
            os.kill(max(ranks), signal.SIGKILL)
            assert launcher.wait(PATIENCE) != 0
        finally:
            launcher.kill()
            launcher.wait()
    assert not living("killed.prototxt")
    newest = max(files.read_state(path).iter for path in folder.glob("killed_iter_*.solverstate"))
    write_solver(CONFIGS["lmdb"], folder, "killed", max_iter=newest + 2, test_interval=10**5)
    gone_on = run(1, *TRAIN, "killed.prototxt", "-snapshot", "auto", folder=folder)
    assert f"killed_iter_{newest}." in gone_on.stderr
    assert (folder / f"killed_iter_{newest + 2}.caffemodel").exists()


def test_weights_to_fine_tune_must_be_the_same(folder):
    write_solver(CONFIGS["lmdb"], folder, "tuned", max_iter=1)
    weights = folder / "one_iter_6.caffemodel"
    if not weights.exists():
        run(1, *TRAIN, "tuned.prototxt", folder=folder)
        (folder / "tuned_iter_1.caffemodel").rename(weights)
    other = folder / "elsewhere"
    other.mkdir()
    for path in folder.iterdir():
        if path.suffix in (".lmdb", ".prototxt"):
            (other / path.name).symlink_to(path)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    (other / weights.name).write_bytes(content)
    program = (
        "import os, sys\n"
        "from caffe_lite import mpirun\n"
        "from caffe_lite.__main__ import main\n"
        "if mpirun.rank(): os.chdir('elsewhere')\n"
        "main()\n"
    )
    arguments = ("train", "-solver", "tuned.prototxt", "-weights", weights.name)
    done = run(2, "-c", program, *arguments, folder=folder, code=1)
    assert done.stderr.count(f"{weights.name}: differs between rank 1") == 1


def test_ranks_with_statistics_of_their_own_are_not_said_to_have_come_apart(folder):
    write_solver(CONFIGS["norms"], folder, "norms", max_iter=3, snapshot=1)
    done = run(2, *TRAIN, "norms.prototxt", folder=folder)
    assert "norms_iter_3.resume" in done.stderr
    assert "differ by rounding" not in done.stderr
