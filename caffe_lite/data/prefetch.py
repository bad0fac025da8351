"""One background thread that prepares batches ahead, in order."""

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
"""Makes the next batch, in the arrays of an old one where it can."""


@dataclass
class _Failure:
    error: BaseException


@dataclass
class _Shared(Generic[T]):
    """What the thread holds.  Not the Prefetcher, or that would never be collected."""

    fill: Fill[T]
    close: Callable[[], None]
    slots: threading.Semaphore
    ready: queue.SimpleQueue[T | _Failure] = field(default_factory=queue.SimpleQueue)
    used: queue.SimpleQueue[T] = field(default_factory=queue.SimpleQueue)
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Prefetcher(Generic[T]):
    """Calls `fill` on a thread of its own, at most `depth` batches ahead of `next`.

    Batches come in the order in which they were made, and `fill` is never called twice at once,
    so a reader with a seeded generator gives the same batches at any speed.  An exception in
    `fill` is raised by the `next` that would have returned its batch, and by every later one.
    The thread starts with the first `next`.  It ends, and `close` is called, in `close`, when
    the Prefetcher is collected, or when the interpreter exits.
    """

    def __init__(self, fill: Fill[T], depth: int, close: Callable[[], None]) -> None:
        self._shared = _Shared(fill, close, threading.Semaphore(depth))
        self._failure: BaseException | None = None
        self._finalizer = weakref.finalize(self, _stop, self._shared)

    def next(self) -> T:
        """The next batch, waiting for it if need be."""
        if self._failure is not None:
            raise self._failure
        if not self._finalizer.alive:
            raise DataError("the net was closed, and with it this reader; build the net again")
        shared = self._shared
        if shared.thread is None:
            shared.thread = threading.Thread(
                target=_work, args=(shared,), name="caffe_lite reader", daemon=True
            )
            shared.thread.start()
        batch = shared.ready.get()
        if isinstance(batch, _Failure):
            self._failure = batch.error
            raise batch.error
        shared.slots.release()
        return batch

    def recycle(self, batch: T) -> None:
        """Give the arrays of a batch back, to be overwritten by a later one."""
        self._shared.used.put(batch)

    def close(self) -> None:
        """End the thread and close the reader; twice does no harm."""
        self._finalizer()


def _work(shared: _Shared[T]) -> None:
    while True:
        shared.slots.acquire()
        if shared.stop.is_set():
            return
        try:
            old = None if shared.used.empty() else shared.used.get()
            shared.ready.put(shared.fill(old))
        except BaseException as error:  # whatever it is, the consumer must see it
            shared.ready.put(_Failure(error))
            return


def _stop(shared: _Shared[T]) -> None:
    shared.stop.set()
    shared.slots.release()
    thread = shared.thread
    # the collector may run this on the reader thread itself
    if thread is not None and thread is not threading.current_thread():
        thread.join()
    shared.close()
