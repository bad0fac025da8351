"""One thread at a time in parallel kernels."""

from __future__ import annotations

import threading

computing = threading.RLock()
"""Held while parallel kernels run: Numba's default threading layer ends the process when two
Python threads are in parallel kernels at once.

Taken in two places, `Runner` (forward, backward, reshape) and `Solver.apply_update`, and nowhere
else.
"""
