"""Winograd's three transforms, on vectors of 16 tiles or 16 filters: straight vector code.

    B' d B   a patch d of 6 x 6 numbers to 6 x 6
    G g G'   a filter g of 3 x 3 numbers to 6 x 6
    A' m A   the 6 x 6 products m of both to a tile of 4 x 4 outputs

The matrices (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks") follow from
six points at which polynomials are evaluated.  Here they are 0, +-sqrt 1/2, +-sqrt 2 and infinity.
Measured in float32, with 64 to 512 channels, they err by 1.1e-6 to 4.0e-6 of the largest output;
those of the paper, 0, +-1, +-2 and infinity, by 4.6e-6 to 1.8e-5, with as much arithmetic.

The code is written once, for a *machine*: LLVM's (`Writer`), or numpy where nothing is
compiled.  Only `_winograd` imports this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._writer import VECTOR_BYTES, Library, Writer

SIDE = 4
"""Rows and columns of a tile of outputs."""
PATCH = SIDE + 2
PRODUCTS = PATCH * PATCH
NEAR, FAR = 0.5**0.5, 2.0**0.5
"""The points are 0, NEAR, -NEAR, FAR, -FAR and infinity; NEAR FAR = 1 saves multiplications."""


# -- along one line ------------------------------------------------------------------------------


def _transform_patch(machine: Any, x: Any) -> list[Any]:
    """B' x: six numbers to six."""
    fma = _times_constant(machine)
    near, near_odd = fma(x[2], -(FAR**2), x[4]), fma(x[1], -(FAR**2), x[3])
    far, far_odd = fma(x[2], -(NEAR**2), x[4]), fma(x[1], -(NEAR**2), x[3])
    return [
        fma(x[2], -(NEAR**2 + FAR**2), machine.add(x[0], x[4])),
        fma(near_odd, NEAR, near),
        fma(near_odd, -NEAR, near),
        fma(far_odd, FAR, far),
        fma(far_odd, -FAR, far),
        fma(x[3], -(NEAR**2 + FAR**2), machine.add(x[1], x[5])),
    ]


def _transform_filter(machine: Any, g: Any) -> list[Any]:
    """G g: three numbers to six."""
    fma = _times_constant(machine)
    results = [g[0]]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        scale = 1 / (2 * point**2 * (point**2 - other**2))
        even = fma(g[2], scale * point**2, machine.multiply(g[0], machine.constant(scale)))
        results.append(fma(g[1], scale * point, even))
        results.append(fma(g[1], -scale * point, even))
    return [*results, g[2]]


def _transform_product(machine: Any, m: Any) -> list[Any]:
    """A' m: six numbers to four."""
    fma, add, subtract = _times_constant(machine), machine.add, machine.subtract
    near, near_odd = add(m[1], m[2]), subtract(m[1], m[2])
    far, far_odd = add(m[3], m[4]), subtract(m[3], m[4])
    return [
        add(add(m[0], near), far),
        fma(far_odd, FAR, machine.multiply(near_odd, machine.constant(NEAR))),
        fma(far, FAR**2, machine.multiply(near, machine.constant(NEAR**2))),
        fma(far_odd, FAR**3, fma(near_odd, NEAR**3, m[5])),
    ]


def _times_constant(machine: Any) -> Callable[[Any, float, Any], Any]:
    """The function x factor + y."""
    return lambda x, factor, y: machine.multiply_add(x, machine.constant(factor), y)


def _both_ways(machine: Any, transform: Any, rows: list[Any]) -> list[list[Any]]:
    """The transform along each row, then along each column of the results."""
    rows = [transform(machine, row) for row in rows]
    columns = [transform(machine, column) for column in zip(*rows)]
    return [list(row) for row in zip(*columns)]


# -- between memory and vectors ------------------------------------------------------------------


