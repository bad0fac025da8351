"""Stop runs, kill them, continue them, and compare with runs that nobody stopped, to the bit.

    python tools/check_resume.py stops           # each configuration, stopped at 1, 37, 50 of 100
    python tools/check_resume.py kills --count 200

Every run is a process of its own, `caffe-lite train`, as a user starts it.  The configurations are
those of tests/solver/resuming.py.  Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.solver.resuming import CONFIGS, Config, write_data, write_solver  # noqa: E402

END = 100
STOPS = (1, 37, 50)
KILLED = ("BINARYPROTO", "HDF5")
SPEED = re.compile(r" \([^)]*iters\)")


def command(folder: Path, *words: str) -> list[str]:
    """`caffe-lite train` of the solver in a folder."""
    train = ["train", "-solver", "run.prototxt", "-allow-python-layers"]
    return [sys.executable, "-m", "caffe_lite", *train, *words]


def environment(folder: Path) -> dict[str, str]:
    """With this project and the folder's Python layer on the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}


def train(folder: Path, *words: str) -> list[str]:
    """Run to the end; the lines of the log without their heads and speeds."""
    done = subprocess.run(
        command(folder, *words),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{folder}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    lines = (line.partition("] ")[2] for line in done.stderr.splitlines())
    return [SPEED.sub("", line) for line in lines]


def told(lines: list[str], after: int) -> list[str]:
    """Losses, rates and outputs from the last line about iteration `after` on."""
    starts = [i for i, line in enumerate(lines) if f"_iter_{after}." in line]
    kept = lines[max(starts) + 1 :]
    return [line for line in kept if re.match(r"Iteration|    (Test|Train) net", line)]


def end_of(folder: Path) -> dict[str, bytes]:
    """The files of the last snapshot."""
    files = sorted(folder.glob(f"run_iter_{END}.*"))
    return {path.name: path.read_bytes() for path in files}


def remove_snapshots(folder: Path) -> None:
    """Remove those of an earlier run."""
    for path in folder.glob("run_iter_*"):
        path.unlink()


def stops(name: str, config: Config, folder: Path) -> Iterator[str]:
    """A line for each stop: whether the continued run equals the whole one."""
    write_solver(config, folder, "run", max_iter=END, snapshot=1)
    lines, whole = train(folder), end_of(folder)
    for stop in STOPS:
        for path in folder.glob(f"run_iter_{END}.*"):
            path.unlink()
        (state,) = folder.glob(f"run_iter_{stop}.solverstate*")
        continued = train(folder, "-snapshot", state.name)
        files = len(whole) == 3 and end_of(folder) == whole
        log = told(continued, stop) == told(lines, stop) != []
        yield f"{'equal' if files and log else 'DIFFERENT'} {name}, stopped at {stop}"


def kills(kind: str, folder: Path, count: int, seed: int) -> Iterator[str]:
    """A line for each run that was killed several times and ended, `count` kills in all."""
    chance = random.Random(seed)
    config = CONFIGS["shuffled"]
    settings = {"max_iter": END, "snapshot": 2, "snapshot_format": kind}
    write_solver(config, folder, "run", **settings)
    remove_snapshots(folder)
    train(folder)
    whole, done = end_of(folder), 0
    while done < count:
        remove_snapshots(folder)
        killed = 0
        while not finished(folder, chance, killed < min(8, count - done)):
            killed += 1
        done += killed
        left = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
        good = len(whole) == 3 and end_of(folder) == whole and not left
        states = len(list(folder.glob("run_iter_*.solverstate*")))
        yield (
            f"{'equal' if good and states == 3 else 'DIFFERENT'} {kind}, killed {killed} times, "
            f"{done} in all, {states} snapshots and {len(left)} leftovers remain"
        )


def finished(folder: Path, chance: random.Random, may_kill: bool) -> bool:
    """Continue; False if the run was killed: at any time, or while it writes a snapshot."""
    process = subprocess.Popen(
        command(folder, "-snapshot", "auto", "-keep_snapshots", "3"),
        cwd=folder,
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines_before_kill = chance.randrange(1, 260) if may_kill else 1 << 30
    last = ""
    for line in process.stderr:
        last = line
        lines_before_kill -= "Iteration" in line or "Snapshotting" in line
        if lines_before_kill <= 0:
            time.sleep(chance.choice((0.0, 0.002, 0.01)) * chance.random())
            process.kill()
            break
    process.communicate()
    if process.returncode not in (0, -9):
        raise SystemExit(f"{folder}: exit code {process.returncode}: {last}")
    return process.returncode == 0


def main() -> int:
    """Run the checks; returns 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("stops", "kills"))
    parser.add_argument("--only", help="the name of one configuration, or format to kill")
    parser.add_argument("--count", type=int, default=20, help="kills: how many for each format")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        for each in checks(args, folder):
            lines.append(each)
            print(each, flush=True)
    wrong = sum(not line.startswith("equal") for line in lines)
    print(f"{len(lines)} compared, {wrong} different")
    return int(wrong > 0)


def checks(args: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The lines of what was asked for."""
    if args.what == "kills":
        for kind in KILLED:
            if args.only in (None, kind):
                yield from kills(kind, folder, args.count, args.seed)
        return
    for name, config in CONFIGS.items():
        if not config.by_program and args.only in (None, name):
            yield from stops(name, config, folder)
            remove_snapshots(folder)


if __name__ == "__main__":
    sys.exit(main())
