"""How a convolution is computed: the choice between the algorithms of this package."""

from __future__ import annotations

import math
from enum import Enum
from functools import lru_cache

from caffe_lite.kernels.gemm import CROSS_ROWS
from caffe_lite.kernels.geometry import Sizes, Window

__all__ = ["TILE_SIDES", "Algorithm", "algorithm", "gradient_is_convolution"]


class Algorithm(Enum):
    """The algorithms; each value is a file or a folder of this package, or of `gemm`."""

    INNER_PRODUCT = "items"
    EXPLICIT_GEMM = "explicit_gemm"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"
    WINOGRAD = "winograd"
    IMPLICIT_GEMM = "implicit_gemm"


TILE_SIDES = {(3, 3): 4, (5, 5): 2}
"""The kernels of Winograd's method, and the sides of its tiles: 36 multiplications for each."""
FEWEST_CHANNELS, FEWEST_TILES = 8, 8
"""Channels on either side, and tiles of outputs, below which Winograd's method is slower.

It is also slower where so much of the tiles is outside that it saves no multiplications.
"""


@lru_cache(maxsize=1024)
def algorithm(window: Window, group: int, x: Sizes, y: Sizes) -> Algorithm:
    """The algorithm of a convolution from shape `x` to shape `y`, and of its gradients.

    EXPLICIT_GEMM  three or more spatial axes, or a window that is almost all padding: the whole
                   im2col matrix, then a matrix product
    INNER_PRODUCT  the window covers the whole image, and the items are few; the gradients are
                   computed as of IMPLICIT_GEMM
    DEPTHWISE      a group for every channel: plane by plane, with no matrix product
    POINTWISE      1x1 with a stride, without padding: the pixels that it reads are gathered to an
                   image, which is the matrix
    WINOGRAD       3x3 or 5x5 without stride, not too small: a quarter of the multiplications, or a
                   third
    IMPLICIT_GEMM  all others, 1x1 without a stride among them
    """
    channels = x[1]
    if len(window.kernel) > 2 or window.is_far(x[2:]):
        return Algorithm.EXPLICIT_GEMM
    padded = any((*window.pad, *window.ends))
    if group == 1 and x[0] <= CROSS_ROWS and x[2:] == window.kernel and not padded:
        return Algorithm.INNER_PRODUCT
    if group == channels > 1:
        return Algorithm.DEPTHWISE
    if set(window.kernel) <= {1} and not padded:
        strided = any(stride > 1 for stride in window.stride)
        return Algorithm.POINTWISE if strided else Algorithm.IMPLICIT_GEMM
    return Algorithm.WINOGRAD if _suits_winograd(window, group, x, y) else Algorithm.IMPLICIT_GEMM


def _suits_winograd(window: Window, group: int, x: Sizes, y: Sizes) -> bool:
    """Whether Winograd's method can compute it, and is faster."""
    side = TILE_SIDES.get(window.kernel, 0)
    dense = window.stride == window.dilation == (1, 1)
    if not (dense and side and max(*window.pad, *window.ends) < window.kernel[0]):
        return False
    tiles = x[0] * math.prod(-(-n // side) for n in y[2:])
    saves = 36 * tiles <= x[0] * math.prod(y[2:]) * math.prod(window.kernel)
    return min(x[1], y[1]) >= group * FEWEST_CHANNELS and tiles >= FEWEST_TILES and saves


def gradient_is_convolution(window: Window, spatial: Sizes, output: Sizes) -> bool:
    """Whether to compute dx as the convolution of dy with the flipped kernel.

    It takes a stride of 1, and multiplies once for each pixel of the input.  The alternative, a
    matrix product and col2im, multiplies once for each pixel of the output.
    """
    strided = any(stride > 1 for stride in window.stride)
    return not strided and 3 * math.prod(spatial) <= 4 * math.prod(output)
