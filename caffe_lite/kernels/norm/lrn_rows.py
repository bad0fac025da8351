"""Vector code of local response normalization across channels, for a row of pixels of one channel.

    normalize    a row times a power of its sum of squares, which moves on by one channel
    find_ratios  that power, and what the channels around get of this one in the gradient
    gradient     the gradient of a row

The power is x^-0.75.  The bits of a float are about its logarithm: a quarter of them, taken from
a constant, are a guess of x^-0.25 within 3 %, and each of Newton's steps squares the error.

The channels of an image lie one after the other.  The processor does not see that a row is
followed by the same pixels of the next channel: so what is `ahead` elements further on is fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from caffe_lite.kernels.simd import Emitter, Int, Library, Pointer, Value, Vector, fields

__all__ = ["Scalars", "find_ratios", "gradient", "normalize"]

LEAST, MOST = 1e-27, 1e27
"""Between these the powers are within 6e-7 of the true ones, in float32."""
LIBRARY = Library("lrn")


class Scalars(NamedTuple):
    """scale = k + alpha * the sum of squares; `factor` is that of the sum in the gradient."""

    alpha: Any
    k: Any
    factor: Any


def _inverse_fourth_root(e: Any, x: Vector) -> Vector:
    """x^-0.25 for LEAST <= x <= MOST, by Newton's steps for y^-4 = x."""
    if not isinstance(e, Emitter):  # of NumPy's arrays
        return x**-0.25
    bias, point, steps = {32: (127, 23, 3), 64: (1023, 52, 4)}[e.bits]
    integers = ir.VectorType(ir.IntType(e.bits), e.lanes)
    guess = int((1.25 * bias - 0.060546875) * 2**point)
    bits = guess - (Value(e, e.builder.bitcast(x.llvm, integers)) >> 2)
    y, quarter = Value(e, e.builder.bitcast(bits.llvm, x.llvm.type)), x * -0.25
    for _ in range(steps):
        square = y * y
        y = y * e.fma(quarter, square * square, e.constant(1.25))
    return y


def _along(
    e: Any, count: Int, strange: Pointer, body: Callable[[Any, Int, Vector], Vector]
) -> None:
    """Run body(e, q, seen) -> seen over whole vectors, then over the elements that are left.

    strange: a vector, to which what the body has seen is added.
    """
    whole = count // e.lanes * e.lanes
    for part, begin, end in ((e, 0, whole), (e.of_lanes(1), whole, count)):
        seen = [part.zeros()]
        for q in part.range(end - begin, part.lanes, carried=seen):
            seen[:] = [body(part, q + begin, seen[0])]
        part.store(part.load(strange) + seen[0], strange)


def _root_of_scale(
    e: Any, q: Int, channels: tuple[Pointer, Pointer], scalars: Scalars, squares: Pointer
) -> tuple[Vector, Vector]:
    """Move the sum of squares on; scale^-0.25, and whether the scale is out of its bounds: 1 or 0.

    channels: the one that enters the sum, and the one that leaves it.
    """
    entering, leaving = (e.load(channel + q) for channel in channels)
    total = e.load(squares + q) + (entering * entering - leaving * leaving)
    e.store(total, squares + q)
    scale = e.broadcast(scalars.k) + e.broadcast(scalars.alpha) * total
    inside = (scale >= LEAST) & (scale <= MOST)
    return _inverse_fourth_root(e, scale), e.select(inside, e.zeros(), e.constant(1))


@LIBRARY.function
def normalize(
    e: Any,
    entering: Pointer,
    leaving: Pointer,
    x: Pointer,
    count: Int,
    ahead: Int,
    scalars: Pointer,
    squares: Pointer,
    y: Pointer,
    strange: Pointer,
) -> None:
    """squares += entering^2 - leaving^2;  y = x (k + alpha squares)^-0.75.

    entering, leaving: of x, or zeros.  strange: a vector, no longer 0 where a scale was not
    between LEAST and MOST, so that y is wrong.
    """
    settings, channels = fields(Scalars, scalars), (entering, leaving)

    def body(e: Any, q: Int, seen: Vector) -> Vector:
        e.prefetch(entering + q + ahead)
        e.prefetch(y + q + ahead)
        root, outside = _root_of_scale(e, q, channels, settings, squares)
        e.store(e.load(x + q) * (root * root * root), y + q)
        return seen + outside

    _along(e, count, strange, body)


@LIBRARY.function
def find_ratios(
    e: Any,
    entering: Pointer,
    leaving: Pointer,
    x: Pointer,
    dy: Pointer,
    count: Int,
    ahead: Int,
    scalars: Pointer,
    squares: Pointer,
    power: Pointer,
    ratio: Pointer,
    strange: Pointer,
) -> None:
    """`normalize`, but with power = scale^-0.75 and ratio = dy x scale^-1.75 for y."""
    settings, channels = fields(Scalars, scalars), (entering, leaving)

    def body(e: Any, q: Int, seen: Vector) -> Vector:
        e.prefetch(entering + q + ahead)
        e.prefetch(dy + q + ahead)
        root, outside = _root_of_scale(e, q, channels, settings, squares)
        square = root * root
        cube = square * root
        e.store(cube, power + q)
        e.store(e.load(dy + q) * e.load(x + q) * cube * (square * square), ratio + q)
        return seen + outside

    _along(e, count, strange, body)


@LIBRARY.function
def gradient(
    e: Any,
    entering: Pointer,
    leaving: Pointer,
    x: Pointer,
    dy: Pointer,
    power: Pointer,
    count: Int,
    ahead: Int,
    scalars: Pointer,
    total: Pointer,
    dx: Pointer,
) -> None:
    """total += entering - leaving, which are ratios;  dx = dy power - factor x total."""
    factor = fields(Scalars, scalars).factor
    whole = count // e.lanes * e.lanes
    for part, begin, end in ((e, 0, whole), (e.of_lanes(1), whole, count)):
        for i in part.range(end - begin, part.lanes):
            q = i + begin
            part.prefetch(dx + q + ahead)
            sums = part.load(total + q) + part.load(entering + q) - part.load(leaving + q)
            part.store(sums, total + q)
            own = part.broadcast(factor) * part.load(x + q) * sums
            part.store(part.load(dy + q) * part.load(power + q) - own, dx + q)


LIBRARY.link()
