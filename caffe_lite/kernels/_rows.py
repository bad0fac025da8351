"""What batch normalisation does to a row of numbers, in vector code.

    add_moments    the sums of a row's numbers and of their squares
    normalize      a row normalised, scaled, shifted, and clipped below 0
    add_products   the sums of a row's gradients, also times its numbers
    gradient       the gradient of `normalize`, of the mean and of the deviation

Rows are often so short (49 numbers) that what is left of them after some whole vectors decides:
one function writes the code for a pair of vectors, for one, and for a single number.  Each is
written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `batch_norm` imports this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._writer import VECTOR_BYTES, Library, Writer

Body = Callable[[Writer, Any, list[Any]], list[Any]]
"""body(writer, q, sums) -> sums: what is done to the vector of a row that begins at number q."""


# -- as instructions -----------------------------------------------------------------------------


def _along(writer: Writer, count: Any, sums: list[Any], body: Body) -> list[Any]:
    """Run body over the whole vectors of a row, two at a time, as no sum waits for the other's.

    sums: of one vector, to begin with.
    """
    builder, lanes, many = writer.builder, writer.lanes, len(sums)

    def pair(q: Any, now: list[Any]) -> list[Any]:
        second = builder.add(q, writer.index(lanes))
        return body(writer, q, now[:many]) + body(writer, second, now[many:])

    twice = writer.index(2 * lanes)
    pairs = builder.mul(builder.sdiv(count, twice), twice)
    found = writer.count_up(pairs, 2 * lanes, 2 * sums, pair)
    sums = [writer.add(*both) for both in zip(found[:many], found[many:])]
    rest = builder.srem(builder.sdiv(count, writer.index(lanes)), writer.index(2))

    def last(q: Any, now: list[Any]) -> list[Any]:
        return body(writer, builder.add(pairs, q), now)

    return writer.count_up(builder.mul(rest, writer.index(lanes)), lanes, sums, last)


def _singly(writer: Writer, count: Any, sums: list[Any], body: Body) -> list[Any]:
    """Run body over the numbers after the whole vectors."""
    builder, lanes = writer.builder, writer.index(writer.lanes)
    rest = builder.srem(count, lanes)
    first = builder.sub(count, rest)
    single = Writer(writer.bits, builder, 1)

    def number(q: Any, now: list[Any]) -> list[Any]:
        return body(single, builder.add(first, q), now)

    return single.count_up(rest, 1, sums, number)


def _everywhere(writer: Writer, count: Any, body: Body) -> None:
    """Run a body without sums over a row."""
    _along(writer, count, [], body)
    _singly(writer, count, [], body)


def _as_doubles(writer: Writer, value: Any) -> Any:
    doubles = ir.VectorType(ir.DoubleType(), value.type.count)
    return value if value.type == doubles else writer.builder.fpext(value, doubles)


def _keep(writer: Writer, place: Any, value: Any) -> None:
    """Add a vector to the doubles at a place, as many as it has lanes."""
    value = _as_doubles(writer, value)
    where = writer.builder.bitcast(place, value.type.as_pointer())
    total = writer.add(writer.builder.load(where, align=8), value)
    writer.builder.store(total, where, align=8)


def _sum_up(writer: Writer, count: Any, sums: Any, kind: Any, body: Body) -> None:
    """Add the two sums of a body, of vectors of `kind` numbers, to two vectors of doubles."""
    second = writer.builder.gep(sums, [writer.index(writer.lanes)])
    for lanes, run in ((writer.lanes, _along), (1, _singly)):
        zero = ir.Constant(ir.VectorType(kind, lanes), None)
        for place, value in zip((sums, second), run(writer, count, [zero, zero], body)):
            _keep(writer, place, value)


def _write_add_moments(writer: Writer, x: Any, count: Any, center: Any, sums: Any) -> None:
    builder, double = writer.builder, ir.DoubleType()

    def body(writer: Writer, q: Any, now: list[Any]) -> list[Any]:
        middle = _as_doubles(writer, writer.spread(center))
        value = _as_doubles(writer, writer.load(builder.gep(x, [q])))
        d = writer.subtract(value, middle)
        return [writer.add(now[0], d), writer.add(now[1], writer.multiply(d, d))]

    _sum_up(writer, count, sums, double, body)


def _affine(writer: Writer, value: Any, settings: tuple[Any, ...]) -> tuple[Any, Any]:
    """(x - mean) and (x - mean) inverse scale + shift, rounded after each operation.

    So the number is that of a normalisation and a scale one after the other, to the bit.
    """
    mean, inverse, scale, shift = (writer.spread(setting) for setting in settings)
    centered = writer.subtract(value, mean)
    scaled = writer.multiply(writer.multiply(centered, inverse), scale)
    return centered, writer.add(scaled, shift)


def _write_normalize(
    writer: Writer,
    x: Any,
    count: Any,
    mean: Any,
    inverse: Any,
    scale: Any,
    shift: Any,
    slope: Any,
    y: Any,
) -> None:
    builder = writer.builder

    def body(writer: Writer, q: Any, _: list[Any]) -> list[Any]:
        value = writer.load(builder.gep(x, [q]))
        z = _affine(writer, value, (mean, inverse, scale, shift))[1]
        clipped = writer.multiply(z, writer.spread(slope))
        writer.store(writer.where_positive(z, z, clipped), builder.gep(y, [q]))
        return []

    _everywhere(writer, count, body)


def _through_activation(
    writer: Writer, q: Any, x: Any, dy: Any, settings: tuple[Any, ...]
) -> tuple[Any, Any]:
    """x - mean, and the gradient below the activation."""
    *affine, slope = settings
    centered, z = _affine(writer, writer.load(writer.builder.gep(x, [q])), tuple(affine))
    above = writer.load(writer.builder.gep(dy, [q]))
    clipped = writer.multiply(above, writer.spread(slope))
    return centered, writer.where_positive(z, above, clipped)


def _write_add_products(
    writer: Writer,
    x: Any,
    dy: Any,
    count: Any,
    mean: Any,
    inverse: Any,
    scale: Any,
    shift: Any,
    slope: Any,
    sums: Any,
) -> None:
    def body(writer: Writer, q: Any, now: list[Any]) -> list[Any]:
        settings = mean, inverse, scale, shift, slope
        centered, g = _through_activation(writer, q, x, dy, settings)
        return [writer.add(now[0], g), writer.multiply_add(g, centered, now[1])]

    _sum_up(writer, count, sums, writer.element, body)


def _write_gradient(
    writer: Writer,
    x: Any,
    dy: Any,
    count: Any,
    mean: Any,
    inverse: Any,
    scale: Any,
    shift: Any,
    slope: Any,
    mean_dy: Any,
    along: Any,
    factor: Any,
    dx: Any,
) -> None:
    builder = writer.builder

    def body(writer: Writer, q: Any, _: list[Any]) -> list[Any]:
        settings = mean, inverse, scale, shift, slope
        centered, g = _through_activation(writer, q, x, dy, settings)
        level, slant, share = (writer.spread(value) for value in (mean_dy, along, factor))
        rest = writer.subtract(writer.subtract(g, level), writer.multiply(centered, slant))
        writer.store(writer.multiply(rest, share), builder.gep(dx, [q]))
        return []

    _everywhere(writer, count, body)


# -- the same without a compiler ---------------------------------------------------------------


def _plain_add_moments(x, at, count, center, sums):
    d = x[at : at + count].astype(np.float64) - float(center)
    sums[0] += d.sum()
    sums[VECTOR_BYTES // x.itemsize] += (d * d).sum()


def _plain_affine(x, at, count, mean, inverse, scale, shift):
    centered = x[at : at + count] - mean
    return centered, centered * inverse * scale + shift


def _plain_normalize(x, at, count, mean, inverse, scale, shift, slope, y, to):
    with np.errstate(all="ignore"):
        z = _plain_affine(x, at, count, mean, inverse, scale, shift)[1]
        y[to : to + count] = np.where(z > 0, z, slope * z)


def _plain_through_activation(x, at, dy, begin, count, *settings):
    centered, z = _plain_affine(x, at, count, *settings[:4])
    above = dy[begin : begin + count]
    return centered, np.where(z > 0, above, settings[4] * above)


def _plain_add_products(x, at, dy, begin, count, mean, inverse, scale, shift, slope, sums):
    settings = mean, inverse, scale, shift, slope
    with np.errstate(all="ignore"):
        centered, g = _plain_through_activation(x, at, dy, begin, count, *settings)
        sums[0] += g.sum(dtype=np.float64)
        sums[VECTOR_BYTES // x.itemsize] += (g * centered).sum(dtype=np.float64)


def _plain_gradient(
    x, at, dy, begin, count, mean, inverse, scale, shift, slope, mean_dy, along, factor, dx, to
):
    settings = mean, inverse, scale, shift, slope
    with np.errstate(all="ignore"):
        centered, g = _plain_through_activation(x, at, dy, begin, count, *settings)
        dx[to : to + count] = (g - mean_dy - centered * along) * factor


_LIBRARY = Library("rows")
add_moments = _LIBRARY.function("add_moments", "pifd", _write_add_moments, _plain_add_moments)
"""add_moments(x, at, count, center, sums).

The `count` numbers x[at:] less `center` are added to the doubles sums[:lanes], their squares to
sums[lanes : 2 lanes], in any lane.
"""
normalize = _LIBRARY.function("normalize", "pifffffp", _write_normalize, _plain_normalize)
"""normalize(x, at, count, mean, inverse, scale, shift, slope, y, to).

y = z where z > 0, else slope z, with z = (x - mean) inverse scale + shift.
"""
add_products = _LIBRARY.function(
    "add_products", "ppifffffd", _write_add_products, _plain_add_products
)
"""add_products(x, at, dy, begin, count, mean, inverse, scale, shift, slope, sums).

g = dy where z > 0, else slope dy: added to sums[:lanes], and g (x - mean) to sums[lanes:], where z
is that of `normalize`.  Of a row, each lane is summed up in the numbers' own type.
"""
gradient = _LIBRARY.function("gradient", "ppiffffffffp", _write_gradient, _plain_gradient)
"""gradient(x, at, dy, begin, count, mean, inverse, scale, shift, slope, mean_dy, along, factor,
dx, to).

dx = (g - mean_dy - (x - mean) along) factor with the g of `add_products`; dx may be dy.
"""
for _bits in (32, 64):
    _LIBRARY.link(_bits)
