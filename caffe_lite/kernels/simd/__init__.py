"""Vector code: functions that are emitted as LLVM's instructions, and what they are built from.

emitter     the operators, memory accesses and loops that vector code is written with
plain       the same on NumPy arrays, where nothing is compiled
library     compiling the functions, and linking kernels to them
vectors     functions of one vector or a few: copies, transposes, sums of products
frames      padded copies of parts of a plane, for windows that slide
"""

from __future__ import annotations

from caffe_lite.kernels.simd.emitter import Emitter
from caffe_lite.kernels.simd.frames import (
    BAND,
    Frame,
    band_rows,
    every_block,
    fields,
    frame,
    frame_reach,
    pack_rows,
    tap_offsets,
)
from caffe_lite.kernels.simd.library import Library, inline
from caffe_lite.kernels.simd.processor import REGISTERS, VECTOR_BYTES
from caffe_lite.kernels.simd.values import (
    Bool,
    Doubles,
    Int,
    Int32s,
    Ints,
    Matrix,
    Pointer,
    Scalar,
    Value,
    Vector,
)
from caffe_lite.kernels.simd.vectors import (
    BUNDLE,
    add_products,
    copy_lines,
    copy_vector,
    dot,
    sum_halves,
    transpose_square,
    transpose_stripe,
    weighted_sum,
)

__all__ = [
    "BAND",
    "BUNDLE",
    "REGISTERS",
    "VECTOR_BYTES",
    "Bool",
    "Doubles",
    "Emitter",
    "Frame",
    "Int",
    "Int32s",
    "Ints",
    "Library",
    "Matrix",
    "Pointer",
    "Scalar",
    "Value",
    "Vector",
    "add_products",
    "band_rows",
    "copy_lines",
    "copy_vector",
    "dot",
    "every_block",
    "fields",
    "frame",
    "frame_reach",
    "inline",
    "pack_rows",
    "sum_halves",
    "tap_offsets",
    "transpose_square",
    "transpose_stripe",
    "weighted_sum",
]
