"""The command line: measure nets here, and print what the model predicts of them."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence

from caffe_lite import distributed
from caffe_lite.solver.reduction import BUCKET
from tools.bench import isolated, machine, rows
from tools.bench.scale import tables
from tools.bench.scale.checked import compare
from tools.bench.scale.profile import from_plain
from tools.bench.scale.reductions import Cluster, Link
from tools.bench.scale.step import Profile

MEMORY_LATENCY = 1e-6  # seconds of a short message between two ranks of one machine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.scale",
        description="Predict the time of a training step on 2 to 1,024 ranks.",
    )
    add = parser.add_argument
    add("nets", nargs="*", metavar="NET:BATCH", default=["alexnet:32", "resnet50:8"])
    add("--threads", type=int, default=os.cpu_count() or 1, help="threads of the measured rank")
    add(
        "--rate",
        type=float,
        nargs="+",
        metavar="N",
        help="examples a second of a rank that trains alone (default: as measured here)",
    )
    add("--local", type=int, default=2, help="ranks on one machine (default: %(default)s)")
    add("--memory", type=float, metavar="GB/s", help="of a message between two of these")
    add("--adding", type=float, metavar="GB/s", help="of adding gradients (defaults: as measured)")
    add("--batch", type=int, default=256, help="the batch that is divided (default: %(default)s)")
    add("--bucket", type=int, default=BUCKET, help="bytes of a bucket (default: the solver's)")
    return parser


def main(words: Sequence[str]) -> int:
    """Measure each net with its batch and with one example, and print its tables.

    On several ranks, compare with what they measure instead.
    """
    parser = _parser()
    args = parser.parse_args(words)
    try:
        chosen = [rows.parse(key) for key in args.nets]
    except ValueError as error:
        parser.error(str(error))
    group = distributed.world()
    if not group.is_alone:
        found = compare(group, [row.key for row in chosen], args.bucket)
        if found is not None:
            print(found)
        return 0
    memory = Link(MEMORY_LATENCY, 1e-9 / (args.memory or _memory_speed(args.threads)))
    gamma = (
        1e-9 / args.adding
        if args.adding
        else isolated.call("tools.bench.scale.profile:adding_speed", threads=1)
    )
    cluster = Cluster(Link(0, 0), memory, gamma, args.local)
    print(
        f"{machine.processor()} ({machine.vectors()}), {args.threads} threads; {args.local} ranks "
        f"on a machine; memory between them {1e-9 / memory.beta:.1f} GB/s, adding "
        f"{1e-9 / gamma:.1f} GB/s."
    )
    for row in chosen:
        batches = {row.batch, 1}
        with tempfile.TemporaryDirectory() as folder:
            small, *_, large = _measured(
                [f"{row.net}:{each}" for each in sorted(batches)], folder, args.threads
            )
        print(f"\n## {row.net}\n\n{tables.heading(large, args.bucket)}")
        measured = large.batch / large.seconds
        for rate in args.rate or [measured]:
            print(f"\n### {rate:.3g} examples a second on one rank")
            faster = rate / measured
            _print_tables(large.faster(faster), small.faster(faster), cluster, args)
    return 0


def _print_tables(
    profile: Profile, small: Profile, cluster: Cluster, args: argparse.Namespace
) -> None:
    each = tables.weak(profile, cluster, args.bucket)
    print(f"\nEfficiency, batch {profile.batch} on each rank:\n")
    print(tables.efficiency_table(each, tables.RANKS, divided=False))
    print("\nMilliseconds of a step with a ring:\n")
    print(tables.step_table(each, tables.RANKS, "ring"), flush=True)
    if small.batch < profile.batch:
        together = tables.strong(small, profile, args.batch, cluster, args.bucket)
        ranks = [p for p in tables.RANKS if p <= args.batch]
        print(f"\nEfficiency, batch {args.batch} divided among the ranks:\n")
        print(tables.efficiency_table(together, ranks, divided=True), flush=True)


def _memory_speed(threads: int) -> float:
    """GB/s of a message between two ranks of this machine.

    It is copied into memory that both see and out of it, each time read and written.
    """
    _, copied = isolated.call("tools.bench.machine:speed", threads=threads, workers=threads)
    return float(copied) / 4


def _measured(keys: list[str], folder: str, threads: int) -> list[Profile]:
    plain = isolated.call(
        "tools.bench.scale.profile:as_plain", threads=threads, keys=keys, folder=folder
    )
    return [from_plain(each) for each in plain]
