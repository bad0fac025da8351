"""Draw small nets at random and run each in every way that must give the same numbers.

    python tools/random_nets.py 2000             the nets of seeds 0 to 1999
    python tools/random_nets.py 500 -first 7000  those of seeds 7000 to 7499

A net that does not agree with itself is printed with its seed and its prototxt.  The test suite
does the same with a few seeds: `tests/net/test_random_nets.py`.  NUMBA_DISABLE_JIT=1 saves the
compiler's minutes, and takes ten times as long for each net.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

os.environ.setdefault("NUMBA_NUM_THREADS", "2")  # one thread is compared with two


def disagreements(seed: int) -> list[str]:
    """What is wrong with the net of a seed, with its text; nothing if all agrees."""
    agreement = importlib.import_module("tests.net.agreement")
    random_nets = importlib.import_module("tests.net.random_nets")
    with tempfile.TemporaryDirectory() as folder:
        try:
            drawn = random_nets.draw_net(seed, Path(folder))
        except Exception:
            return [f"seed {seed} cannot be drawn", traceback.format_exc()]
        try:
            found = list(agreement.disagreements(drawn))
        except Exception:
            found = [traceback.format_exc()]
        return [*found, drawn.describe()] if found else []


def main() -> int:
    """Draw them; returns 1 if one disagrees."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int, help="how many nets")
    parser.add_argument("-first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("-seconds", type=float, help="begin no new net after so long")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    # the arrays are so small that each would be worked on by one thread
    launcher: Any = importlib.import_module("caffe_lite.kernels.parallel.launcher")
    launcher.GRAIN = 8
    start, tried, wrong = time.monotonic(), 0, 0
    for seed in range(args.first, args.first + args.count):
        if args.seconds and time.monotonic() - start > args.seconds:
            break
        tried += 1
        found = disagreements(seed)
        wrong += bool(found)
        if found:
            print("\n".join(found), flush=True)
    print(f"{tried} nets from seed {args.first} on, {wrong} of them disagree with themselves")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
