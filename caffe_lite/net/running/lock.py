"""One thread at a time in parallel kernels.

`computing` is held while parallel kernels run: Numba's default threading layer ends the process
when two Python threads are in parallel kernels at once.  It is taken by `Runner` (forward,
backward, reshape) and by `Solver.apply_update`, and nowhere else.
"""

from __future__ import annotations

import threading

computing = threading.RLock()
