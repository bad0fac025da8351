"""python -m tools.bench.scale: measure, predict, and print."""

from __future__ import annotations

import sys

from tools.bench.scale.command import main

sys.exit(main(sys.argv[1:]))
