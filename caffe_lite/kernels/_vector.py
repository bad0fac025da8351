"""The vector code of the matrix core.

    tile          a tile of C = A B, kept in the vector registers while it runs along the depth
    tile_of_rows  the same with rows of A where they lie, instead of a packed panel
    turn_vectors  a square of numbers, transposed in the vector registers
    turn_lines    a band of such squares
    copy_lines    lines of a few vectors, moved to where they lie closer together
    slide         weighted sums of shifted stretches: a convolution of one plane
    dot           the inner product of two stretches
    cross         the inner products of some rows with four others
    copy_vector   one vector, moved

Each is written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `gemm` imports this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from caffe_lite.kernels._writer import ROWS, VECTOR_BYTES, Library, Writer

HEIGHTS = tuple(range(2, ROWS + 1, 2))
"""The heights that tiles are compiled for; a matrix's last rows take the next one up."""

BUNDLE = 8
"""Vectors that `slide` and `dot` work on at once."""
CROSS, CROSS_ROWS = 4, 7
"""Rows of a matrix that `cross` multiplies with others at once, and how many of those at most."""


# -- as instructions -----------------------------------------------------------------------------


def _prefetch(writer: Writer, place: Any) -> None:
    """Ask for a line of memory that is read soon."""
    number = ir.IntType(32)
    where = writer.builder.bitcast(place, ir.IntType(8).as_pointer())
    kinds = [ir.Constant(number, value) for value in (0, 3, 1)]
    writer.call("llvm.prefetch.p0i8", ir.VoidType(), where, *kinds)


def _write_tile(
    writer: Writer,
    rows: int,
    vectors: int,
    lines: list[Any] | None,
    a: Any,
    b: Any,
    depth: Any,
    c: Any,
    stride: Any,
    accumulate: Any,
) -> None:
    """Straight code for one size of tile; `lines` are A's rows, if it is not a packed panel."""
    builder, lanes = writer.builder, writer.lanes
    places = []
    for i in range(rows):
        row = writer.step(c, i, stride)
        places += [writer.step(row, v * lanes) for v in range(vectors)]
        _prefetch(writer, writer.step(row, 2 * lanes))
    start = [builder.select(accumulate, writer.load(place), writer.zeros()) for place in places]

    def left(p: Any) -> list[Any]:
        if lines is not None:
            return [builder.gep(line, [p]) for line in lines]
        panel = builder.gep(a, [builder.mul(p, writer.index(ROWS))])
        return [writer.step(panel, i) for i in range(rows)]

    ends = writer.add_products(depth, left, b, start)
    for end, place in zip(ends, places):
        writer.store(end, place)


def _tile(writer: Writer, rows: Any, vectors: Any, a: Any, *rest: Any) -> None:
    """Code for every size of tile, and the choice between them."""
    _write_tiles(writer, rows, vectors, a, None, *rest)


def _tile_of_rows(writer: Writer, rows: Any, vectors: Any, a: Any, *rest: Any) -> None:
    """The same; rows that a tile has too many are the last one again."""
    _write_tiles(writer, rows, vectors, a, *rest)


def _write_tiles(
    writer: Writer, rows: Any, vectors: Any, a: Any, a_stride: Any, *rest: Any
) -> None:
    builder, index = writer.builder, writer.index
    for wide in (1, 2):
        for height in HEIGHTS:
            fits = builder.and_(
                builder.icmp_signed("<=", vectors, index(wide)),
                builder.icmp_signed("<=", rows, index(height)),
            )
            chosen = builder.append_basic_block(f"tile_{height}x{wide}")
            other = builder.append_basic_block("other")
            builder.cbranch(fits, chosen, other)
            builder.position_at_end(chosen)
            lines = None if a_stride is None else _lines(writer, a, a_stride, rows, height)
            _write_tile(writer, height, wide, lines, a, *rest)
            builder.ret_void()
            builder.position_at_end(other)


def _lines(writer: Writer, a: Any, stride: Any, rows: Any, height: int) -> list[Any]:
    """Where `height` rows of A begin, of which there are `rows`: one more, or one less."""
    builder, last = writer.builder, writer.step(a, height - 1, stride)
    if height > 1:
        there = builder.icmp_signed("==", rows, writer.index(height))
        last = builder.select(there, last, writer.step(a, height - 2, stride))
    return [*(writer.step(a, i, stride) for i in range(height - 1)), last]


def _starts(writer: Writer, source: Any, offsets: Any, first: Any, count: Any) -> list[Any]:
    """Where the rows of a square begin; behind the last of `count` rows it comes again."""
    builder = writer.builder
    last = builder.sub(count, writer.index(1))
    starts = []
    for j in range(writer.lanes):
        place = builder.add(first, writer.index(j))
        place = builder.select(builder.icmp_signed("<", place, last), place, last)
        starts.append(builder.gep(source, [builder.load(builder.gep(offsets, [place]))]))
    return starts


