"""Whether mpirun or srun has started this process, as its environment says.

Nothing here imports mpi4py, which starts MPI.
"""

from __future__ import annotations

import os

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
"""Of Open MPI, of MPICH and its relatives, of MVAPICH2, and of srun."""


def launched() -> int:
    """How many processes a launcher has started together with this one; 1 without a launcher."""
    return max(1, _first(_SIZES))


def rank() -> int:
    """The rank that the launcher gave this process; 0 without one."""
    return _first(_RANKS) if launched() > 1 else 0


def by_open_mpi() -> bool:
    """Whether Open MPI's mpirun started it, which binds a process to one core unless told."""
    return "OMPI_COMM_WORLD_SIZE" in os.environ


def _first(names: tuple[str, ...]) -> int:
    """The number in the first of these variables that is set; 0 if none is."""
    value = next((os.environ[name] for name in names if name in os.environ), "0")
    return int(value) if value.isascii() and value.isdigit() else 0
