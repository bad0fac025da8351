"""x y + z with one rounding, for plain loops: LLVM makes vectors of it."""

from __future__ import annotations

from typing import Any

from numba.extending import intrinsic, overload

from caffe_lite.kernels.simd.processor import FUSED


def fma(x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once where the processor can."""
    return x * y + z


@intrinsic
def _fma(typingctx, x, y, z):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        if not FUSED:
            return builder.fadd(builder.fmul(*args[:2]), args[2])
        return builder.fma(*args)

    return z(z, z, z), generate


@overload(fma)
def _compiled_fma(x, y, z):  # type: ignore[no-untyped-def]
    return lambda x, y, z: _fma(x, y, z)  # type: ignore[call-arg]
