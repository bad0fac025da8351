"""Fillers: the first values of a parameter, drawn from its layer's own random stream.

Values are drawn in float64 and rounded to the array's type, so a net in float32 and one in
float64 start from the same weights.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.errors import LayerError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]

BLOCK = 1 << 20  # numbers drawn at once: AlexNet's fc6 would need 300 MB of float64 at one go


def fill(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Overwrite a C-contiguous `array` of any shape as ``filler.type`` says.

    Axis 0 of `array` counts the outputs (Caffe's num) and axis 1 the inputs (channels).  Raises
    LayerError, its field below FillerParameter, for an unknown type or impossible settings.
    """
    if filler.type not in FILLERS:
        near = difflib.get_close_matches(filler.type.lower(), FILLERS, n=1, cutoff=0.0)[0]
        raise LayerError(
            f'unknown filler type "{filler.type}"; did you mean "{near}"? '
            f"There are {', '.join(FILLERS)}",
            "type",
        )
    if filler.sparse != -1 and filler.type != "gaussian":
        raise LayerError(
            f'sparse is only for filler type "gaussian", not "{filler.type}"; leave it out',
            "sparse",
        )
    if array.size:
        FILLERS[filler.type](array, filler, rng)


def constant(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Every number is `value`."""
    array[...] = filler.value


def uniform(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Evenly spread from `min` to `max`."""
    low, high = filler.min, filler.max
    if not (low <= high and math.isfinite(high - low)):
        raise LayerError(f"min {low:g} must be finite and not above max {high:g}", "min")
    _draw(array, lambda count: rng.uniform(low, high, count))


def gaussian(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Normal with `mean` and standard deviation `std`, which may be 0.

    With `sparse` = k each number is kept with probability k / (size of axis 0) and is 0
    otherwise: of InnerProduct's (outputs, inputs) weight, each input reaches about k outputs.
    """
    mean, std, sparse = filler.mean, filler.std, filler.sparse
    if not (math.isfinite(std) and std >= 0):
        raise LayerError(f"std must be 0 or more, not {std:g}", "std")
    outputs = array.shape[0] if array.ndim else 1
    if not -1 <= sparse <= outputs:
        raise LayerError(
            f"sparse counts the outputs that an input reaches: use 0 to {outputs}, or -1 for "
            f"all, not {sparse}",
            "sparse",
        )
    _draw(array, lambda count: rng.normal(mean, std, count))
    if sparse >= 0:
        _keep_some(array, sparse / outputs, rng)


def positive_unitball(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Evenly spread from 0 to 1, then each slice along axis 0 is divided by its sum."""
    _draw(array, rng.random)
    rows = array.reshape(array.shape[0] if array.ndim else 1, -1)
    rows /= rows.sum(axis=1, keepdims=True)


def xavier(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Evenly spread from -sqrt(3/n) to sqrt(3/n): variance 1/n.

    n is the fan that `variance_norm` names.  Glorot and Bengio 2010, "Understanding the
    difficulty of training deep feedforward neural networks"; they take the average, Caffe's
    default is FAN_IN.
    """
    bound = math.sqrt(3.0 / _fan(array.shape, filler.variance_norm))
    _draw(array, lambda count: rng.uniform(-bound, bound, count))


def msra(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Normal with mean 0 and variance 2/n, n being the fan that `variance_norm` names.

    He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers", Eq. (10) and (14).
    """
    std = math.sqrt(2.0 / _fan(array.shape, filler.variance_norm))
    _draw(array, lambda count: rng.normal(0.0, std, count))


def bilinear(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Linear interpolation in both directions, for Deconvolution that enlarges an image.

    Every (k, k) plane of an array (M, N, k, k) gets w(y) w(x) with w(i) = 1 - |i/f - c|,
    f = ceil(k/2) and c = (k - 1) / (2f).  To enlarge by s: kernel_size 2s - s % 2, stride s,
    pad ceil((s - 1) / 2), and a group for each channel.
    """
    if array.ndim != 4 or array.shape[2] != array.shape[3]:
        raise LayerError(
            f"bilinear fills square kernels of 4 axes, not an array of shape {array.shape}", "type"
        )
    size = array.shape[3]
    half = math.ceil(size / 2)
    centre = (size - 1) / (2.0 * half)
    ramp = 1.0 - np.abs(np.arange(size) / half - centre)
    array[...] = np.outer(ramp, ramp)


FILLERS: dict[str, Callable[[Array, caffe_pb2.FillerParameter, Generator], None]] = {
    "constant": constant,
    "uniform": uniform,
    "gaussian": gaussian,
    "positive_unitball": positive_unitball,
    "xavier": xavier,
    "msra": msra,
    "bilinear": bilinear,
}


def _draw(array: Array, numbers: Callable[[int], Array]) -> None:
    """Fill `array` in memory order with what `numbers(count)` gives."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        part[...] = numbers(part.size)


def _keep_some(array: Array, probability: float, rng: Generator) -> None:
    """Set each number to 0 unless a coin of this probability says to keep it."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        part *= rng.random(part.size) < probability


def _fan(shape: tuple[int, ...], norm: int) -> float:
    """Numbers that meet in one output (FAN_IN), come from one input (FAN_OUT), or their mean.

    Caffe's counts: all numbers divided by axis 0, or by axis 1 where there is one.
    """
    count = math.prod(shape)
    fan_in = count // shape[0] if shape else count
    fan_out = count // shape[1] if len(shape) > 1 else count
    if norm == caffe_pb2.FillerParameter.FAN_OUT:
        return fan_out
    if norm == caffe_pb2.FillerParameter.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_in