def _by_four(machine: Any, vectors: list[Any]) -> list[Any]:
    """Every fourth number of four vectors, from the first, second, third and fourth."""
    count = 2 * machine.lanes
    even, odd = list(range(0, count, 2)), list(range(1, count, 2))
    pairs = [
        (machine.choose(*vectors[:2], mask), machine.choose(*vectors[2:], mask))
        for mask in (even, odd)
    ]
    return [machine.choose(*pair, mask) for mask in (even, odd) for pair in pairs]


def _in_turn(machine: Any, vectors: list[Any]) -> list[Any]:
    """The inverse of `_by_four`."""
    lanes = machine.lanes
    both = [j // 2 + j % 2 * lanes for j in range(2 * lanes)]
    halves = both[:lanes], both[lanes:]
    evens = [machine.choose(vectors[0], vectors[2], half) for half in halves]
    odds = [machine.choose(vectors[1], vectors[3], half) for half in halves]
    return [machine.choose(*pair, half) for pair in zip(evens, odds) for half in halves]


def _store_all(machine: Any, rows: list[list[Any]], target: Any, stride: Any) -> None:
    for k, value in enumerate(value for row in rows for value in row):
        machine.store(value, machine.step(target, k, stride))


def _patches(machine: Any, lines: Any, pitch: Any, target: Any, stride: Any) -> None:
    """Of one channel under a vector of tiles: 6 lines of patches to 36 vectors, `stride` apart.

    A line holds four numbers for each tile.  The fifth and sixth are the first and second of the
    same line, four numbers on, which lie 6 lines further down.
    """
    rows = []
    for i in range(PATCH):
        four, next_four = (
            [machine.step(machine.step(lines, line, pitch), v * machine.lanes) for v in range(4)]
            for line in (i, i + PATCH)
        )
        first, second = (_by_four(machine, list(map(machine.load, x))) for x in (four, next_four))
        rows.append([*first, *second[:2]])
    _store_all(machine, _both_ways(machine, _transform_patch, rows), target, stride)


def _filters(machine: Any, source: Any, pitch: Any, target: Any, stride: Any) -> None:
    """A vector of filters, their 9 numbers `pitch` apart, to 36 vectors `stride` apart."""
    taps = [machine.load(machine.step(source, t, pitch)) for t in range(9)]
    rows = [taps[0:3], taps[3:6], taps[6:9]]
    _store_all(machine, _both_ways(machine, _transform_filter, rows), target, stride)


def _outputs(
    machine: Any, source: Any, stride: Any, lines: Any, pitch: Any, *epilogue: Any
) -> None:
    """36 vectors of products, `stride` apart, to 4 lines of outputs, four numbers a tile.

    epilogue: a factor, a summand, and the slope of a ReLU below 0.
    """
    products = [machine.load(machine.step(source, k, stride)) for k in range(PRODUCTS)]
    rows = [products[i : i + PATCH] for i in range(0, PRODUCTS, PATCH)]
    factor, summand, slope = map(machine.spread, epilogue)
    for i, row in enumerate(_both_ways(machine, _transform_product, rows)):
        done = [machine.multiply_add(value, factor, summand) for value in row]
        done = [machine.where_positive(x, x, machine.multiply(x, slope)) for x in done]
        line = machine.step(lines, i, pitch)
        for v, value in enumerate(_in_turn(machine, done)):
            machine.store(value, machine.step(line, v * machine.lanes))


# -- lines ---------------------------------------------------------------------------------------


def _masked(writer: Writer, verb: str) -> tuple[str, Any]:
    kind = f"v{writer.lanes}f{writer.bits}"
    return f"llvm.masked.{verb}.{kind}.p0{kind}", ir.Constant(ir.IntType(32), writer.bits // 8)


def _below(writer: Writer, limit: Any) -> Any:
    """Which numbers of a vector come before the one at `limit`."""
    order = ir.Constant(writer.counts, list(range(writer.lanes)))
    limit = writer.builder.trunc(limit, ir.IntType(32))
    return writer.builder.icmp_signed("<", order, writer.spread(limit))


def _copy_inside(
    writer: Writer, source: Any, low: Any, high: Any, target: Any, count: Any
) -> None:
    """Whole vectors of the source, 0 before number `low` and from number `high` on."""
    builder, (name, align) = writer.builder, _masked(writer, "load")

    def move(q: Any, _: list[Any]) -> list[Any]:
        outside = builder.not_(_below(writer, builder.sub(low, q)))
        inside = builder.and_(_below(writer, builder.sub(high, q)), outside)
        place = builder.bitcast(builder.gep(source, [q]), writer.vector.as_pointer())
        value = writer.call(name, writer.vector, place, align, inside, writer.zeros())
        writer.store(value, builder.gep(target, [q]))
        return []

    writer.count_up(count, writer.lanes, [], move)


def _plain_copy_inside(source, at, low, high, target, to, count):
    lanes = VECTOR_BYTES // source.itemsize
    whole = (count + lanes - 1) // lanes * lanes
    low, high = max(low, 0), min(high, whole)
    target[to : to + whole] = 0
    if low < high:
        target[to + low : to + high] = source[at + low : at + high]


def _copy_first(writer: Writer, source: Any, target: Any, count: Any) -> None:
    """`count` numbers, by vectors."""
    builder, (name, align) = writer.builder, _masked(writer, "store")

    def move(q: Any, _: list[Any]) -> list[Any]:
        place = builder.bitcast(builder.gep(target, [q]), writer.vector.as_pointer())
        inside = _below(writer, builder.sub(count, q))
        value = writer.load(builder.gep(source, [q]))
        writer.call(name, ir.VoidType(), value, place, align, inside)
        return []

    writer.count_up(count, writer.lanes, [], move)


def _plain_copy_first(source, at, target, to, count):
    target[to : to + count] = source[at : at + count]


# -- without a compiler --------------------------------------------------------------------------


class _Plain:
    """A machine that computes at once; a place is an array and an index."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def constant(self, value: float) -> Any:
        return value

    def spread(self, value: Any) -> Any:
        return value

    def step(self, place: Any, count: int, pitch: int = 1) -> Any:
        return place[0], place[1] + count * pitch

    def load(self, place: Any) -> Any:
        array, at = place
        return array[at : at + self.lanes].copy()

    def store(self, value: Any, place: Any) -> None:
        array, at = place
        array[at : at + self.lanes] = value

    def choose(self, x: Any, y: Any, places: list[int]) -> Any:
        return np.concatenate((x, y))[places]

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def subtract(self, x: Any, y: Any) -> Any:
        return x - y

    def multiply(self, x: Any, y: Any) -> Any:
        return x * y

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        return x * y + z

    def where_positive(self, x: Any, y: Any, z: Any) -> Any:
        return np.where(x > 0, y, z)


def _plainly(write: Callable[..., None]) -> Callable[..., None]:
    """The function that does at once what `write` writes down."""

    def plain(*args: Any) -> None:
        rest, places = list(args), []
        while rest:
            value = rest.pop(0)
            places.append((value, rest.pop(0)) if isinstance(value, np.ndarray) else value)
        with np.errstate(all="ignore"):
            write(_Plain(VECTOR_BYTES // args[0].itemsize), *places)

    return plain


LIBRARY = Library("winograd")
patches_to_vectors = LIBRARY.function("patches", "pipi", _patches, _plainly(_patches))
filters_to_vectors = LIBRARY.function("filters", "pipi", _filters, _plainly(_filters))
vectors_to_outputs = LIBRARY.function("outputs", "pipifff", _outputs, _plainly(_outputs))
copy_inside = LIBRARY.function("copy_inside", "piipi", _copy_inside, _plain_copy_inside)
copy_first = LIBRARY.function("copy_first", "ppi", _copy_first, _plain_copy_first)
