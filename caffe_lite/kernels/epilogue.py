"""The epilogue of a linear map: scale, shift, ReLU and limit, before its outputs are stored.

Convolution, inner product and batch normalization take an `Epilogue`.  `completion` packs it with
the bias into one array, which `complete` applies to rows of outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.jit import jit

__all__ = ["NO_EPILOGUE", "Epilogue", "complete", "completion"]


class Epilogue(NamedTuple):
    """For each output o of a linear map: min(act(scale[o] y + shift[o]), limit).

    scale, shift: (O,), or (1,) for all outputs, or of size 0 for 1 and 0.  slope: None for no
    activation, else that of a ReLU below 0.  limit: None for infinity.
    """

    scale: Any
    shift: Any
    slope: float | None
    limit: float | None = None


NO_EPILOGUE = Epilogue(np.empty(0), np.empty(0), None)


def completion(b, epilogue, outputs, dtype):
    """A bias and an epilogue in one array: min(act(factor[o] y + summand[o]), limit).

    It has `outputs` factors, as many summands, 1 if these change anything, 1 if there is a ReLU,
    the ReLU's slope, and the limit.
    """
    scale, shift, slope, limit = epilogue
    extra = np.empty(2 * outputs + 4, dtype)
    extra[:outputs] = scale if scale.size else 1
    extra[outputs:-4] = b if b.size else 0
    if scale.size:
        extra[outputs:-4] *= scale
    if shift.size:
        extra[outputs:-4] += shift
    extra[-4:-1] = b.size + scale.size + shift.size > 0, slope is not None, slope or 0
    extra[-1] = np.inf if limit is None else limit
    return extra


@jit
def complete(y, at, stride, rows, columns, o, outputs, extra):
    """Apply a `completion` to rows of y for outputs o, o + 1, ..., the first one at y[at]."""
    affine, active, slope = extra[2 * outputs], extra[2 * outputs + 1], extra[2 * outputs + 2]
    zero, limit = y.dtype.type(0), extra[2 * outputs + 3]
    for i in range(rows):
        line = y[at + i * stride : at + i * stride + columns]
        if affine:
            factor, summand = extra[o + i], extra[outputs + o + i]
            for t in range(columns):
                line[t] = line[t] * factor + summand
        if active:
            for t in range(columns):
                line[t] = max(line[t], zero) + slope * min(line[t], zero)
        if limit < np.inf:
            for t in range(columns):
                line[t] = min(line[t], limit)
