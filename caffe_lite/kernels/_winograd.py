"""Winograd's convolution, 3 x 3 with stride 1: 36 products for 16 outputs instead of 144.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", F(4 x 4, 3 x 3).  The
output is cut into tiles of 4 x 4, under each of which lie 6 x 6 numbers d of each channel:

    Y = A' [(G g G') * (B' d B)] A          for one filter g, * being number by number

With channels, each of the 36 numbers is a matrix product, (outputs, channels) times (channels,
tiles).  A thread transforms the input of a block of tiles; then, for as many outputs as a tile of
the matrix core has rows, it runs 36 products, and transforms what they give back into y.  Vectors
hold the same number of 16 tiles, or of 16 filters.

A', B' and G follow from the points at which polynomials are evaluated.  Those of the paper (0, 1,
-1, 2, -2, infinity) err three to four times as much as those here (2 and -2 replaced by sqrt 2,
1 and -1 by sqrt 1/2), which need no more arithmetic.

NaN and infinity spread over their tiles.  Only `convolution` imports this file.
"""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, get_num_threads, types
from numba.extending import intrinsic

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels.gemm import (
    NO_EPILOGUE,
    ROWS,
    VECTOR_BYTES,
    pack_across,
    tile,
)

SIDE = 4
"""Rows and columns of a tile of outputs."""
PATCH = SIDE + 2
PRODUCTS = PATCH * PATCH
NEAR, FAR = 0.5**0.5, 2.0**0.5
"""The points are 0, NEAR, -NEAR, FAR, -FAR and infinity; NEAR FAR = 1 saves multiplications."""
SLACK = 16
"""Numbers after a row or a panel that writing whole vectors may touch."""
AT_ONCE = 16
"""Channels whose filters are put into the order of vectors at once."""


# -- the three transforms, for numbers that a `machine` computes with ---------------------------


def _transform_patch(machine: Any, x: Any) -> list[Any]:
    """B' x: six numbers to six."""
    fma = machine.multiply_add
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
    results = [g[0]]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        scale = 1 / (2 * point**2 * (point**2 - other**2))
        even = machine.multiply_add(g[2], scale * point**2, machine.multiply(g[0], scale))
        results.append(machine.multiply_add(g[1], scale * point, even))
        results.append(machine.multiply_add(g[1], -scale * point, even))
    return [*results, g[2]]


def _transform_product(machine: Any, m: Any) -> list[Any]:
    """A' m: six numbers to four."""
    fma, add, subtract = machine.multiply_add, machine.add, machine.subtract
    near, near_odd = add(m[1], m[2]), subtract(m[1], m[2])
    far, far_odd = add(m[3], m[4]), subtract(m[3], m[4])
    return [
        add(add(m[0], near), far),
        fma(far_odd, FAR, machine.multiply(near_odd, NEAR)),
        fma(far, FAR**2, machine.multiply(near, NEAR**2)),
        fma(far_odd, FAR**3, fma(near_odd, NEAR**3, m[5])),
    ]


def _both_ways(machine: Any, transform: Any, rows: list[Any]) -> list[list[Any]]:
    """The transform along each row, then along each column of the results."""
    rows = [transform(machine, row) for row in rows]
    columns = [transform(machine, column) for column in zip(*rows)]
    return [list(row) for row in zip(*columns)]


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


def _patches(machine: Any, lines: Any, pitch: Any, target: Any, stride: Any) -> None:
    """Of one channel under a vector of tiles: 6 lines of patches to 36 vectors, `stride` apart.

    A line holds four numbers for each tile.  The fifth and sixth are the first and second of the
    same line, four numbers on, which lie 6 lines further down.
    """
    rows = []
    for i in range(PATCH):
        four, next_four = (
            _by_four(
                machine,
                [machine.load(lines, line, pitch, v * machine.lanes) for v in range(4)],
            )
            for line in (i, i + PATCH)
        )
        rows.append([*four, *next_four[:2]])
    for i, row in enumerate(_both_ways(machine, _transform_patch, rows)):
        for j, value in enumerate(row):
            machine.store(value, target, i * PATCH + j, stride)


