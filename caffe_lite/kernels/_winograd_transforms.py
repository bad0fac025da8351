"""Winograd's three transforms, on vectors of 16 tiles or 16 filters: straight vector code.

    B' d B   a patch d of 6 x 6 numbers to 6 x 6
    G g G'   a filter g of 3 x 3 or 5 x 5 numbers to 6 x 6
    A' m A   the 6 x 6 products m of both to a tile of 4 x 4 or 2 x 2 outputs

Those for 5 x 5 and 2 x 2 are called fine.  B is the same for both: the matrices (Lavin and Gray
2016, "Fast Algorithms for Convolutional Neural Networks") follow from six points at which
polynomials are evaluated.  Here they are 0, +-sqrt 1/2, +-sqrt 2 and infinity.  Measured in
float32, with 64 to 512 channels, they err by 1.1e-6 to 4.1e-6 of the largest output under 3 x 3,
and by 1.3e-6 to 2.5e-6 under 5 x 5; those of the paper, 0, +-1, +-2 and infinity, by 4.6e-6 to
1.8e-5, with as much arithmetic.

The code is written once, for a *machine*: LLVM's (`Writer`), or numpy where nothing is
compiled.  Only `_winograd` and `_winograd_gradient_transforms` import this file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._writer import VECTOR_BYTES, Library, Writer

SIDE, FINE = 4, 2
"""Rows and columns of a tile of outputs, under filters of 3 x 3 and of 5 x 5."""
PATCH = 6
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
    """G g: three or five numbers to six."""
    fma = _times_constant(machine)
    results = [g[0]]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        scale = 1 / (2 * point**2 * (point**2 - other**2))
        even = fma(g[2], scale * point**2, machine.multiply(g[0], machine.constant(scale)))
        odd = g[1]
        if len(g) == 5:
            even, odd = fma(g[4], scale * point**4, even), fma(g[3], point**2, odd)
        results.append(fma(odd, scale * point, even))
        results.append(fma(odd, -scale * point, even))
    return [*results, g[-1]]


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


def _transform_fine_product(machine: Any, m: Any) -> list[Any]:
    """A' m: six numbers to two."""
    fma, add, subtract = _times_constant(machine), machine.add, machine.subtract
    near, far = add(m[1], m[2]), add(m[3], m[4])
    odd = fma(subtract(m[1], m[2]), NEAR, m[5])
    return [add(add(m[0], near), far), fma(subtract(m[3], m[4]), FAR, odd)]


def _times_constant(machine: Any) -> Callable[[Any, float, Any], Any]:
    """The function x factor + y."""
    return lambda x, factor, y: machine.multiply_add(x, machine.constant(factor), y)


def _both_ways(machine: Any, transform: Any, rows: list[Any]) -> list[list[Any]]:
    """The transform along each row, then along each column of the results."""
    rows = [transform(machine, row) for row in rows]
    columns = [transform(machine, column) for column in zip(*rows)]
    return [list(row) for row in zip(*columns)]


# -- between memory and vectors ------------------------------------------------------------------


def _apart(machine: Any, vectors: list[Any]) -> list[Any]:
    """Every fourth number of four vectors, from the first, second, third and fourth.

    Or every second number of two vectors.  The order is that of `_in_turn`, which undoes it, and
    no other: numbers move within the processor's units of four, beyond them it takes longer.
    """
    if len(vectors) == 1:
        return vectors
    pairs = list(zip(vectors[::2], vectors[1::2]))
    parts = [
        _apart(machine, [machine.choose(*pair, _masks(machine)[i]) for pair in pairs])
        for i in range(2)
    ]
    return [one for both in zip(*parts) for one in both]


def _in_turn(machine: Any, vectors: list[Any]) -> list[Any]:
    """The inverse of `_apart`."""
    if len(vectors) == 1:
        return vectors
    parts = [_in_turn(machine, vectors[i::2]) for i in range(2)]
    return [machine.choose(*pair, mask) for pair in zip(*parts) for mask in _masks(machine)[2:]]


def _masks(machine: Any) -> list[list[int]]:
    """The even and the odd numbers of two vectors; the first and the last halves, in turns.

    Of every unit by itself.
    """
    lanes, unit = machine.lanes, min(4, machine.lanes)
    both = [range(start, start + unit) for start in (0, lanes)]
    within = [
        [*both[0][::2], *both[1][::2]],
        [*both[0][1::2], *both[1][1::2]],
        [i for pair in zip(*both) for i in pair][:unit],
        [i for pair in zip(*both) for i in pair][unit:],
    ]
    return [[u + i for u in range(0, lanes, unit) for i in mask] for mask in within]


