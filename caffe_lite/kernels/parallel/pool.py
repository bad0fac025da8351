"""The pool: threads that wait inside compiled code, without Python's lock, for pieces of work.

Forking and joining takes about one microsecond, as a worker that has nothing to do first spins.
After SPINS rounds it sleeps, so that an idle program uses no processor time; the next launch wakes
it.

A *piece* belongs to whoever takes it first, the calling thread included.  When another process
takes a core away, the threads that are left do the rest.  Each thread starts at a piece of its
own, so that it meets the elements that its part of the launch before has left in its cache.  Which
thread does a piece changes no result: pieces are independent.

All is kept in one array of words, the *state*.  `_LEFT` is a word with a bit for each piece that
nobody has taken yet.  Clearing a bit, in one atomic instruction, takes the piece.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading

import numpy as np
from numba import carray, config
from numba.cpython.unsafe.numbers import trailing_zeros

from caffe_lite.kernels.jit import callback, jit
from caffe_lite.kernels.parallel.atomic import (
    add,
    call,
    compare_exchange,
    exchange,
    load,
    pause,
    store,
    words_at,
)

__all__ = [
    "MOST_PIECES",
    "SHARE",
    "get_num_threads",
    "limit_threads",
    "set_num_threads",
    "state",
]

LINE = 16  # words that share no cache line with the next ones, even where lines are read in pairs

# What is written often, each on a line of its own.
_LEFT, _DONE, _BUSY, _QUIT = 0, LINE, 2 * LINE, 3 * LINE
# The launch: what to call, for how many tasks, in how many pieces; whether a piece failed.
_FUNCTION, _CONTEXT, _TASKS, _PIECES, _FAILED = range(4 * LINE, 4 * LINE + 5)
# What never changes: addresses of functions, and how many workers there are.
SHARE, _ACQUIRE, _RELEASE, _ACQUIRE_TIMED, _NAP_LOCK, _WORKERS = range(5 * LINE, 5 * LINE + 6)
# For each worker a line: whether it sleeps, and the lock that it sleeps on.
_SLEEPERS = 6 * LINE
MOST_WORKERS = 255
_WORDS = _SLEEPERS + LINE * MOST_WORKERS

MOST_PIECES = 62  # bits of a word that is never negative
SPINS = 5000
"""Rounds that a worker waits awake: about 0.1 ms, longer than Python takes between two layers."""
PATIENCE = 20000
"""Rounds that the calling thread waits for the last pieces before it lets others run."""
NAP = 20
"""Microseconds of that."""


@jit
def _take_piece(state, start):
    """Do a piece of the work, from `start` on and around, and say whether there was one left."""
    left = load(state, _LEFT)
    if left == 0:
        return False
    ahead = left >> start << start
    piece = np.int64(trailing_zeros(ahead if ahead != 0 else left))
    if compare_exchange(state, _LEFT, left, left & ~(1 << piece)):
        pieces, tasks = state[_PIECES], state[_TASKS]
        first, last = piece * tasks // pieces, (piece + 1) * tasks // pieces
        if call(state[_FUNCTION], state[_CONTEXT], first, last) != 0:
            store(state, _FAILED, 1)
        add(state, _DONE, 1)
    return True


@jit
def _serve(state, worker):
    """What a worker does until the pool is closed."""
    asleep = _SLEEPERS + LINE * worker
    spins = 0
    while load(state, _QUIT) == 0:
        if _take_piece(state, state[_PIECES] * (worker + 1) // (state[_WORKERS] + 1)):
            spins = 0
            continue
        if spins < SPINS:
            spins += 1
            pause()
            continue
        spins = 0
        store(state, asleep, 1)
        awake = load(state, _LEFT) != 0 or load(state, _QUIT) != 0
        if awake and compare_exchange(state, asleep, 1, 0):
            continue  # work came meanwhile, and nobody has woken this thread for it
        call(state[_ACQUIRE], state[asleep + 1], 1, 0)


@jit
def _wake(state, count):
    """Wake as many sleeping workers, if there are so many."""
    for worker in range(state[_WORKERS]):
        if count == 0:
            break
        asleep = _SLEEPERS + LINE * worker
        if load(state, asleep) == 1 and exchange(state, asleep, 0) == 1:
            call(state[_RELEASE], state[asleep + 1], 0, 0)
        count -= 1


def _share(address, function, context, tasks, pieces):
    """Do all pieces with the workers' help; returns 0, or else that a piece failed.

    If another thread is using the workers, the caller does all of it alone.
    address: of the state.
    """
    state = carray(words_at(address), _WORDS, np.int64)
    if not compare_exchange(state, _BUSY, 0, 1):
        return call(function, context, 0, tasks)
    pieces = min(pieces, MOST_PIECES)
    state[_FUNCTION], state[_CONTEXT] = function, context
    state[_TASKS], state[_PIECES], state[_FAILED] = tasks, pieces, 0
    store(state, _DONE, 0)
    store(state, _LEFT, (1 << pieces) - 1)
    _wake(state, pieces - 1)
    while _take_piece(state, 0):
        pass
    waited = 0
    while load(state, _DONE) != pieces:
        waited += 1
        if waited < PATIENCE:
            pause()
        else:
            call(state[_ACQUIRE_TIMED], state[_NAP_LOCK], NAP, 0)
    failed = state[_FAILED]
    store(state, _BUSY, 0)
    return failed


class Pool:
    """Workers, one less than `threads`, and their state."""

    def __init__(self, threads: int) -> None:
        whole = np.zeros(_WORDS + LINE, np.int64)
        start = -whole.ctypes.data // whole.itemsize % LINE
        self.state = whole[start : start + _WORDS]
        share = callback("int64(int64, int64, int64, int64, int64)", _share)
        self.state[SHARE] = share.address
        self.state[_ACQUIRE] = _address_of("PyThread_acquire_lock")
        self.state[_ACQUIRE_TIMED] = _address_of("PyThread_acquire_lock_timed")
        self.state[_RELEASE] = _address_of("PyThread_release_lock")
        self.state[_NAP_LOCK] = _locked()
        self._compile()
        self.workers: list[threading.Thread] = []
        for number in range(min(threads - 1, MOST_WORKERS)):
            self.state[_SLEEPERS + LINE * number + 1] = _locked()
            worker = threading.Thread(
                target=_serve, args=(self.state, number), name="caffe_lite", daemon=True
            )
            try:
                worker.start()
            except RuntimeError:  # the system allows no more threads
                break
            self.workers.append(worker)
        self.state[_WORKERS] = len(self.workers)

    def _compile(self) -> None:
        """Compile what the workers run, so that they need not wait for each other."""
        self.state[_QUIT] = 1
        _serve(self.state, 0)
        _wake(self.state, 0)
        self.state[_QUIT] = 0

    def close(self) -> None:
        """End the workers: the memory that holds their code is about to go."""
        self.state[_QUIT] = 1
        _wake(self.state, len(self.workers))
        for worker in self.workers:
            worker.join()


def _address_of(name: str) -> int:
    """The address of a function of Python's C interface that needs no hold of Python's lock."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _locked() -> int:
    """The address of a new lock, which is locked; it is never freed."""
    allocate = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", ctypes.pythonapi))
    acquire = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(
        ("PyThread_acquire_lock", ctypes.pythonapi)
    )
    lock: int = allocate()
    acquire(lock, 1)
    return lock