def _square(writer: Writer, starts: list[Any], target: Any, stride: Any) -> None:
    """Load the rows of a square in parts of 16 bytes, swap numbers in them, store its columns.

    The parts of a vector come from rows that lie so far apart that nothing moves between parts.
    """
    builder, lanes, size = writer.builder, writer.lanes, 128 // writer.bits
    kind = ir.VectorType(writer.element, size)
    low = [b + v for b in range(0, lanes, size) for t in range(size // 2) for v in (t, lanes + t)]
    high = [place + size // 2 for place in low]

    def part(start: Any, q: int) -> Any:
        where = builder.bitcast(writer.step(start, q), kind.as_pointer())
        return builder.load(where, align=writer.bits // 8)

    for q in range(0, lanes, size):
        rows = []
        for i in range(size):
            parts = [part(start, q) for start in starts[i::size]]
            while len(parts) > 1:
                parts = [_join(writer, *pair) for pair in zip(parts[::2], parts[1::2])]
            rows += parts
        for _ in range(size.bit_length() - 1):
            pairs = zip(rows[: size // 2], rows[size // 2 :])
            rows = [writer.choose(*pair, places) for pair in pairs for places in (low, high)]
        for p, row in enumerate(rows):
            writer.store(row, writer.step(target, q + p, stride))


def _join(writer: Writer, x: Any, y: Any) -> Any:
    """One vector of the numbers of two."""
    numbers = ir.IntType(32)
    count = 2 * x.type.count
    places = ir.Constant(ir.VectorType(numbers, count), list(range(count)))
    return writer.builder.shuffle_vector(x, y, places)


def _turn(
    writer: Writer,
    source: Any,
    offsets: Any,
    first: Any,
    count: Any,
    target: Any,
    stride: Any,
) -> None:
    _square(writer, _starts(writer, source, offsets, first, count), target, stride)


def _turn_lines(
    writer: Writer,
    source: Any,
    offsets: Any,
    first: Any,
    count: Any,
    target: Any,
    stride: Any,
    depth: Any,
) -> None:
    """Squares side by side; the last overlaps the one before."""
    builder, lanes = writer.builder, writer.lanes
    starts = _starts(writer, source, offsets, first, count)
    last = builder.sub(depth, writer.index(lanes))

    def square(q: Any, _: list[Any]) -> list[Any]:
        q = builder.select(builder.icmp_signed("<", q, last), q, last)
        places = [builder.gep(start, [q]) for start in starts]
        _square(writer, places, builder.gep(target, [builder.mul(q, stride)]), stride)
        return []

    writer.count_up(depth, lanes, [], square)


LINES = 4
"""Lines that `copy_lines` reads before it writes them."""


def _copy_lines(
    writer: Writer,
    source: Any,
    stride: Any,
    target: Any,
    pitch: Any,
    lines: Any,
    vectors: Any,
) -> None:
    """Code for one and for two vectors, some lines at a time; wider lines by a loop."""
    builder, lanes, index = writer.builder, writer.lanes, writer.index
    for wide in (1, 2):
        chosen = builder.append_basic_block(f"copy_{wide}")
        other = builder.append_basic_block("other")
        builder.cbranch(builder.icmp_signed("==", vectors, index(wide)), chosen, other)
        builder.position_at_end(chosen)

        def some(first: Any, count: int, wide: int = wide) -> None:
            places = [
                (writer.step(begin, line, step), v * lanes)
                for begin, step in (
                    (builder.gep(source, [builder.mul(first, stride)]), stride),
                    (builder.gep(target, [builder.mul(first, pitch)]), pitch),
                )
                for line in range(count)
                for v in range(wide)
            ]
            ends = [writer.step(line, v) for line, v in places]
            half = len(ends) // 2
            for value, end in zip([writer.load(end) for end in ends[:half]], ends[half:]):
                writer.store(value, end)

        def group(first: Any, _: list[Any]) -> list[Any]:
            some(first, LINES)
            return []

        whole = builder.mul(builder.sdiv(lines, index(LINES)), index(LINES))
        writer.count_up(whole, LINES, [], group)

        def single(q: Any, _: list[Any], whole: Any = whole) -> list[Any]:
            some(builder.add(whole, q), 1)
            return []

        writer.count_up(builder.sub(lines, whole), 1, [], single)
        builder.ret_void()
        builder.position_at_end(other)

    def line(p: Any, _: list[Any]) -> list[Any]:
        begin = builder.gep(source, [builder.mul(p, stride)])
        end = builder.gep(target, [builder.mul(p, pitch)])

        def vector(v: Any, _: list[Any]) -> list[Any]:
            place = builder.mul(v, index(lanes))
            writer.store(writer.load(builder.gep(begin, [place])), builder.gep(end, [place]))
            return []

        return writer.count_up(vectors, 1, [], vector)

    writer.count_up(lines, 1, [], line)


def _slide(
    writer: Writer,
    source: Any,
    offsets: Any,
    taps: Any,
    weights: Any,
    target: Any,
    count: Any,
    accumulate: Any,
) -> None:
    """BUNDLE vectors at a time, so that the sums do not wait for each other."""
    builder, lanes = writer.builder, writer.lanes

    def stretch(q: Any, _: list[Any]) -> list[Any]:
        ends = [writer.step(builder.gep(target, [q]), v * lanes) for v in range(BUNDLE)]
        start = [builder.select(accumulate, writer.load(end), writer.zeros()) for end in ends]
        origin = builder.gep(source, [q])

        def tap(t: Any, sums: list[Any]) -> list[Any]:
            weight = writer.spread(builder.load(builder.gep(weights, [t])))
            place = builder.gep(origin, [builder.load(builder.gep(offsets, [t]))])
            return [
                writer.multiply_add(weight, writer.load(writer.step(place, v * lanes)), total)
                for v, total in enumerate(sums)
            ]

        for value, end in zip(writer.count_up(taps, 1, start, tap), ends):
            writer.store(value, end)
        return []

    writer.count_up(count, BUNDLE * lanes, [], stretch)


def _by_halves(writer: Writer, parts: list[Any]) -> Any:
    """The sum of a power of two of parts."""
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [writer.add(x, y) for x, y in zip(parts[:half], parts[half:])]
    return parts[0]


def _dot(writer: Writer, a: Any, b: Any, count: Any, result: Any) -> None:
    """BUNDLE sums of vectors, added up by halves; then what is left, number by number."""
    builder, lanes = writer.builder, writer.lanes
    whole = writer.index(BUNDLE * lanes)
    most = builder.mul(builder.sdiv(count, whole), whole)

    def stretch(q: Any, sums: list[Any]) -> list[Any]:
        left, right = builder.gep(a, [q]), builder.gep(b, [q])
        return [
            writer.multiply_add(
                writer.load(writer.step(left, v * lanes)),
                writer.load(writer.step(right, v * lanes)),
                total,
            )
            for v, total in enumerate(sums)
        ]

    sums = writer.count_up(most, BUNDLE * lanes, [writer.zeros()] * BUNDLE, stretch)
    total = _by_halves(writer, sums)
    parts = [
        builder.extract_element(total, ir.Constant(ir.IntType(32), lane)) for lane in range(lanes)
    ]

    def single(q: Any, total: list[Any]) -> list[Any]:
        place = builder.add(most, q)
        left, right = (builder.load(builder.gep(array, [place])) for array in (a, b))
        return [writer.add(total[0], writer.multiply(left, right))]

    rest = builder.sub(count, most)
    builder.store(writer.count_up(rest, 1, [_by_halves(writer, parts)], single)[0], result)


def _cross(
    writer: Writer, rows: Any, x: Any, x_stride: Any, w: Any, w_stride: Any, count: Any, sums: Any
) -> None:
    """Code for every number of rows; the sums stay vectors."""
    builder = writer.builder
    for height in range(1, CROSS_ROWS + 1):
        chosen = builder.append_basic_block(f"cross_{height}")
        other = builder.append_basic_block("other")
        builder.cbranch(builder.icmp_signed("==", rows, writer.index(height)), chosen, other)
        builder.position_at_end(chosen)

        def along(k: Any, totals: list[Any], height: int = height) -> list[Any]:
            left = [writer.step(builder.gep(w, [k]), r, w_stride) for r in range(CROSS)]
            right = [writer.step(builder.gep(x, [k]), i, x_stride) for i in range(height)]
            factors = [writer.load(place) for place in left]
            ends = []
            for i, place in enumerate(right):
                value = writer.load(place)
                for r, factor in enumerate(factors):
                    ends.append(writer.multiply_add(value, factor, totals[i * CROSS + r]))
            return ends

        found = writer.count_up(count, writer.lanes, [writer.zeros()] * (height * CROSS), along)
        for q, total in enumerate(found):
            writer.store(total, writer.step(sums, q * writer.lanes))
        builder.ret_void()
        builder.position_at_end(other)


@intrinsic
def _copy_vector(typingctx, source, at, target, to):
    def generate(context, builder, signature, args):
        source, at, target, to = args
        kind = signature.args[0]
        writer = Writer(kind.dtype.bitwidth, builder)
        source, target = (
            context.make_array(kind)(context, builder, array).data for array in (source, target)
        )
        writer.store(writer.load(builder.gep(source, [at])), builder.gep(target, [to]))
        return context.get_dummy_value()

    return types.void(source, types.intp, source, types.intp), generate


# -- the same without a compiler ---------------------------------------------------------------


def _plain_tile(rows, vectors, a, a_at, b, b_at, depth, c, c_at, stride, accumulate):
    height = next(height for height in HEIGHTS if rows <= height)
    left = a[a_at : a_at + depth * ROWS].reshape(depth, ROWS)[:, :height].T
    _plain_product(left, vectors, b, b_at, c, c_at, stride, accumulate)


def _plain_tile_of_rows(
    rows, vectors, a, a_at, a_stride, b, b_at, depth, c, c_at, stride, accumulate
):
    height = next(height for height in HEIGHTS if rows <= height)
    starts = [a_at + min(i, rows - 1) * a_stride for i in range(height)]
    left = np.array([a[start : start + depth] for start in starts])
    _plain_product(left, vectors, b, b_at, c, c_at, stride, accumulate)


def _plain_product(left, vectors, b, b_at, c, c_at, stride, accumulate):
    (height, depth), lanes = left.shape, VECTOR_BYTES // b.itemsize
    right = b[b_at : b_at + depth * 2 * lanes].reshape(depth, 2 * lanes)[:, : vectors * lanes]
    with np.errstate(all="ignore"):
        product = left @ right
        for i in range(height):
            row = c[c_at + i * stride :][: vectors * lanes]
            row[...] = row + product[i] if accumulate else product[i]


def _plain_turn_vectors(source, at, offsets, first, count, target, to, stride):
    lanes = VECTOR_BYTES // source.itemsize
    starts = [at + offsets[min(first + j, count - 1)] for j in range(lanes)]
    for p in range(lanes):
        target[to + p * stride : to + p * stride + lanes] = [source[j + p] for j in starts]


def _plain_turn_lines(source, at, offsets, first, count, target, to, stride, depth):
    lanes = VECTOR_BYTES // source.itemsize
    for block in range(0, depth, lanes):
        p = min(block, depth - lanes)
        _plain_turn_vectors(source, at + p, offsets, first, count, target, to + p * stride, stride)


def _plain_copy_lines(source, at, stride, target, to, pitch, lines, vectors):
    count = vectors * (VECTOR_BYTES // source.itemsize)
    for p in range(lines):
        start, end = at + p * stride, to + p * pitch
        target[end : end + count] = source[start : start + count]


def _plain_slide(source, at, offsets, taps, weights, weights_at, target, to, count, accumulate):
    whole = BUNDLE * (VECTOR_BYTES // source.itemsize)
    count = (count + whole - 1) // whole * whole
    with np.errstate(all="ignore"):
        total = target[to : to + count] * 1 if accumulate else np.zeros(count, source.dtype)
        for t in range(taps):
            start = at + offsets[t]
            total += weights[weights_at + t] * source[start : start + count]
    target[to : to + count] = total


def _plain_dot(a, a_at, b, b_at, count, result, to):
    with np.errstate(all="ignore"):
        result[to] = a[a_at : a_at + count] @ b[b_at : b_at + count]


def _plain_cross(rows, x, x_at, x_stride, w, w_at, w_stride, count, sums):
    lanes = VECTOR_BYTES // x.itemsize
    for i in range(rows):
        for r in range(CROSS):
            left = x[x_at + i * x_stride :][:count].reshape(-1, lanes)
            right = w[w_at + r * w_stride :][:count].reshape(-1, lanes)
            with np.errstate(all="ignore"):
                sums[(i * CROSS + r) * lanes :][:lanes] = (left * right).sum(axis=0)


def _plain_copy_vector(source, at, target, to):
    lanes = VECTOR_BYTES // source.itemsize
    target[to : to + lanes] = source[at : at + lanes]


_LIBRARY = Library("vector")
tile = _LIBRARY.function("tile", "iippipib", _tile, _plain_tile)
tile_of_rows = _LIBRARY.function("rows", "iipipipib", _tile_of_rows, _plain_tile_of_rows)
turn_vectors = _LIBRARY.function("turn", "ptiipi", _turn, _plain_turn_vectors)
turn_lines = _LIBRARY.function("turn_lines", "ptiipii", _turn_lines, _plain_turn_lines)
copy_lines = _LIBRARY.function("copy", "pipiii", _copy_lines, _plain_copy_lines)
slide = _LIBRARY.function("slide", "ptippib", _slide, _plain_slide)
dot = _LIBRARY.function("dot", "ppip", _dot, _plain_dot)
cross = _LIBRARY.function("cross", "ipipiia", _cross, _plain_cross)
copy_vector = _plain_copy_vector if config.DISABLE_JIT else _copy_vector  # part of every kernel
for _bits in (32, 64):
    _LIBRARY.link(_bits)