def _store_all(machine: Any, rows: list[list[Any]], target: Any, stride: Any) -> None:
    for k, value in enumerate(value for row in rows for value in row):
        machine.store(value, machine.step(target, k, stride))


def _patches(side: int, machine: Any, lines: Any, pitch: Any, target: Any, stride: Any) -> None:
    """Of one channel under a vector of tiles: 6 lines of patches to 36 vectors, `stride` apart.

    A line holds `side` numbers for each tile.  What follows them in a patch are the first of the
    same line, `side` numbers on, which lies 6 lines further down.
    """
    rows = []
    for i in range(PATCH):
        row = []
        for line in range(i, i + PATCH * -(-PATCH // side), PATCH):
            start = machine.step(lines, line, pitch)
            vectors = [machine.load(machine.step(start, v * machine.lanes)) for v in range(side)]
            row += _apart(machine, vectors)
        rows.append(row[:PATCH])
    _store_all(machine, _both_ways(machine, _transform_patch, rows), target, stride)


def _filters(side: int, machine: Any, source: Any, pitch: Any, target: Any, stride: Any) -> None:
    """A vector of filters, their numbers `pitch` apart, to 36 vectors `stride` apart."""
    reach = PATCH + 1 - side
    taps = [machine.load(machine.step(source, t, pitch)) for t in range(reach**2)]
    rows = [taps[i : i + reach] for i in range(0, reach**2, reach)]
    _store_all(machine, _both_ways(machine, _transform_filter, rows), target, stride)


def _outputs(
    side: int, machine: Any, source: Any, stride: Any, lines: Any, pitch: Any, *epilogue: Any
) -> None:
    """36 vectors of products, `stride` apart, to lines of outputs, `side` numbers a tile.

    epilogue: a factor, a summand, and the slope of a ReLU below 0.
    """
    products = [machine.load(machine.step(source, k, stride)) for k in range(PRODUCTS)]
    rows = [products[i : i + PATCH] for i in range(0, PRODUCTS, PATCH)]
    factor, summand, slope = map(machine.spread, epilogue)
    transform = _transform_fine_product if side == FINE else _transform_product
    for i, row in enumerate(_both_ways(machine, transform, rows)):
        done = [machine.multiply_add(value, factor, summand) for value in row]
        done = [machine.where_positive(x, x, machine.multiply(x, slope)) for x in done]
        line = machine.step(lines, i, pitch)
        for v, value in enumerate(_in_turn(machine, done)):
            machine.store(value, machine.step(line, v * machine.lanes))


# -- lines ---------------------------------------------------------------------------------------


def _from(writer: Writer, first: Any) -> Any:
    """Which numbers of a vector come at `first` or later."""
    order = ir.Constant(writer.counts, list(range(writer.lanes)))
    first = writer.builder.trunc(first, ir.IntType(32))
    return writer.builder.icmp_signed(">=", order, writer.spread(first))


def _load_where(writer: Writer, mask: Any, place: Any) -> Any:
    """The numbers of a vector where the mask says so, else 0."""
    kind, align = f"v{writer.lanes}f{writer.bits}", ir.Constant(ir.IntType(32), writer.bits // 8)
    where = writer.builder.bitcast(place, writer.vector.as_pointer())
    name = f"llvm.masked.load.{kind}.p0{kind}"
    return writer.call(name, writer.vector, where, align, mask, writer.zeros())


def _fetch(writer: Writer, place: Any) -> None:
    """Have a cache line come from memory, to be read soon; it may be any place."""
    place = writer.builder.bitcast(place, ir.IntType(8).as_pointer())
    settings = [ir.Constant(ir.IntType(32), value) for value in (0, 3, 1)]  # read, keep, data
    writer.call("llvm.prefetch.p0i8", ir.VoidType(), place, *settings)


def _rows_to_lines(
    side: int,
    writer: Writer,
    source: Any,
    h: Any,
    w: Any,
    y0: Any,
    x0: Any,
    lines: Any,
    pitch: Any,
    count: Any,
) -> None:
    """`count` columns, from pixel (y0, x0) on, of a plane to the lines that `_patches` reads.

    Outside of the plane (h, w) is 0.  The same rows of the next plane, which follow soon, are
    fetched: they are too short for the processor to see that coming.
    """
    builder, zero = writer.builder, writer.index(0)
    rows = []
    for i in range(PATCH):
        y = builder.add(y0, writer.index(i))
        inside = builder.and_(builder.icmp_signed(">=", y, zero), builder.icmp_signed("<", y, h))
        rows.append((builder.gep(source, [builder.mul(y, w)]), writer.spread(inside)))

    def move(p: Any, _: list[Any]) -> list[Any]:
        for q in range(0, PATCH, side):
            x = builder.add(x0, builder.add(p, writer.index(q)))
            begin, end = builder.sub(zero, x), builder.sub(w, x)
            columns = builder.and_(_from(writer, begin), builder.not_(_from(writer, end)))
            for i, (row, inside) in enumerate(rows):
                place, line = builder.gep(row, [x]), i + q // side * PATCH
                if q == 0:
                    _fetch(writer, builder.gep(place, [builder.mul(h, w)]))
                value = _load_where(writer, builder.and_(columns, inside), place)
                writer.store(value, builder.gep(writer.step(lines, line, pitch), [p]))
        return []

    writer.count_up(count, writer.lanes, [], move)


def _plain_rows_to_lines(side, source, at, h, w, y0, x0, lines, to, pitch, count):
    lanes = VECTOR_BYTES // source.itemsize
    whole = -(-count // lanes) * lanes
    for q in range(0, PATCH, side):
        first, last = max(x0 + q, 0), min(x0 + q + whole, w)
        for i in range(PATCH):
            row, line = at + (y0 + i) * w, to + (i + q // side * PATCH) * pitch
            lines[line : line + whole] = 0
            if 0 <= y0 + i < h and first < last:
                place = line + first - x0 - q
                lines[place : place + last - first] = source[row + first : row + last]


def _lines_to_rows(
    side: int,
    writer: Writer,
    lines: Any,
    pitch: Any,
    target: Any,
    step: Any,
    rows: Any,
    count: Any,
) -> None:
    """The first `rows` lines that `_outputs` writes, `count` numbers each, to rows of an image.

    What is left after whole vectors goes by halves, quarters, ...: some processors take dozens of
    cycles for a masked store.
    """
    builder = writer.builder
    rest = builder.and_(count, writer.index(writer.lanes - 1))
    whole = builder.sub(count, rest)
    for i in range(side):
        line, row = writer.step(lines, i, pitch), writer.step(target, i, step)
        with builder.if_then(builder.icmp_signed("<", writer.index(i), rows)):

            def move(p: Any, _: list[Any], line: Any = line, row: Any = row) -> list[Any]:
                writer.store(writer.load(builder.gep(line, [p])), builder.gep(row, [p]))
                return []

            writer.count_up(whole, writer.lanes, [], move)
            done, piece = whole, writer.lanes // 2
            while piece:
                some = builder.and_(rest, writer.index(piece))
                with builder.if_then(builder.icmp_signed("!=", some, writer.index(0))):
                    kind = ir.VectorType(writer.element, piece).as_pointer()
                    source, place = (
                        builder.bitcast(builder.gep(start, [done]), kind) for start in (line, row)
                    )
                    value = builder.load(source, align=writer.bits // 8)
                    builder.store(value, place, align=writer.bits // 8)
                done, piece = builder.add(done, some), piece // 2


def _plain_lines_to_rows(side, lines, at, pitch, target, to, step, rows, count):
    for i in range(min(side, rows)):
        line = lines[at + i * pitch :][:count]
        target[to + i * step : to + i * step + count] = line


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


def _function(name: str, kinds: str, write: Any, side: int) -> Any:
    of_side = partial(write, side)
    return LIBRARY.function(name, kinds, of_side, _plainly(of_side))


patches_to_vectors = _function("patches", "pipi", _patches, SIDE)
filters_to_vectors = _function("filters", "pipi", _filters, SIDE)
vectors_to_outputs = _function("outputs", "pipifff", _outputs, SIDE)
fine_patches_to_vectors = _function("fine_patches", "pipi", _patches, FINE)
fine_filters_to_vectors = _function("fine_filters", "pipi", _filters, FINE)
vectors_to_fine_outputs = _function("fine_outputs", "pipifff", _outputs, FINE)
rows_to_lines = LIBRARY.function(
    "rows", "piiiipii", partial(_rows_to_lines, SIDE), partial(_plain_rows_to_lines, SIDE)
)
rows_to_fine_lines = LIBRARY.function(
    "fine_rows", "piiiipii", partial(_rows_to_lines, FINE), partial(_plain_rows_to_lines, FINE)
)
lines_to_rows = LIBRARY.function(
    "to_rows", "pipiii", partial(_lines_to_rows, SIDE), partial(_plain_lines_to_rows, SIDE)
)