_starting = threading.Lock()
_threads: int = config.NUMBA_NUM_THREADS
_pool: Pool | None = None


def get_num_threads() -> int:
    """How many threads a launch may use: at first the processor's, or ``NUMBA_NUM_THREADS``."""
    return _threads


def set_num_threads(count: int) -> None:
    """Let launches use as many threads; ValueError unless there are that many.

    No result depends on it.
    """
    global _threads
    if not 1 <= count <= config.NUMBA_NUM_THREADS:
        raise ValueError(f"{count} threads; choose 1 to {config.NUMBA_NUM_THREADS}")
    _threads = count


def limit_threads(count: int) -> None:
    """Let there be `count` threads at most from now on: the part of the machine that is ours.

    A pool that has started keeps its workers; launches use no more of them than that.
    """
    global _threads
    if _pool is None:
        config.NUMBA_NUM_THREADS = count
        os.environ["NUMBA_NUM_THREADS"] = str(count)  # which Numba may read again
    _threads = min(count, config.NUMBA_NUM_THREADS)


def state() -> np.ndarray:
    """The state of the pool, whose workers start with the first call."""
    global _pool
    if _pool is None:
        with _starting:
            if _pool is None:
                pool = Pool(config.NUMBA_NUM_THREADS)
                atexit.register(pool.close)
                _pool = pool
    return _pool.state


def _forget() -> None:
    """In a forked child: it has none of its parent's threads."""
    global _pool, _starting
    if _pool is not None:
        atexit.unregister(_pool.close)
    _pool, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
