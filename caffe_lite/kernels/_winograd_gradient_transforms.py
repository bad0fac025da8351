"""The three transforms of Winograd's weight gradient, on vectors of channels or of outputs.

    B' d B   a patch d of 6 x 6 numbers to 6 x 6, as for the convolution itself
    A y A'   a tile y of 4 x 4 or 2 x 2 numbers to 6 x 6
    G' m G   the 6 x 6 sums m of their products to the 3 x 3 or 5 x 5 numbers of a filter

Those for 2 x 2 and 5 x 5 are called fine.  The matrices are those of `_winograd_transforms`, whose
code is used for the first; the others are the transposes of what is there.

The numbers of a vector belong to planes side by side, so that they are stored where the products
read them.  Only `_winograd_gradient` imports this file.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._winograd_transforms import (
    FAR,
    FINE,
    NEAR,
    PATCH,
    PRODUCTS,
    SIDE,
    _both_ways,
    _Plain,
    _plainly,
    _store_all,
    _times_constant,
    _transform_patch,
)
from caffe_lite.kernels._writer import VECTOR_BYTES, Library, Writer

__all__ = [
    "LIBRARY",
    "PATCH",
    "PRODUCTS",
    "SIDE",
    "add_filters",
    "add_fine_filters",
    "fine_tiles_to_vectors",
    "patches_to_vectors",
    "tiles_to_vectors",
]


# -- along one line ------------------------------------------------------------------------------


def _transform_tile(machine: Any, y: Any) -> list[Any]:
    """A y: four or two numbers to six."""
    fma = _times_constant(machine)
    results = [y[0]]
    for point in (NEAR, FAR):
        even, odd = y[0], y[1]
        if len(y) == SIDE:
            even, odd = fma(y[2], point**2, even), fma(y[3], point**2, odd)
        results += [fma(odd, point, even), fma(odd, -point, even)]
    return [*results, y[-1]]


def _transform_sums(reach: int, machine: Any, m: Any) -> list[Any]:
    """G' m: six numbers to three or five, `reach`."""
    fma = _times_constant(machine)
    near = machine.add(m[1], m[2]), machine.subtract(m[1], m[2])
    far = machine.add(m[3], m[4]), machine.subtract(m[3], m[4])
    near_scale, far_scale = (
        1 / (2 * point**2 * (point**2 - other**2)) for point, other in ((NEAR, FAR), (FAR, NEAR))
    )
    results = []
    for power in range(reach):
        scale = near_scale * NEAR**power
        if power in (0, reach - 1):
            total = fma(near[power % 2], scale, m[5 if power else 0])
        else:
            total = machine.multiply(near[power % 2], machine.constant(scale))
        results.append(fma(far[power % 2], far_scale * FAR**power, total))
    return results


# -- between memory and vectors ------------------------------------------------------------------


def _square(side: int, machine: Any, transform: Any, *places: Any) -> None:
    """Lines of `side` vectors each, `pitch` apart, to 36 vectors, `stride` apart."""
    lines, pitch, target, stride = places
    rows = [
        [machine.load(machine.step(line, j * machine.lanes)) for j in range(side)]
        for line in (machine.step(lines, i, pitch) for i in range(side))
    ]
    _store_all(machine, _both_ways(machine, transform, rows), target, stride)


def _patches(machine: Any, *places: Any) -> None:
    _square(PATCH, machine, _transform_patch, *places)


def _tiles(side: int, machine: Any, *places: Any) -> None:
    _square(side, machine, _transform_tile, *places)


def _filters(reach: int, machine: Any, source: Any, stride: Any) -> list[Any]:
    """Of 36 vectors of sums, `stride` apart, the numbers of a vector of filters."""
    sums = [machine.load(machine.step(source, k, stride)) for k in range(PRODUCTS)]
    rows = [sums[i : i + PATCH] for i in range(0, PRODUCTS, PATCH)]
    rows = _both_ways(machine, partial(_transform_sums, reach), rows)
    return [value for row in rows for value in row]


def _turned(writer: Writer, rows: list[Any]) -> list[Any]:
    """The columns of a square: its parts off the diagonal are swapped, then theirs."""
    lanes, rows = writer.lanes, list(rows)
    for s in (1 << bit for bit in range(lanes.bit_length() - 1)):
        upper = [j if not j & s else lanes + j - s for j in range(lanes)]
        lower = [j + s if not j & s else lanes + j for j in range(lanes)]
        for i in range(lanes):
            if not i & s:
                pair = rows[i], rows[i + s]
                rows[i], rows[i + s] = (writer.choose(*pair, mask) for mask in (upper, lower))
    return rows


def _add_filters(reach: int, writer: Writer, source: Any, stride: Any, target: Any) -> None:
    """Transform a vector of sums and add it to the filters, which lie one behind the other."""
    values, lanes, count = _filters(reach, writer, source, stride), writer.lanes, reach**2
    filters = [writer.step(target, c * count) for c in range(lanes)]
    whole = count // lanes * lanes
    for t in range(0, whole, lanes):
        for start, value in zip(filters, _turned(writer, values[t : t + lanes])):
            place = writer.step(start, t)
            writer.store(writer.add(writer.load(place), value), place)
    ends = [writer.step(start, whole) for start in filters]
    if count - whole == 1:
        for c, place in enumerate(ends):
            one = writer.builder.extract_element(values[-1], ir.Constant(ir.IntType(32), c))
            writer.builder.store(writer.add(writer.builder.load(place), one), place)
    else:
        rest = values[whole:]
        square = _turned(writer, [*rest, *[writer.zeros()] * (lanes - len(rest))])
        for place, value in zip(ends, square):
            _add_first(writer, value, len(rest), place)


def _add_first(writer: Writer, value: Any, count: int, place: Any) -> None:
    """Add the first numbers of a vector to memory; the others' may be another thread's."""
    kind, align = f"v{writer.lanes}f{writer.bits}", ir.Constant(ir.IntType(32), writer.bits // 8)
    which = ir.VectorType(ir.IntType(1), writer.lanes)
    mask = ir.Constant(which, [c < count for c in range(writer.lanes)])
    where = writer.builder.bitcast(place, writer.vector.as_pointer())
    name, zeros = f"p0{kind}", writer.zeros()
    before = writer.call(
        f"llvm.masked.load.{kind}.{name}", writer.vector, where, align, mask, zeros
    )
    after = writer.add(before, value)
    writer.call(f"llvm.masked.store.{kind}.{name}", ir.VoidType(), after, where, align, mask)


def _plain_add_filters(reach, source, at, stride, target, to):
    lanes = VECTOR_BYTES // source.itemsize
    with np.errstate(all="ignore"):
        values = np.array(_filters(reach, _Plain(lanes), (source, at), stride))
        target[to : to + values.size] += values.T.reshape(-1)


LIBRARY = Library("winograd_gradient")


def _transform(name: str, write: Any) -> Any:
    return LIBRARY.function(name, "pipi", write, _plainly(write))


def _addition(name: str, side: int) -> Any:
    reach = PATCH + 1 - side
    write, plain = partial(_add_filters, reach), partial(_plain_add_filters, reach)
    return LIBRARY.function(name, "pip", write, plain)


patches_to_vectors = _transform("patches", _patches)
tiles_to_vectors = _transform("tiles", partial(_tiles, SIDE))
fine_tiles_to_vectors = _transform("fine_tiles", partial(_tiles, FINE))
add_filters = _addition("filters", SIDE)
add_fine_filters = _addition("fine_filters", FINE)