def _filters(machine: Any, source: Any, pitch: Any, target: Any, stride: Any) -> None:
    """A vector of filters, their 9 numbers `pitch` apart, to 36 vectors `stride` apart."""
    taps = [[machine.load(source, 3 * i + j, pitch) for j in range(3)] for i in range(3)]
    for i, row in enumerate(_both_ways(machine, _transform_filter, taps)):
        for j, value in enumerate(row):
            machine.store(value, target, i * PATCH + j, stride)


def _outputs(
    machine: Any, source: Any, stride: Any, lines: Any, pitch: Any, *epilogue: Any
) -> None:
    """36 vectors of products, `stride` apart, to 4 lines of outputs, four numbers a tile."""
    products = [
        [machine.load(source, i * PATCH + j, stride) for j in range(PATCH)] for i in range(PATCH)
    ]
    scale, shift, slope = map(machine.spread, epilogue)
    for i, row in enumerate(_both_ways(machine, _transform_product, products)):
        done = [machine.bend(machine.multiply_add(value, scale, shift), slope) for value in row]
        for v, value in enumerate(_in_turn(machine, done)):
            machine.store(value, lines, i, pitch, v * machine.lanes)


def _copy_inside(machine: Any, source: Any, low: Any, high: Any, target: Any) -> None:
    """A vector of the source, 0 before number `low` and from number `high` on."""
    machine.store(machine.load_inside(source, low, high), target)


def _copy_first(machine: Any, source: Any, count: Any, target: Any) -> None:
    """The first numbers of a vector."""
    machine.store_first(machine.load(source), count, target)


# -- machines: vectors of LLVM, and of numpy where nothing is compiled --------------------------


