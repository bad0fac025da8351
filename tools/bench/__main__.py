"""python -m tools.bench: measure, print, and write tools/bench/results/."""

from __future__ import annotations

import sys

from tools.bench.command import main

sys.exit(main(sys.argv[1:]))
