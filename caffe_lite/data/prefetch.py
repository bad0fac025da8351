"""A background thread that prepares batches in advance, in order."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from caffe_lite.errors import DataError

T = TypeVar("T")

Fill = Callable[[T | None], T]
"""Makes the next batch; reuses the arrays of an old batch where possible."""


@dataclass
class _Failure:
    error: BaseException


@dataclass
class _Shared(Generic[T]):
    """The thread's state.  It has no reference to the Prefetcher, so that can be collected."""

    fill: Fill[T]
    close: Callable[[], None]
    slots: threading.Semaphore
    ready: queue.SimpleQueue[T | _Failure] = field(default_factory=queue.SimpleQueue)
    used: queue.SimpleQueue[T] = field(default_factory=queue.SimpleQueue)
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Prefetcher(Generic[T]):
    """Calls `fill` in a background thread, at most `depth` batches ahead of `next`.

    Batches take memory, so there are no more than it takes: at first one, which is made while the
    net works and is free again after `recycle`.  Each `next` that has to wait allows one more.
    Batches are returned in the order in which they were made, and calls of `fill` never overlap,
    so a reader with a seeded generator gives the same batches at any speed.  An exception in
    `fill` is raised by the `next` that would have returned its batch, and by every later one.
    The thread starts with the first `next`.  It ends, and the argument `close` is called, in the
    method `close`, when the Prefetcher is collected, or when the interpreter exits.
    """

    def __init__(self, fill: Fill[T], depth: int, close: Callable[[], None]) -> None:
        self._depth = depth
        self._begin(fill, close)

    def _begin(self, fill: Fill[T], close: Callable[[], None]) -> None:
        self._shared = _Shared(fill, close, threading.Semaphore(1))
        self._allowed = 1  # batches at a time, with the one that `next` has returned
        self._in_use = False  # whether the batch that `next` has returned still counts
        self._failure: BaseException | None = None
        self._finalizer = weakref.finalize(self, _stop_and_close, self._shared)

    def next(self) -> T:
        """Wait for the next batch and return it; the last one counts no more."""
        if self._failure is not None:
            raise self._failure
        self._require_open()
        shared = self._shared
        self._release()
        if shared.thread is None:
            shared.thread = threading.Thread(
                target=_work, args=(shared,), name="caffe_lite reader", daemon=True
            )
            shared.thread.start()
        elif shared.ready.empty() and self._allowed <= self._depth:
            self._allowed += 1
            shared.slots.release()
        batch = shared.ready.get()
        if isinstance(batch, _Failure):
            self._failure = batch.error
            raise batch.error
        self._in_use = True
        return batch

    def recycle(self, batch: T) -> None:
        """Return a batch, so that a later one can overwrite its arrays."""
        self._shared.used.put(batch)
        self._release()

    def _release(self) -> None:
        """Let the reader make a batch in the place of the one that `next` has returned."""
        if self._in_use:
            self._in_use = False
            self._shared.slots.release()

    def restart(self, move: Callable[[], None]) -> None:
        """Drop the batches made ahead, call `move`, which moves the reader, and go on from there.

        An earlier failure is forgotten.  Raises what `move` raises.
        """
        self._require_open()
        self._finalizer.detach()
        _stop(self._shared)
        self._begin(self._shared.fill, self._shared.close)
        move()

    def _require_open(self) -> None:
        if not self._finalizer.alive:
            raise DataError("this reader was closed with its net; build the net again")

    def close(self) -> None:
        """End the thread and close the reader.  Later calls have no effect."""
        self._finalizer()


def _work(shared: _Shared[T]) -> None:
    while True:
        shared.slots.acquire()
        if shared.stop.is_set():
            return
        try:
            old = None if shared.used.empty() else shared.used.get()
            shared.ready.put(shared.fill(old))
        except BaseException as error:  # `next` raises it in the consumer's thread
            shared.ready.put(_Failure(error))
            return


def _stop(shared: _Shared[T]) -> None:
    shared.stop.set()
    shared.slots.release()
    thread = shared.thread
    # the garbage collector may run this in the reader thread itself
    if thread is not None and thread is not threading.current_thread():
        thread.join()


def _stop_and_close(shared: _Shared[T]) -> None:
    _stop(shared)
    shared.close()
