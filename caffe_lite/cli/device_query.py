"""Describe this machine: the processor, its vector width, the threads, and the versions."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from caffe_lite import __version__
from caffe_lite.cli import flags
from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's flags for device_query."""
    flags.add(parser, "gpu", "accepted, but has no effect: everything runs on the CPU")
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line for each property that affects the speed of nets."""
    import llvmlite.binding as llvm
    import numba

    from caffe_lite.kernels.parallel import get_num_threads

    features = llvm.get_host_cpu_features()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {
        "Device": "CPU" if args.gpu is None else "CPU (there is no GPU mode)",
        "Processor": _processor(),
        "Architecture": f"{platform.machine()}, compiled for {llvm.get_host_cpu_name()}",
        "Cores": f"{os.cpu_count()}, of which this process may use {usable}",
        "Vector width": _vector_width(features),
        "Memory": _memory(),
        "Threads": f"{get_num_threads()} (set NUMBA_NUM_THREADS to change this)",
        "Compiled kernels": "off (NUMBA_DISABLE_JIT)"
        if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"
        else _cache(),
        "Versions": f"caffe_lite {__version__}, Python {platform.python_version()}, "
        f"numba {numba.__version__}",
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"{name + ':':<{width + 1}} {value}")
    return 0


def _cache() -> str:
    from caffe_lite.kernels.cache import cache_folder

    return f"kept in {cache_folder()}"


def _vector_width(features: dict[str, bool]) -> str:
    """The width of a vector instruction in bits."""
    for name, feature, bits in (
        ("AVX-512", "avx512f", 512),
        ("AVX2", "avx2", 256),
        ("AVX", "avx", 256),
        ("SSE2", "sse2", 128),
        ("NEON", "neon", 128),
    ):
        if features.get(feature):
            fused = " with fused multiply-add" if features.get("fma") else ""
            return f"{bits} bits, {bits // 32} float32 at once ({name}{fused})"
    return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{size / 2**30:.3g} GiB"
