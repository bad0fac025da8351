"""Settings that must stand before numba is imported."""

from __future__ import annotations

import os

# Two threads at least, on a machine with one core too: kernels must give the same bits with both.
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
