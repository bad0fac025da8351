"""The epilogue of a linear map: scale, shift and a ReLU, before its outputs are stored.

Convolution, inner product and batch normalization take an `Epilogue`.  `completion` packs it with
the bias into one array, which `complete` applies to rows of outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.jit import jit

__all__ = ["NO_EPILOGUE", "Epilogue", "complete", "completion"]


class Epilogue(NamedTuple):
    """For each output o of a linear map: act(scale[o] y + shift[o]).

    scale, shift: (O,), or of size 0 for 1 and 0.  slope: None for no activation, else that of a
    ReLU below 0.
    """

    scale: Any
    shift: Any
    slope: float | None


NO_EPILOGUE = Epilogue(np.empty(0), np.empty(0), None)


def completion(b, epilogue, outputs, dtype):
    """A bias and an epilogue in one array: act(factor[o] y + summand[o]).

    It has `outputs` factors, as many summands, 1 if these change anything, 1 if there is a ReLU,
    and the ReLU's slope.
    """
    scale, shift, slope = epilogue
    extra = np.empty(2 * outputs + 3, dtype)
    extra[:outputs] = scale if scale.size else 1
    extra[outputs:-3] = b if b.size else 0
    if scale.size:
        extra[outputs:-3] *= scale
    if shift.size:
        extra[outputs:-3] += shift
    extra[-3:] = b.size + scale.size + shift.size > 0, slope is not None, slope or 0
    return extra


@jit
def complete(y, at, stride, rows, columns, o, outputs, extra):
    """Apply a `completion` to rows of y for outputs o, o + 1, ..., the first one at y[at]."""
    affine, active, slope = extra[2 * outputs], extra[2 * outputs + 1], extra[2 * outputs + 2]
    zero = y.dtype.type(0)
    for i in range(rows):
        line = y[at + i * stride : at + i * stride + columns]
        if affine:
            factor, summand = extra[o + i], extra[outputs + o + i]
            for t in range(columns):
                line[t] = line[t] * factor + summand
        if active:
            for t in range(columns):
                line[t] = max(line[t], zero) + slope * min(line[t], zero)
