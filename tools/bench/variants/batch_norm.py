"""Batch normalization in training: emitted vector code against loops LLVM makes vectors of."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.kernels.epilogue import Epilogue
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.norm import Statistics, batch_norm_forward
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.simd import VECTOR_BYTES
from tests.oracles import batch_norm as oracle
from tools.bench.variants import Contest, Problem

EPS = 1e-5


def in_use(x: Any, scale: Any, shift: Any, y: Any) -> None:
    """The kernel, with a ReLU."""
    statistics = Statistics(*np.empty((3, x.shape[1]), x.dtype))
    batch_norm_forward(x, EPS, Epilogue(scale, shift, 0.0), statistics, x[:0], y)


def loops(x: Any, scale: Any, shift: Any, y: Any) -> None:
    """The same sums in the same order: an array has one for each lane."""
    launch(_channels, x.shape[1], x.size, x, scale, shift, y)


@parallel
def _channels(first, last, x, scale, shift, y):  # type: ignore[no-untyped-def]
    n, _, p = x.shape
    lanes = VECTOR_BYTES // x.itemsize
    row, total = np.empty((2, 2 * lanes)), np.empty((2, lanes))
    for c in range(first, last):
        total[:] = 0
        for item in range(n):
            _add_moments(x[item, c], x[0, c, 0], row, total)
        offset, square = total[0].sum() / (n * p), total[1].sum() / (n * p)
        mean, variance = x[0, c, 0] + offset, square - offset * offset
        inverse = x.dtype.type(1 / np.sqrt(variance + EPS))
        for item in range(n - 1, -1, -1):
            _normalize(x[item, c], x.dtype.type(mean), inverse, scale[c], shift[c], y[item, c])


@jit
def _add_moments(x, center, row, total):  # type: ignore[no-untyped-def]
    """Two vectors at a time, then one, then what is left.

    The inner loops' lengths must not be known: LLVM would unroll them and make no vectors.
    """
    lanes, middle = total.shape[1], np.float64(center)
    pairs = x.size // (2 * lanes)
    row[:] = 0
    two = x[: pairs * 2 * lanes].reshape(pairs, 2 * lanes)
    for q in range(pairs):
        part = two[q]
        for k in range(part.size):
            d = np.float64(part[k]) - middle
            row[0, k] += d
            row[1, k] += d * d
    for s in range(2):
        for k in range(lanes):
            row[s, k] += row[s, lanes + k]
    rest = x[pairs * 2 * lanes :]
    if rest.size >= lanes:
        part = rest[:lanes]
        for k in range(part.size):
            d = np.float64(part[k]) - middle
            row[0, k] += d
            row[1, k] += d * d
        rest = rest[lanes:]
    for s in range(2):
        for k in range(lanes):
            total[s, k] += row[s, k]
    first, second = 0.0, 0.0
    for i in range(rest.size):
        d = np.float64(rest[i]) - middle
        first, second = first + d, second + d * d
    total[0, 0] += first
    total[1, 0] += second


@jit
def _normalize(x, mean, inverse, scale, shift, y):  # type: ignore[no-untyped-def]
    zero = x.dtype.type(0)
    for i in range(x.size):
        z = (x[i] - mean) * inverse * scale + shift
        y[i] = z if z > zero else z * zero


def layer(shape: tuple[int, int, int]) -> Problem:
    """A layer of ResNet-50: items, channels, height and width."""
    n, c, side = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, c, side * side), np.float32)
    scale, shift = rng.standard_normal((2, c), np.float32)
    return Problem((x, scale, shift, np.empty_like(x)))


def problem(large: bool) -> Problem:
    """ResNet-50's first batch normalization, or a small one."""
    return layer((8, 64, 112)) if large else layer((3, 5, 7))


def exact(x: Array, scale: Array, shift: Array, y: Array) -> Array:
    """The oracle's answer."""
    x, scale, shift = (array.astype(np.float64) for array in (x, scale, shift))
    answer: Array = oracle.chain(EPS, scale, shift, 0.0)(x)
    return answer


LAYERS = {
    "64 x 112": (8, 64, 112),
    "256 x 56": (8, 256, 56),
    "512 x 28": (8, 512, 28),
    "256 x 14": (8, 256, 14),
    "1024 x 14": (8, 1024, 14),
    "512 x 7": (8, 512, 7),
    "2048 x 7": (8, 2048, 7),
}

CONTEST = Contest(
    in_use,
    {"loops, sums in an array": loops},
    problem,
    exact,
    "Where rows are long both wait for the memory.  Where they are short, of 196 or 49 elements, "
    "the loops do a third of a row element by element, and load and store each sum again for each "
    "vector.  Over all layers of ResNet-50, forward and backward, they take 1.3 times as long; at "
    "7 x 7, three times.",
    layers={name: partial(layer, given) for name, given in LAYERS.items()},
)
