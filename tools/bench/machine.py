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

PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "protobuf",
    "openvino",
    "onnxruntime",
    "MNN",
    "opencv-python-headless",
    "torch",
)
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
    """The environment variables of a process with this number of threads."""
    return {**os.environ, **dict.fromkeys(THREAD_COUNTS, str(threads))}


def limits() -> dict[str, str]:
    """The environment variables that limit Numba, and so our kernels, and NumPy to AVX2.

    Numba gets the processor's own features without AVX-512, AVX10 and AMX.
    """
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    kept = {
        name: has and not name.startswith(("avx512", "avx10", "amx", "evex512"))
        for name, has in features.items()
    }
    flags = ",".join(f"{'+' if has else '-'}{name}" for name, has in kept.items())
    return {
        "NUMBA_CPU_FEATURES": flags,
        "NUMBA_CPU_NAME": llvm.get_host_cpu_name(),
        "OPENBLAS_CORETYPE": "Haswell",
    }


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
    """The vector instruction set of our kernels in this process."""
    from caffe_lite.kernels.simd import processor

    narrow = "NEON" if platform.machine().lower() in ("aarch64", "arm64") else "128 bit"
    return {64: "AVX-512", 32: "AVX2"}.get(processor.VECTOR_BYTES, narrow)


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