class _Code:
    """Writes the instructions; a place is a pointer."""

    def __init__(self, builder: Any, bits: int) -> None:
        self.builder = builder
        self.bits = bits
        self.lanes = 8 * VECTOR_BYTES // bits
        self.element = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.element, self.lanes)
        self.counts = ir.VectorType(ir.IntType(32), self.lanes)

    def spread(self, value: Any) -> Any:
        kind = ir.VectorType(value.type, self.lanes)
        first = ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, first)
        return self.builder.shuffle_vector(one, one, ir.Constant(self.counts, None))

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.lanes)

    def call(self, name: str, result: Any, *args: Any) -> Any:
        module = self.builder.module
        if name not in module.globals:
            ir.Function(module, ir.FunctionType(result, [arg.type for arg in args]), name)
        return self.builder.call(module.globals[name], args)

    def at(self, place: Any, number: int, pitch: Any, more: int) -> Any:
        index = ir.Constant(ir.IntType(64), more)
        if pitch is not None:
            step = self.builder.mul(pitch, ir.Constant(ir.IntType(64), number))
            index = self.builder.add(index, step)
        return self.builder.bitcast(self.builder.gep(place, [index]), self.vector.as_pointer())

    def load(self, place: Any, number: int = 0, pitch: Any = None, more: int = 0) -> Any:
        return self.builder.load(self.at(place, number, pitch, more), align=self.bits // 8)

    def store(
        self, value: Any, place: Any, number: int = 0, pitch: Any = None, more: int = 0
    ) -> None:
        self.builder.store(value, self.at(place, number, pitch, more), align=self.bits // 8)

    def below(self, limit: Any) -> Any:
        """Which numbers of a vector come before the one at `limit`."""
        order = ir.Constant(self.counts, list(range(self.lanes)))
        limit = self.builder.trunc(limit, ir.IntType(32))
        return self.builder.icmp_signed("<", order, self.spread(limit))

    def load_inside(self, place: Any, low: Any, high: Any) -> Any:
        inside = self.builder.and_(self.below(high), self.builder.not_(self.below(low)))
        align = ir.Constant(ir.IntType(32), self.bits // 8)
        args = self.at(place, 0, None, 0), align, inside, ir.Constant(self.vector, None)
        kind = f"v{self.lanes}f{self.bits}"
        return self.call(f"llvm.masked.load.{kind}.p0{kind}", self.vector, *args)

    def store_first(self, value: Any, count: Any, place: Any) -> None:
        align = ir.Constant(ir.IntType(32), self.bits // 8)
        args = value, self.at(place, 0, None, 0), align, self.below(count)
        kind = f"v{self.lanes}f{self.bits}"
        self.call(f"llvm.masked.store.{kind}.p0{kind}", ir.VoidType(), *args)

    def add(self, x: Any, y: Any) -> Any:
        return self.builder.fadd(x, y)

    def subtract(self, x: Any, y: Any) -> Any:
        return self.builder.fsub(x, y)

    def multiply(self, x: Any, factor: float) -> Any:
        return self.builder.fmul(x, self.constant(factor))

    def multiply_add(self, x: Any, factor: Any, y: Any) -> Any:
        """One instruction where the processor has it."""
        factor = self.constant(factor) if isinstance(factor, float) else factor
        name = f"llvm.fmuladd.v{self.lanes}f{self.bits}"
        return self.call(name, self.vector, x, factor, y)

    def bend(self, x: Any, slope: Any) -> Any:
        """max(x, 0) + slope min(x, 0)."""
        nothing = self.constant(0.0)
        positive = self.builder.fcmp_ordered(">", x, nothing)
        below = self.builder.select(positive, nothing, x)
        return self.multiply_add(below, slope, self.builder.select(positive, x, nothing))

    def choose(self, x: Any, y: Any, places: list[int]) -> Any:
        return self.builder.shuffle_vector(x, y, ir.Constant(self.counts, places))


class _Plain:
    """Computes at once; a place is an array and an index."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def part(self, place: Any, number: int = 0, pitch: int = 0, more: int = 0) -> Any:
        array, at = place
        at += number * pitch + more
        return array[at : at + self.lanes]

    def load(self, *place: Any) -> Any:
        return self.part(*place).copy()

    def store(self, value: Any, *place: Any) -> None:
        self.part(*place)[:] = value

    def load_inside(self, place: Any, low: int, high: int) -> Any:
        array, at = place
        value = np.zeros(self.lanes, array.dtype)
        low, high = max(low, 0), min(high, self.lanes)
        if low < high:
            value[low:high] = array[at + low : at + high]
        return value

    def store_first(self, value: Any, count: int, place: Any) -> None:
        count = min(count, self.lanes)
        self.part(place)[:count] = value[:count]

    def spread(self, value: Any) -> Any:
        return value

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def subtract(self, x: Any, y: Any) -> Any:
        return x - y

    def multiply(self, x: Any, factor: Any) -> Any:
        return x * factor

    def multiply_add(self, x: Any, factor: Any, y: Any) -> Any:
        return x * factor + y

    def bend(self, x: Any, slope: Any) -> Any:
        return np.maximum(x, 0) + slope * np.minimum(x, 0)

    def choose(self, x: Any, y: Any, places: list[int]) -> Any:
        return np.concatenate((x, y))[places]


def _vectorised(write: Any, arguments: int) -> Any:
    """A function for kernels: places are given as a flat array and an index."""

    def plain(*args: Any) -> None:
        places, rest = [], list(args)
        while rest:
            value = rest.pop(0)
            places.append((value, rest.pop(0)) if isinstance(value, np.ndarray) else value)
        with np.errstate(all="ignore"):
            write(_Plain(VECTOR_BYTES // args[0].itemsize), *places)

    def typed(typingctx: Any, *kinds: Any) -> Any:
        number = kinds[0].dtype
        expected = [
            kind
            if isinstance(kind, types.Array)
            else number
            if isinstance(kind, types.Float)
            else types.intp
            for kind in kinds
        ]

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            places, rest = [], list(zip(signature.args, args))
            while rest:
                kind, value = rest.pop(0)
                if isinstance(kind, types.Array):
                    data = context.make_array(kind)(context, builder, value).data
                    value = builder.gep(data, [rest.pop(0)[1]])
                places.append(value)
            write(_Code(builder, number.bitwidth), *places)
            return context.get_dummy_value()

        return types.void(*expected), generate

    # Numba takes an intrinsic's arguments from its signature.
    names = ["typingctx", *(f"argument{i}" for i in range(arguments))]
    typed.__signature__ = Signature([Parameter(n, Parameter.POSITIONAL_ONLY) for n in names])
    return plain if config.DISABLE_JIT else intrinsic(typed)


_patches_to_vectors = _vectorised(_patches, 6)
_filters_to_vectors = _vectorised(_filters, 6)
_vectors_to_outputs = _vectorised(_outputs, 9)
_copy_inside_vector = _vectorised(_copy_inside, 6)
_copy_first_numbers = _vectorised(_copy_first, 5)


# -- how the work is cut -----------------------------------------------------------------------


class _Shape(NamedTuple):
    """Sizes of a convolution with a window of 3 x 3; channels and outputs are those of a group."""

    items: int
    group: int
    channels: int
    height: int
    width: int
    outputs: int
    out_height: int
    out_width: int
    top: int  # the padding
    left: int


class _Plan(NamedTuple):
    """How the work is cut into tasks, and where in the workspace things lie."""

    rows: int  # of a tile of the matrix core
    width: int  # its columns
    block: int  # tiles of outputs in a task
    blocks: int
    panels: int  # of `rows` outputs in a group
    parts: int  # into which they are cut
    shared: int  # 1: all filters are transformed first.  0: each task transforms its own
    start: int  # of the shared filters
    rooms: int  # start of the threads' own rooms
    room: int  # numbers in each
    workers: int


SHARED_BYTES = 3 << 20
"""Transformed filters up to this size are kept for all tasks."""
BLOCK_BYTES = 5 << 18
"""What the transformed input of a task should take: it is to stay in the second-level cache."""
LEAST = 2
"""Vectors of tiles in a task, twice as many where each task transforms its own filters."""
FILTER_COST, INPUT_COST, OUTPUT_COST = 24, 32, 25
"""Cost of a filter's transform (a channel and an output), and of a tile's (a channel; an output),
in multiply-adds of a vector.  For vectors of 16
numbers: the first from one measurement, the others from counting instructions."""


def _plan(shape: _Shape, itemsize: int, threads: int) -> _Plan:
    lanes = VECTOR_BYTES // itemsize
    width = 2 * lanes
    panels = -(-shape.outputs // ROWS)
    filters = PRODUCTS * (shape.channels * ROWS + SLACK)
    all_filters = shape.group * panels * filters
    shared = int(all_filters * itemsize <= SHARED_BYTES)
    tiles = shape.items * -(-shape.out_height // SIDE) * -(-shape.out_width // SIDE)
    vectors = -(-tiles // lanes)
    most = BLOCK_BYTES // (PRODUCTS * shape.channels * VECTOR_BYTES)
    most = max(most, 2 if shared else 2 * LEAST)
    blocks = -(-vectors // most)
    parts = 1
    if blocks * shape.group < 4 * threads and blocks * shape.group % threads:
        if shared and vectors >= 2 * threads:
            blocks = -(-blocks // threads) * threads
        else:
            parts = min(panels, threads)
    each = -(-vectors // blocks)
    blocks = -(-vectors // each)
    inputs = -(-each // 2) * PRODUCTS * (shape.channels * width + SLACK)
    room = inputs + PRODUCTS * ROWS * width + 2 * PATCH * (SIDE * width + SLACK)
    room += 0 if shared else filters + _round_up(9 * AT_ONCE * ROWS + SLACK, SLACK)
    workers = min(threads, blocks * parts * shape.group)
    return _Plan(
        ROWS,
        width,
        each * lanes,
        blocks,
        panels,
        parts,
        shared,
        0,
        shared * all_filters,
        _round_up(room, SLACK),
        workers,
    )


def _round_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


# -- filters -----------------------------------------------------------------------------------


@jit
def _transform_filters(w, flipped, offsets, index, shape, plan, taps, work, to):
    """36 panels of A for a panel of outputs: rows o along c; with `flipped` rows c along o."""
    depth, outputs = shape[2], shape[5]
    rows, width, panels = plan[0], plan[1], plan[4]
    start, first = index // panels * outputs * depth * 9, index % panels * rows
    here, stride = min(rows, outputs - first), depth * rows + SLACK
    for c in range(0, depth, AT_ONCE):
        count = min(AT_ONCE, depth - c)
        if flipped:
            for k in range(count):
                at = start + ((c + k) * outputs + first) * 9
                for t in range(9):
                    for o in range(here):
                        work[taps + (k * 9 + t) * rows + o] = w[at + o * 9 + 8 - t]
        else:
            at = start + (first * depth + c) * 9
            pack_across(w, at, offsets, here, 9 * count, rows, work, taps)
        for k in range(count):
            for i in range(0, rows, width // 2):
                place = to + (c + k) * rows + i
                _filters_to_vectors(work, taps + k * 9 * rows + i, rows, work, place, stride)


# -- tiles ---------------------------------------------------------------------------------------


@jit
def _find_runs(first, count, shape, runs, base):
    """The runs of tiles that lie side by side: image, row, column and number of tiles of each."""
    tall, wide = (shape[6] + SIDE - 1) // SIDE, (shape[7] + SIDE - 1) // SIDE
    found, done = 0, 0
    while done < count:
        at, to = first + done, base + 4 * found
        runs[to] = at // (tall * wide)
        runs[to + 1] = at // wide % tall * SIDE
        runs[to + 2] = at % wide * SIDE
        runs[to + 3] = min(wide - at % wide, count - done)
        done += runs[to + 3]
        found += 1
    return found


@jit
def _transform_input(x, g, shape, runs, base, found, vectors, width, work, lines, to):
    """The 36 panels of B for two vectors of tiles."""
    group, depth, h, w, top, left = shape[1], shape[2], shape[3], shape[4], shape[8], shape[9]
    lanes = width // 2
    pitch, stride = SIDE * width + SLACK, depth * width + SLACK
    for c in range(depth):
        line = lines
        for r in range(base, base + 4 * found, 4):
            y0, x0, numbers = runs[r + 1] - top, runs[r + 2] - left, SIDE * runs[r + 3]
            at = ((runs[r] * group + g) * depth + c) * h * w + y0 * w + x0
            for i in range(PATCH):
                low, high = -x0, w - x0 if 0 <= y0 + i < h else 0
                for q in range(0, numbers, lanes):
                    _copy_inside_vector(
                        x, at + i * w + q, low - q, high - q, work, line + i * pitch + q
                    )
                    next_q = q + SIDE
                    _copy_inside_vector(
                        x,
                        at + i * w + next_q,
                        low - next_q,
                        high - next_q,
                        work,
                        line + (PATCH + i) * pitch + q,
                    )
            line += numbers
        for v in range(vectors):
            place = to + c * width + v * lanes
            _patches_to_vectors(work, lines + v * SIDE * lanes, pitch, work, place, stride)


@jit
def _transform_outputs(
    work, m, o, factor, more, slope, shape, runs, base, found, vectors, plan, lines, y
):
    """Output o of two vectors of tiles, from 36 products each that begin at `m`."""
    total, oh, ow = shape[1] * shape[5], shape[6], shape[7]
    rows, width = plan[:2]
    lanes = width // 2
    pitch = SIDE * width + SLACK
    for v in range(vectors):
        to = lines + v * SIDE * lanes
        _vectors_to_outputs(
            work, m + v * lanes, rows * width, work, to, pitch, factor, more, slope
        )
    line = lines
    for r in range(base, base + 4 * found, 4):
        y0, x0, numbers = runs[r + 1], runs[r + 2], SIDE * runs[r + 3]
        at = ((runs[r] * total + o) * oh + y0) * ow + x0
        for i in range(min(SIDE, oh - y0)):
            for q in range(0, min(numbers, ow - x0), lanes):
                count = min(numbers, ow - x0) - q
                _copy_first_numbers(work, line + i * pitch + q, count, y, at + i * ow + q)
        line += numbers


# -- the tasks -----------------------------------------------------------------------------------


@jit
def _filter_tasks(worker, w, flipped, offsets, shape, plan, work):
    """All filters, once for all tasks.  The threads' rooms are free as yet."""
    panels, start, rooms, room, workers = plan[4], plan[7], plan[8], plan[9], plan[10]
    size = PRODUCTS * (shape[2] * plan[0] + SLACK)
    taps = rooms + worker * room
    for index in range(worker, shape[1] * panels, workers):
        to = start + index * size
        _transform_filters(w, flipped, offsets, index, shape, plan, taps, work, to)


@jit
def _tile_tasks(worker, x, w, flipped, offsets, scale, shift, slope, shape, plan, runs, work, y):
    """A task: some outputs of a group for a block of tiles."""
    items, group, depth, _, _, outputs, oh, ow, _, _ = shape
    rows, width, block, blocks, panels, parts, shared, start, rooms, room, workers = plan
    lanes, base = width // 2, worker * 4 * width
    tiles = items * ((oh + SIDE - 1) // SIDE) * ((ow + SIDE - 1) // SIDE)
    a_stride, b_stride = depth * rows + SLACK, depth * width + SLACK
    inputs = rooms + worker * room
    products = inputs + (block + width - 1) // width * PRODUCTS * b_stride
    lines = products + PRODUCTS * rows * width
    own = lines + 2 * PATCH * (SIDE * width + SLACK)
    taps = own + PRODUCTS * a_stride
    added = worker < 0  # False, but no constant to numba
    for task in range(worker, blocks * group * parts, workers):
        part, g, first = task % parts, task // parts % group, task // parts // group * block
        count = min(block, tiles - first)
        for j in range(0, count, width):
            here, to = min(width, count - j), inputs + j // width * PRODUCTS * b_stride
            found = _find_runs(first + j, here, shape, runs, base)
            vectors = (here + lanes - 1) // lanes
            _transform_input(x, g, shape, runs, base, found, vectors, width, work, lines, to)
        for panel in range(part * panels // parts, (part + 1) * panels // parts):
            a_at, index = own, g * panels + panel
            if shared:
                a_at = start + index * PRODUCTS * a_stride
            else:
                _transform_filters(w, flipped, offsets, index, shape, plan, taps, work, own)
            o = g * outputs + panel * rows
            height = min(rows, outputs - panel * rows)
            for j in range(0, count, width):
                here = min(width, count - j)
                vectors = (here + lanes - 1) // lanes
                b_at = inputs + j // width * PRODUCTS * b_stride
                for k in range(PRODUCTS):
                    a, b, c = a_at + k * a_stride, b_at + k * b_stride, products + k * rows * width
                    tile(height, vectors, work, a, work, b, depth, work, c, width, added)
                found = _find_runs(first + j, here, shape, runs, base)
                for i in range(height):
                    factor = scale[o + i] if scale.size else y.dtype.type(1)
                    more = shift[o + i] if shift.size else y.dtype.type(0)
                    m = products + i * width
                    _transform_outputs(
                        work,
                        m,
                        o + i,
                        factor,
                        more,
                        slope,
                        shape,
                        runs,
                        base,
                        found,
                        vectors,
                        plan,
                        lines,
                        y,
                    )


@pjit
def _run_tasks(filters, x, w, flipped, offsets, scale, shift, slope, shape, plan, runs, work, y):
    for worker in prange(plan[10]):
        if filters:
            _filter_tasks(worker, w, flipped, offsets, shape, plan, work)
        else:
            _tile_tasks(
                worker, x, w, flipped, offsets, scale, shift, slope, shape, plan, runs, work, y
            )


# -- what convolution calls ----------------------------------------------------------------------


def _shape(x, w, y, group, pad):
    return _Shape(
        x[0], group, x[1] // group, x[2], x[3], y[1] // group, y[2], y[3], pad[0], pad[1]
    )


def _run(x, w, group, flipped, pad, epilogue, work, y):
    shape = _shape(x.shape, w.shape, y.shape, group, pad)
    plan = _plan(shape, x.itemsize, get_num_threads())
    start = -work.ctypes.data % VECTOR_BYTES // x.itemsize
    plan = tuple(plan._replace(start=start, rooms=start + plan.rooms))
    offsets = np.arange(ROWS) * (9 * shape.channels)
    runs = np.empty(4 * plan[1] * plan[10], np.int64)
    kind = x.dtype.type
    scale, shift = (numbers.astype(kind, copy=False) for numbers in epilogue[:2])
    slope = kind(1 if epilogue.slope is None else epilogue.slope)
    x, w, y = x.reshape(-1), w.reshape(-1), y.reshape(-1)
    for filters in (True, False)[1 - plan[6] :]:
        _run_tasks(
            filters, x, w, flipped, offsets, scale, shift, slope, tuple(shape), plan, runs, work, y
        )


def winograd_wins(x, w, y, group, itemsize=4):
    """Whether Winograd's way costs less than the plain one, by counting work.

    x, w, y: shapes, as for `winograd_forward`.  For the way back, give y, (group channels / group,
    outputs / group, 3, 3) and x.  It loses where a filter meets few tiles.
    """
    lanes = VECTOR_BYTES // itemsize
    outputs, channels = w[0] // group, w[1]
    tiles = x[0] * -(-y[2] // SIDE) * -(-y[3] // SIDE)
    transforms = FILTER_COST + tiles * (INPUT_COST / outputs + OUTPUT_COST / channels)
    plain = 9 * -(-x[0] * y[2] * y[3] // lanes)
    return PRODUCTS * -(-tiles // lanes) + transforms < 0.9 * plain


def winograd_work_size(x, w, y, group, itemsize=4):
    """How many numbers the `work` argument must have, forward or back.  x, w, y: shapes."""
    forward = _shape(x, w, y, group, (0, 0))
    back = _shape(y, w, x, group, (0, 0))
    threads = config.NUMBA_NUM_THREADS
    plans = (_plan(shape, itemsize, threads) for shape in (forward, back))
    return max(plan.rooms + plan.room * threads + SLACK for plan in plans)


def winograd_forward(x, w, b, group, window, work, y, epilogue=NO_EPILOGUE):
    """y = epilogue(the convolution of x with w, plus b).

    x: (N, C, H, W).  w: (O, C / group, 3, 3).  b: (O,), or of size 0.  window: (3, 3, 1, 1, pad_h,
    pad_w, 1, 1).  work: `winograd_work_size` numbers.  y: (N, O, H', W').
    """
    if b.size:
        epilogue = _with_bias(b, epilogue)
    _run(x, w, group, False, window[4:6], epilogue, work, y)


def _with_bias(b, epilogue):
    scaled = b * epilogue.scale if epilogue.scale.size else b
    return epilogue._replace(shift=scaled + epilogue.shift if epilogue.shift.size else scaled)


def winograd_backward(dy, w, b, group, window, work, dx, epilogue=NO_EPILOGUE):
    """dx = the gradient of `winograd_forward` by x, plus b: (C,), or of size 0."""
    if b.size:
        epilogue = _with_bias(b, epilogue)
    pad = 2 - window[4], 2 - window[5]
    _run(dy, w, group, True, pad, epilogue, work, dx)
