"""The epilogue of a linear map: scale, shift, ReLU and limit, before its outputs are stored.

Convolution, inner product and batch normalization take an `Epilogue`.  `completion` packs it with
the bias into one array, which `complete` applies to rows of outputs.  Vector code that has the
outputs in registers applies it by `completed` before it stores them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel, prepare, unrecorded
from caffe_lite.kernels.simd import Bool, Emitter, Int, Pointer, Vector

__all__ = [
    "NO_EPILOGUE",
    "Ending",
    "Epilogue",
    "complete",
    "complete_items",
    "completed",
    "completion",
    "incomplete",
    "then",
    "typed",
]


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


def typed(epilogue: Epilogue, dtype: Any) -> Epilogue:
    """The epilogue with scale and shift of a type."""
    return epilogue._replace(scale=_of(epilogue.scale, dtype), shift=_of(epilogue.shift, dtype))


def then(first: Epilogue, second: Epilogue) -> Epilogue | None:
    """`first`, then `second`, as one; None if an activation would have something after it.

    a (s x + t) + b = (a s) x + (a t + b).  The arrays of the result are (O,), (1,) or of size 0.
    """
    scale, shift, slope, limit = first
    if slope is not None or limit is not None:
        changed = second.scale.size or second.shift.size or second.slope is not None
        return None if changed or second.limit is not None else first
    if not (second.scale.size or second.shift.size):
        return first._replace(slope=second.slope, limit=second.limit)
    if not (scale.size or shift.size):
        return second
    dtype = (scale if scale.size else shift).dtype
    arrays = [_of(values, dtype) for values in (scale, shift, *second[:2])]
    outputs = max(values.size for values in arrays)
    new = [
        np.empty(outputs if one.size or other.size else 0, dtype)
        for one, other in (arrays[::2], arrays[1::2])
    ]
    prepare(_compose, 1, outputs, *arrays, *new)
    return Epilogue(*new, second.slope, second.limit)


@parallel
def _compose(first, last, scale, shift, factor, summand, new_scale, new_shift):
    """new_scale x + new_shift = factor (scale x + shift) + summand; those of size 0 are absent."""
    one, zero = factor.dtype.type(1), factor.dtype.type(0)
    for o in range(new_scale.size):
        a = factor[o % factor.size] if factor.size else one
        new_scale[o] = (scale[o % scale.size] if scale.size else one) * a
    for o in range(new_shift.size):
        a = factor[o % factor.size] if factor.size else one
        moved = shift[o % shift.size] * a if shift.size else zero
        if shift.size and summand.size:
            moved += summand[o % summand.size]
        elif summand.size:
            moved = summand[o % summand.size]
        new_shift[o] = moved


def completion(b, epilogue, outputs, dtype):
    """A bias and an epilogue in one array: min(act(factor[o] y + summand[o]), limit).

    It has `outputs` factors, as many summands, 1 if these change anything, 1 if there is a ReLU,
    the ReLU's slope, and the limit.
    """
    scale, shift, slope, limit = typed(epilogue, dtype)
    extra = np.empty(2 * outputs + 4, dtype)
    affine = b.size + scale.size + shift.size > 0
    ending = float(affine), float(slope is not None), float(slope or 0)
    most = np.inf if limit is None else float(limit)
    prepare(_complete_factors, 1, outputs, _of(b, dtype), scale, shift, (*ending, most), extra)
    return extra


@parallel
def _complete_factors(first, last, b, scale, shift, ending, extra):
    outputs, one, zero = (extra.size - 4) // 2, extra.dtype.type(1), extra.dtype.type(0)
    for o in range(outputs):
        factor = scale[o % scale.size] if scale.size else one
        summand = b[o] if b.size else zero
        if scale.size:
            summand *= factor
        if shift.size:
            summand += shift[o % shift.size]
        extra[o], extra[outputs + o] = factor, summand
    for i in range(4):
        extra[2 * outputs + i] = ending[i]


def _of(values, dtype):
    """The values in an array of a type."""
    if values.dtype == dtype:
        return values
    if values.size:
        unrecorded()
    return values.astype(dtype)


@jit
def complete(y, at, stride, rows, columns, o, outputs, extra):
    """Apply a `completion` to rows of y for outputs o, o + 1, ..., the first one at y[at]."""
    affine, active, slope = extra[2 * outputs], extra[2 * outputs + 1], extra[2 * outputs + 2]
    zero, limit = y.dtype.type(0), extra[2 * outputs + 3]
    for i in range(rows):
        line = y[at + i * stride : at + i * stride + columns]
        factor, summand = extra[o + i], extra[outputs + o + i]
        if affine and active:  # in one pass, as most layers end so
            for t in range(columns):
                value = line[t] * factor + summand
                line[t] = max(value, zero) + slope * min(value, zero)
        elif affine:
            for t in range(columns):
                line[t] = line[t] * factor + summand
        elif active:
            for t in range(columns):
                line[t] = max(line[t], zero) + slope * min(line[t], zero)
        if limit < np.inf:
            for t in range(columns):
                line[t] = min(line[t], limit)


class Ending(NamedTuple):
    """What becomes of rows of outputs before they are stored."""

    data: Pointer
    """Of `completion`."""
    output: Int
    """Of the first row; the next rows are of the next outputs."""
    outputs: Int
    """How many there are in `data`."""
    due: Bool
    """False: the rows are no outputs yet, nothing becomes of them."""


@jit
def incomplete(array):
    """The `Ending` of rows that are no outputs yet, for vector code on such arrays."""
    return Ending(array, np.int64(0), np.int64(0), np.bool_(False))


def completed(e: Emitter, ending: Ending, values: list[Vector], wide: int) -> list[Vector]:
    """What is to be stored for rows of `wide` vectors; as `complete`, to the bit.

    Nothing is read of an `Ending` that is not due.
    """
    factors = ending.data + ending.output
    last = ending.data + ending.outputs * 2

    def affine(*values: Vector) -> list[Vector]:
        found = []
        for i in range(0, len(values), wide):
            factor = e.broadcast(factors[i // wide])
            summand = e.broadcast((factors + ending.outputs)[i // wide])
            found += [value * factor + summand for value in values[i : i + wide]]
        return found

    def active(*values: Vector) -> list[Vector]:
        below, zero = e.broadcast(last[2]), e.zeros()
        # the sum with 0 makes -0 of a slope of 0 to 0, as `complete` does
        return [e.select(x < 0, e.fma(x, below, zero), x) for x in values]

    def limited(*values: Vector) -> list[Vector]:
        most = e.broadcast(last[3])
        return [e.select(x > most, most, x) for x in values]

    def finish(*values: Vector) -> list[Vector]:
        values = e.if_then(last[0] != 0, affine, values)
        values = e.if_then(last[1] != 0, active, values)
        return e.if_then(last[3] < float("inf"), limited, values)

    return e.if_then(ending.due, finish, values)


def complete_items(y, factors):
    """Apply a `completion` to all of y, (N, O), in which the outputs are adjacent."""
    if factors[-4] or factors[-3] or factors[-1] < np.inf:
        launch(_complete_items, len(y), y.size, factors, y)


@parallel
def _complete_items(first, last, factors, y):
    """A task is an item."""
    outputs = y.shape[1]
    factor, summand = factors[:outputs], factors[outputs : 2 * outputs]
    affine, active, slope, limit = factors[-4], factors[-3], factors[-2], factors[-1]
    zero = y.dtype.type(0)
    for n in range(first, last):
        row = y[n]
        if affine:
            for o in range(outputs):
                row[o] = row[o] * factor[o] + summand[o]
        if active:
            for o in range(outputs):
                row[o] = max(row[o], zero) + slope * min(row[o], zero)
        if limit < np.inf:
            for o in range(outputs):
                row[o] = min(row[o], limit)
