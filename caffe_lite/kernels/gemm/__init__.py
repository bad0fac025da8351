"""The matrix product C = op(A) op(B), on which convolution, inner product and recurrence stand.

product          the loops over blocks, and how C is cut for threads
items            few rows times a large matrix, at the speed of memory
packing          panels of A and B in the order in which the micro-kernel reads them
micro_kernels    the vector code
"""

from __future__ import annotations

from caffe_lite.kernels.gemm.items import multiply_items
from caffe_lite.kernels.gemm.micro_kernels import (
    CROSS,
    CROSS_ROWS,
    MR,
    by_columns,
    cross,
    packed_panel,
    tile,
)
from caffe_lite.kernels.gemm.packing import pack_across, pack_along, pack_panels, tile_sizes
from caffe_lite.kernels.gemm.product import KC, PANELS, Block, block_times_panel, gemm

__all__ = [
    "CROSS",
    "CROSS_ROWS",
    "KC",
    "MR",
    "PANELS",
    "Block",
    "block_times_panel",
    "by_columns",
    "cross",
    "gemm",
    "multiply_items",
    "pack_across",
    "pack_along",
    "pack_panels",
    "packed_panel",
    "tile",
    "tile_sizes",
]
