"""The processor that the vector code is emitted for."""

from __future__ import annotations

import llvmlite.binding as llvm
from numba import config

__all__ = ["CPU", "FEATURES", "FUSED", "REGISTERS", "VECTOR_BYTES"]

CPU = config.CPU_NAME or llvm.get_host_cpu_name()
FEATURES = (
    llvm.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else config.CPU_FEATURES
)


def _vector_unit() -> tuple[int, int, bool]:
    """Bytes of a vector, number of registers, and whether multiply and add are one instruction."""
    has = set(FEATURES.split(","))
    if "+avx512f" in has:
        return 64, 32, True
    if {"+avx2", "+fma"} <= has:
        return 32, 16, True
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):
        return 16, 32, True
    return 16, 16, False


VECTOR_BYTES, REGISTERS, FUSED = _vector_unit()
