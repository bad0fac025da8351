"""Vector code of batch normalization, for a row of elements of one channel.

    add_moments    the sums of a row's elements and of their squares
    normalize      a row normalized, scaled, shifted, and passed through a ReLU
    add_products   the sums of a row's gradients, and of these times its elements
    gradient       the gradient of `normalize`, of the mean and of the deviation

Rows are often so short (49 elements) that what is left of them after some whole vectors decides:
one function writes the code for a pair of vectors, for one, and for a single element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from caffe_lite.kernels.simd import Doubles, Int, Library, Pointer, Scalar, Vector, fields

__all__ = ["Affine", "Correction", "add_moments", "add_products", "gradient", "normalize"]

Body = Callable[[Any, Int, list[Vector]], list[Vector]]
"""body(e, q, sums) -> sums: what is done to the vector of a row that begins at element q."""
LIBRARY = Library("batch_norm")


class Affine(NamedTuple):
    """z = (x - mean) inverse scale + shift, then a ReLU: z where z > 0, else slope z.

    Forward, what is above `limit` then becomes `limit`; backward it is infinity.
    """

    mean: Any
    inverse: Any
    """1 / deviation."""
    scale: Any
    shift: Any
    slope: Any
    limit: Any


class Correction(NamedTuple):
    """(g - level - (x - mean) along) factor: a gradient g through the mean and the deviation."""

    level: Any
    along: Any
    factor: Any


# -- rows ----------------------------------------------------------------------------------------


def _along(e: Any, count: Int, sums: list[Vector], body: Body) -> list[Vector]:
    """Run body over the whole vectors of a row, two at a time, as no sum waits for the other's.

    sums: of one vector, to begin with.
    """
    lanes, many, both = e.lanes, len(sums), 2 * sums
    pairs = count // (2 * lanes) * (2 * lanes)
    for q in e.range(pairs, 2 * lanes, carried=both):
        both[:] = body(e, q, both[:many]) + body(e, q + lanes, both[many:])
    found = [x + y for x, y in zip(both[:many], both[many:])]
    for q in e.range(count // lanes % 2 * lanes, lanes, carried=found):
        found[:] = body(e, pairs + q, list(found))
    return found


def _singly(e: Any, count: Int, sums: list[Vector], body: Body) -> list[Vector]:
    """Run body over the elements after the whole vectors."""
    single, rest, found = e.of_lanes(1), count % e.lanes, list(sums)
    whole = count - rest
    for q in e.range(rest, carried=found):
        found[:] = body(single, whole + q, list(found))
    return found


def _sum_up(e: Any, count: Int, sums: Pointer, zero: Callable[[Any], Vector], body: Body) -> None:
    """Add the two sums of a body to two vectors of doubles; zero(e) is where each begins."""
    for part, run in ((e, _along), (e.of_lanes(1), _singly)):
        for k, value in enumerate(run(e, count, [zero(part)] * 2, body)):
            place = sums + k * e.lanes
            part.store(part.load(place) + part.doubles(value), place)


# -- batch normalization -------------------------------------------------------------------------


@LIBRARY.function
def add_moments(e: Any, x: Pointer, count: Int, ahead: Int, center: Scalar, sums: Doubles) -> None:
    """Add `count` elements less `center` to sums[:lanes], and their squares to sums[lanes:].

    Both in float64, to any lane.
    """

    def body(e: Any, q: Int, now: list[Vector]) -> list[Vector]:
        e.prefetch(x + q + ahead)
        d = e.doubles(e.load(x + q)) - e.doubles(e.broadcast(center))
        return [now[0] + d, now[1] + d * d]

    _sum_up(e, count, sums, lambda e: e.zero_doubles(), body)


def _normalized(e: Any, value: Vector, affine: Affine) -> tuple[Vector, Vector]:
    """x - mean and z, rounded after each operation.

    So the result is that of a normalization and a scale one after the other, to the bit.
    """
    mean, inverse, scale, shift = (e.broadcast(each) for each in affine[:4])
    centered = value - mean
    return centered, centered * inverse * scale + shift


@LIBRARY.function
def normalize(e: Any, x: Pointer, count: Int, ahead: Int, affine: Pointer, y: Pointer) -> None:
    """y = z where z > 0, else slope z, with the z of `Affine`; y may be x."""
    a = fields(Affine, affine)

    def body(e: Any, q: Int, now: list[Vector]) -> list[Vector]:
        e.prefetch(y + q + ahead)
        z = _normalized(e, e.load(x + q), a)[1]
        z, limit = e.select(z > 0, z, z * e.broadcast(a.slope)), e.broadcast(a.limit)
        e.store(e.select(limit < z, limit, z), y + q)
        return now

    _along(e, count, [], body)
    _singly(e, count, [], body)


def _through_relu(e: Any, x: Vector, dy: Vector, affine: Affine) -> tuple[Vector, Vector]:
    """x - mean, and the gradient g below the ReLU: dy where z > 0, else slope dy."""
    centered, z = _normalized(e, x, affine)
    return centered, e.select(z > 0, dy, dy * e.broadcast(affine.slope))


@LIBRARY.function
def add_products(
    e: Any, x: Pointer, dy: Pointer, count: Int, ahead: Int, affine: Pointer, sums: Doubles
) -> None:
    """Add the gradients g below the ReLU to sums[:lanes], and g (x - mean) to sums[lanes:].

    Of the row, each lane is summed in the elements' own type.
    """
    a = fields(Affine, affine)

    def body(e: Any, q: Int, now: list[Vector]) -> list[Vector]:
        e.prefetch(x + q + ahead)
        e.prefetch(dy + q + ahead)
        centered, g = _through_relu(e, e.load(x + q), e.load(dy + q), a)
        return [now[0] + g, e.fma(g, centered, now[1])]

    _sum_up(e, count, sums, lambda e: e.zeros(), body)


@LIBRARY.function
def gradient(
    e: Any,
    x: Pointer,
    dy: Pointer,
    count: Int,
    ahead: Int,
    affine: Pointer,
    correction: Pointer,
    dx: Pointer,
) -> None:
    """dx = (g - level - (x - mean) along) factor with the g of `add_products`; dx may be dy."""
    a, c = fields(Affine, affine), fields(Correction, correction)

    def body(e: Any, q: Int, now: list[Vector]) -> list[Vector]:
        e.prefetch(dx + q + ahead)
        centered, g = _through_relu(e, e.load(x + q), e.load(dy + q), a)
        level, along, factor = (e.broadcast(each) for each in c)
        e.store((g - level - centered * along) * factor, dx + q)
        return now

    _along(e, count, [], body)
    _singly(e, count, [], body)


LIBRARY.link()
