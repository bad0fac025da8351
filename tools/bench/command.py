"""The command line."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from tools.bench import isolated, machine, report, rows
from tools.bench.disturbance import ATTEMPTS, Monitor
from tools.bench.report import Options, Section
from tools.bench.sides import SIDES

PARTS = {
    "single": "one picture at a time: percentiles, two threads, first answers",
    "kernels": "single kernels, against np.matmul and memory bandwidth",
    "products": "layers that are matrix products, against np.matmul",
    "start": "import, cold and warm start, peak memory",
    "growth": "time as a function of batch, area and threads",
    "forecast": "what caffe-lite check forecasts of training steps, against what they take",
    "datapath": "images per second from a database",
    "merged": "nets before and after merge_bn",
    "variants": "kernels against rejected variants",
}
"""The modules with a function `section(options)`, and their descriptions."""
ROUNDS = 5


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f'"{word}" is not a positive number')
    return int(word)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Measure nets, layers and kernels, here and in other libraries.",
    )
    add = parser.add_argument
    add("--rows", nargs="*", metavar="ROW", help="whole nets (default: all, if no part is given)")
    add("--list", action="store_true", help="print the names of the rows and exit")
    add("--layers", nargs="+", metavar="ROW", default=[], help="one net, layer by layer")
    for part, meaning in PARTS.items():
        add(f"--{part}", action="store_true", help=meaning)
    add("--all", action="store_true", help="all rows and all parts")
    add("--peers", nargs="+", choices=(*rows.PEERS, "none"), default=rows.PEERS)
    add(
        "--threads",
        type=_positive,
        default=os.cpu_count() or 1,
        help="threads of every library (default: all cores)",
    )
    add(
        "--rounds",
        type=_positive,
        default=ROUNDS,
        help="rounds of each row (default: %(default)s)",
    )
    add(
        "--attempts",
        type=_positive,
        default=ATTEMPTS,
        help="how often a row is measured at most, if the machine is disturbed (%(default)s)",
    )
    add(
        "--vectors",
        choices=("avx2",),
        help="limit ours, and the libraries that can be, to this instruction set",
    )
    add("--output", type=Path, help="the folder to write to (default: results/, if all rows run)")
    return parser


def main(words: Sequence[str]) -> int:
    """Run the selected measurements; exits with 2 for an unknown row."""
    parser = _parser()
    args = parser.parse_args(words)
    if args.list:
        print("\n".join(row.key for row in rows.ROWS))
        return 0
    os.environ.pop("OPENBLAS_CORETYPE", None)  # an old processor's name halves NumPy's speed
    if args.vectors:
        os.environ.update(_limits())  # before this process, or one that it starts, imports Numba
    parts = [part for part in PARTS if args.all or getattr(args, part)]
    try:
        chosen = [rows.parse(key) for key in args.rows or []]
        layers = [rows.parse(key).key for key in args.layers]
        _require_nets((args.rows or []) + args.layers)
    except ValueError as error:
        parser.error(str(error))
    if args.all or not (chosen or layers or parts):
        chosen = list(rows.ROWS)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            args.threads,
            args.rounds,
            tuple(peer for peer in args.peers if _installed(peer)),
            Path(folder),
            machine.Speed(
                *isolated.call(
                    "tools.bench.machine:speed", threads=args.threads, workers=args.threads
                )
            ),
            Monitor(args.threads, args.attempts),
            bool(args.vectors),
        )
        print(report.heading(options))
        for section in _sections(chosen, layers, parts, options):
            print(f"\n## {section.title}\n\n{section.text}", flush=True)
            partial = section.name == "nets" and len(chosen) < len(rows.ROWS)
            if args.output or not partial:
                report.write(section, options, args.output or report.RESULTS)
    return 0


def _sections(
    chosen: list[rows.Row], layers: list[str], parts: list[str], options: Options
) -> Iterator[Section]:
    if chosen:
        from tools.bench import whole

        yield whole.measure(chosen, options)
    for key in layers:
        from tools.bench.layers import section

        yield section(key, options)
    for part in parts:
        yield import_module(f"tools.bench.{part}").section(options)


def _require_nets(keys: Sequence[str]) -> None:
    """Raise ValueError for a row of a net that there is not, or that is not trained."""
    from tools.bench import nets

    for row in map(rows.parse, keys):
        if row.net not in nets.NETS:
            raise ValueError(f'there is no net "{row.net}" ({", ".join(nets.NETS)})')
        nets.prototxt(row.net, row.batch, row.train)


def _limits() -> dict[str, str]:
    """The environment variables that limit all sides to AVX2 that can be limited."""
    found = machine.limits()
    for side in SIDES.values():
        found.update(side.limit or {})
    return found


def _installed(peer: str) -> bool:
    if peer == "none":
        return False
    if not SIDES[peer].is_installed:
        print(f"{SIDES[peer].title} is not installed: pip install -e '.[bench]'", file=sys.stderr)
        return False
    return True
