"""Fillers: the initial values of parameters, drawn from the random stream of their layer.

Values are drawn in float64 and rounded to the array's type, so nets in float32 and float64 start
from the same weights.
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

BLOCK = 1 << 20  # values drawn at once; all of AlexNet's fc6 would need 300 MB of float64


def fill(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Fill a C-contiguous `array` of any shape by the filler ``filler.type``.

    Axis 0 of `array` is the outputs (Caffe's num) and axis 1 the inputs (channels).  Raises
    LayerError, with a field below FillerParameter, for an unknown type or invalid settings.
    """
    if filler.type not in FILLERS:
        near = difflib.get_close_matches(filler.type.lower(), FILLERS, n=1, cutoff=0.0)[0]
        raise LayerError(
            f'unknown filler type "{filler.type}"; did you mean "{near}"? '
            f"Use one of {', '.join(FILLERS)}",
            "type",
        )
    if filler.sparse != -1 and filler.type != "gaussian":
        raise LayerError(
            f'sparse is only for filler type "gaussian", not "{filler.type}"; remove it',
            "sparse",
        )
    if array.size:
        FILLERS[filler.type](array, filler, rng)


def constant(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Every element is `value`."""
    array[...] = filler.value


def uniform(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Uniform on [`min`, `max`)."""
    low, high = filler.min, filler.max
    if not (low <= high and math.isfinite(high - low)):
        raise LayerError(f"min {low:g} must be finite and not above max {high:g}", "min")
    _draw(array, lambda count: rng.uniform(low, high, count))


def gaussian(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Normal with `mean` and standard deviation `std`, which may be 0.

    With `sparse` = k each element is kept with probability k / (size of axis 0) and is otherwise
    0, so in InnerProduct's (outputs, inputs) weight each input is connected to about k outputs.
    """
    mean, std, sparse = filler.mean, filler.std, filler.sparse
    if not (math.isfinite(std) and std >= 0):
        raise LayerError(f"std must be 0 or more, not {std:g}", "std")
    outputs = array.shape[0] if array.ndim else 1
    if not -1 <= sparse <= outputs:
        raise LayerError(
            f"sparse, the number of outputs connected to an input, must be 0 to {outputs}, or -1 "
            f"for all, not {sparse}",
            "sparse",
        )
    _draw(array, lambda count: rng.normal(mean, std, count))
    if sparse >= 0:
        _keep_some(array, sparse / outputs, rng)


def positive_unitball(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Uniform on [0, 1), then each slice along axis 0 is divided by its sum."""
    _draw(array, rng.random)
    rows = array.reshape(array.shape[0] if array.ndim else 1, -1)
    rows /= rows.sum(axis=1, keepdims=True)


def xavier(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Uniform on [-sqrt(3/n), sqrt(3/n)): variance 1/n.

    n is the fan selected by `variance_norm`.  Glorot and Bengio 2010, "Understanding the
    difficulty of training deep feedforward neural networks"; they use the average of both fans,
    Caffe's default is FAN_IN.
    """
    bound = math.sqrt(3.0 / _fan(array.shape, filler.variance_norm))
    _draw(array, lambda count: rng.uniform(-bound, bound, count))


def msra(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Normal with mean 0 and variance 2/n, where n is the fan selected by `variance_norm`.

    He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers", Eq. (10) and (14).
    """
    std = math.sqrt(2.0 / _fan(array.shape, filler.variance_norm))
    _draw(array, lambda count: rng.normal(0.0, std, count))


def bilinear(array: Array, filler: caffe_pb2.FillerParameter, rng: Generator) -> None:
    """Bilinear interpolation, for a Deconvolution that upsamples an image.

    Every (k, k) plane of an array (M, N, k, k) is w(y) w(x) with w(i) = 1 - |i/f - c|,
    f = ceil(k/2) and c = (k - 1) / (2f).  To upsample by s: kernel_size 2s - s % 2, stride s,
    pad ceil((s - 1) / 2), and one group per channel.
    """
    if array.ndim != 4 or array.shape[2] != array.shape[3]:
        raise LayerError(
            f"bilinear needs square kernels (M, N, k, k), not shape {array.shape}", "type"
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


def _draw(array: Array, draw: Callable[[int], Array]) -> None:
    """Fill `array` in memory order with the values of `draw(count)`."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        part[...] = draw(part.size)


def _keep_some(array: Array, probability: float, rng: Generator) -> None:
    """Keep each element with this probability; set the others to 0."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        part *= rng.random(part.size) < probability


def _fan(shape: tuple[int, ...], norm: int) -> float:
    """The weights per output (FAN_IN), per input (FAN_OUT), or the mean of both (AVERAGE).

    As in Caffe: the number of elements divided by the size of axis 0, or of axis 1 if it exists.
    """
    count = math.prod(shape)
    fan_in = count // shape[0] if shape else count
    fan_out = count // shape[1] if len(shape) > 1 else count
    if norm == caffe_pb2.FillerParameter.FAN_OUT:
        return fan_out
    if norm == caffe_pb2.FillerParameter.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_in
