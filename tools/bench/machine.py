"""The machine: its description, and the speed of its processor and memory."""

from __future__ import annotations

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tools.bench import measure

PACKAGES = ("numpy", "numba", "llvmlite", "protobuf", "opencv-python-headless", "torch")
THREAD_COUNTS = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


class Speed(NamedTuple):
    """GFLOP/s of float32 matrix products, and GB/s of a memory copy (read and written)."""

    gflops: float
    bandwidth: float


def environment(threads: int) -> dict[str, str]:
    """The environment variables of a process with this number of threads.

    OPENBLAS_CORETYPE is removed: with an old processor's name it halves the speed of NumPy.
    """
    variables = {**os.environ, **dict.fromkeys(THREAD_COUNTS, str(threads))}
    variables.pop("OPENBLAS_CORETYPE", None)
    return variables


def matmul_speed(size: int = 2048) -> float:
    """GFLOP/s of `np.matmul` on square float32 matrices."""
    a = np.ones((size, size), np.float32)
    b, c = np.ones_like(a), np.empty_like(a)
    return 2e-9 * size**3 / measure.best(lambda: np.matmul(a, b, out=c), 0.5, 5)


def copy_speed(threads: int, megabytes: int = 256) -> float:
    """GB/s, read plus written, of `threads` threads that copy arrays larger than the caches."""
    source = np.ones((threads, (megabytes << 18) // threads), np.float32)
    target = np.empty_like(source)
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            list(pool.map(np.copyto, target, source))

        return 2e-9 * source.nbytes / measure.best(copy, 0.5, 5)


def speed(workers: int) -> Speed:
    """Both speeds, in a process whose thread counts are set, see `environment`."""
    return Speed(matmul_speed(), copy_speed(workers))


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def vectors() -> str:
    """The widest vector instruction set that the kernels use."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    known = {"avx512f": "AVX-512", "avx2": "AVX2", "neon": "NEON"}
    return next((name for flag, name in known.items() if features.get(flag)), "128 bit")


def versions() -> dict[str, str]:
    """The versions of Python and of the installed packages in PACKAGES."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def commit() -> str:
    """The current commit, with a plus sign if files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
