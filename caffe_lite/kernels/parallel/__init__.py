"""The one way to run a kernel on several threads: `launch`, on a pool of our own.

A kernel that `parallel` compiles works on a range of independent *tasks*,

    @parallel
    def _rows(first, last, x, y):
        for row in range(first, last):
            ...

and ``launch(_rows, tasks, elements, x, y)`` cuts that range into pieces for the threads.
`elementwise` does all of this for kernels whose arrays have one shape.

Why not Numba's own threads: its OpenMP layer ends a forked child that enters a kernel, and is
missing where no OpenMP library is installed (macOS); its workqueue layer ends the process when two
threads enter kernels; its TBB layer takes ten times as long to fork and join.  None of this is
under a program's control, and which layer Numba finds depends on the machine.
"""

from __future__ import annotations

from caffe_lite.kernels.parallel.launcher import (
    elementwise,
    launch,
    parallel,
    pieces_of,
    prepare,
)
from caffe_lite.kernels.parallel.pool import get_num_threads, limit_threads, set_num_threads
from caffe_lite.kernels.parallel.recording import (
    Recording,
    clock,
    record,
    unrecorded,
    weights_stay,
)

__all__ = [
    "Recording",
    "clock",
    "elementwise",
    "get_num_threads",
    "launch",
    "limit_threads",
    "parallel",
    "pieces_of",
    "prepare",
    "record",
    "set_num_threads",
    "unrecorded",
    "weights_stay",
]
