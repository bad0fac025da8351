"""Measure whether resident memory grows: over iterations of a net, and over nets made and dropped.

    python tools/measure_growth.py                       everything: about an hour on two cores
    python tools/measure_growth.py train --rounds 2000   one scenario, with fewer rounds

Each scenario runs in a process of its own, with 1, 2 and 4 threads (NUMBA_NUM_THREADS); training
runs also in children by fork, forkserver and spawn, and in several Python threads at a time.  A
tenth of the rounds warms up.  More than `ALLOWED` of growth in the rest is reported, and exits
with 1.  Needs Linux, whose /proc says what a process has taken.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = 1 << 20
"""Bytes."""
ITERATIONS, NETS = 20_000, 10_000

NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 dim: 8 dim: 9 } shape { dim: 4 }
                     data_filler { type: "gaussian" } data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
READING = """
name: "reading"
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "db" backend: LMDB batch_size: 2 } }
layer { name: "power" type: "Power" bottom: "data" top: "power" power_param { scale: 2 } }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 max_iter: 9\n'


def resident() -> int:
    """Bytes of this process that are in memory, without what only waits to be collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth(one: Callable[[], object], rounds: int) -> int:
    """By how many bytes the process grows while `one` is called, after a tenth as many calls."""
    for _ in range(max(rounds // 10, 50)):
        one()
    before = resident()
    for _ in range(rounds):
        one()
    return resident() - before


# -- scenarios: each gives a function to be called again and again -------------------------------


@contextmanager
def train() -> Iterator[Callable[[], object]]:
    """Iterations of training."""
    import caffe_lite

    with caffe_lite.get_solver("solver.prototxt") as solver:
        solver.net.share_memory()
        yield lambda: solver.step(1)


@contextmanager
def infer() -> Iterator[Callable[[], object]]:
    """Forward passes."""
    import caffe_lite

    with caffe_lite.Net("net.prototxt", caffe_lite.TEST) as net:
        yield net.forward


@contextmanager
def nets() -> Iterator[Callable[[], object]]:
    """Nets that are made, run once forward and backward, and dropped."""
    import caffe_lite

    def one() -> None:
        net = caffe_lite.Net("net.prototxt", caffe_lite.TRAIN)
        net.forward()
        net.backward()

    yield one


@contextmanager
def solvers() -> Iterator[Callable[[], object]]:
    """Solvers that are made, run for one iteration, and dropped."""
    import caffe_lite

    yield lambda: caffe_lite.get_solver("solver.prototxt").step(1)


def _readers() -> list[threading.Thread]:
    """The threads that read ahead; those of the kernels' pool stay."""
    return [thread for thread in threading.enumerate() if thread.name == "caffe_lite reader"]


@contextmanager
def readers() -> Iterator[Callable[[], object]]:
    """Nets that read a database, made, run, and closed or only dropped; their threads must end."""
    import caffe_lite

    count = 0

    def one() -> None:
        nonlocal count
        net = caffe_lite.Net("reading.prototxt", caffe_lite.TRAIN)
        net.forward()
        if count % 2:
            net.close()
        del net
        count += 1
        if len(_readers()) > 2:
            gc.collect()

    yield one
    gc.collect()
    if _readers():
        raise SystemExit(f"threads that did not end: {_readers()}")


@contextmanager
def leak() -> Iterator[Callable[[], object]]:
    """A leak made on purpose, of 2 kB in each round: what a measurement must find."""
    kept: list[bytearray] = []
    yield lambda: kept.append(bytearray(b"x" * 2048))


SCENARIOS = {each.__name__: each for each in (train, infer, nets, solvers, readers, leak)}
WAYS = ("fork", "forkserver", "spawn", "threads")


def measure(name: str, rounds: int, way: str = "") -> int:
    """The growth of a scenario in this process, in its child by `way`, or in threads of it."""
    if way == "threads":
        return _in_threads(name, rounds)
    if way:
        context: Any = multiprocessing.get_context(way)
        if way == "fork":
            measure(name, 50)  # the child's pool must be its own
        queue = context.SimpleQueue()
        child = context.Process(target=_answer, args=(queue, name, rounds))
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit(f"the child of {way} ended with {child.exitcode}")
        return int(queue.get())
    with SCENARIOS[name]() as one:
        return growth(one, rounds)


def _answer(queue: multiprocessing.SimpleQueue[int], name: str, rounds: int) -> None:
    queue.put(measure(name, rounds))


def _in_threads(name: str, rounds: int, count: int = 3) -> int:
    with SCENARIOS[name]() as one, SCENARIOS[name]() as two, SCENARIOS[name]() as three:

        def all_at_once(times: int) -> None:
            threads = [
                threading.Thread(target=lambda act=act: [act() for _ in range(times)])
                for act in (one, two, three)[:count]
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        all_at_once(max(rounds // 10, 50))
        before = resident()
        all_at_once(rounds // count)
        return resident() - before


def prepare(folder: Path) -> None:
    """Write the nets, the solver and a database into a folder."""
    import numpy as np

    from caffe_lite.data.datum import array_to_datum
    from caffe_lite.data.db import create_db

    (folder / "net.prototxt").write_text(NET)
    (folder / "reading.prototxt").write_text(READING)
    (folder / "solver.prototxt").write_text(SOLVER)
    with create_db(str(folder / "db"), "lmdb") as writer:
        for index in range(3):
            image = np.full((3, 4, 5), index, np.uint8)
            writer.put(b"%d" % index, array_to_datum(image, index).SerializeToString())


def in_a_process(name: str, rounds: int, way: str = "", threads: int = 2) -> int:
    """`measure` in a process of its own with so many threads of kernels; bytes."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        words = [sys.executable, __file__, name, "--rounds", str(rounds), "--here", f"--way={way}"]
        done = subprocess.run(
            words,
            cwd=folder,
            env=os.environ | {"NUMBA_NUM_THREADS": str(threads), "GLOG_minloglevel": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{name} {way}: {done.stderr.strip()[-2000:]}")
    return int(done.stdout.split()[-1])


def main() -> int:
    """Measure; 1 if something grows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], help="default: all")
    parser.add_argument("--rounds", type=int, help="instead of 20,000 iterations or 10,000 nets")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--way", default="", choices=["", *WAYS])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(measure(args.scenarios[0], args.rounds, args.way))
        return 0
    grown = False
    for name in args.scenarios or [each for each in SCENARIOS if each != "leak"]:
        rounds = args.rounds or (ITERATIONS if name in ("train", "infer") else NETS)
        plans = [(threads, args.way) for threads in args.threads]
        if not args.way and name == "train":
            plans += [(2, way) for way in WAYS]
        for threads, way in plans:
            found = in_a_process(name, rounds, way, threads)
            grown = grown or found > ALLOWED
            where = f"{threads} threads" + (f", by {way}" if way else "")
            print(f"{name}: {rounds} rounds, {where}: {found / 1024:+,.0f} KiB", flush=True)
    return grown


if __name__ == "__main__":
    sys.exit(main())
