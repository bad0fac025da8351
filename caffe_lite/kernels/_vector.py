"""The few things that loops cannot bring numba to write: vector code for the matrix core.

    tile          a tile of C = A B, kept in the vector registers while it runs along the depth
    turn_vectors  a square of numbers, transposed in the vector registers
    slide         weighted sums of shifted stretches: a convolution of one plane
    dot           the inner product of two stretches
    cross         the inner products of some rows with four others
    copy_vector   one vector, moved

All but the last are long straight code.  LLVM compiles them once, to an object file in the cache
folder, and kernels link to them by name: as a part of every kernel they took most of the time that
compiling it takes.  Only `gemm` imports this file.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from caffe_lite.kernels._jit import cache_folder

CPU = config.CPU_NAME or llvm.get_host_cpu_name()
FEATURES = (
    llvm.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else config.CPU_FEATURES
)


def _processor() -> tuple[int, int, bool]:
    """Bytes of a vector, rows of a tile, and whether multiply and add are one instruction."""
    has = set(FEATURES.split(","))
    if "+avx512f" in has:
        return 64, 14, True
    if {"+avx2", "+fma"} <= has:
        return 32, 6, True
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):
        return 16, 14, True
    return 16, 6, False


VECTOR_BYTES, ROWS, _FUSED = _processor()
"""A tile fills 28 of 32 vector registers, or 12 of 16."""
HEIGHTS = tuple(range(2, ROWS + 1, 2))
"""The heights that tiles are compiled for; a matrix's last rows take the next one up."""

BUNDLE = 8
"""Vectors that `slide` and `dot` work on at once."""
CROSS, CROSS_ROWS = 4, 7
"""Rows of a matrix that `cross` multiplies with others at once, and how many of those at most."""

_INDEX, _BIT = ir.IntType(64), ir.IntType(1)


def _constant(value: int) -> Any:
    return ir.Constant(_INDEX, value)


class _Writer:
    """Writes LLVM code for vectors of one number type."""

    def __init__(self, bits: int, builder: Any) -> None:
        self.bits = bits
        self.builder = builder
        self.lanes = 8 * VECTOR_BYTES // bits
        self.element = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.element, self.lanes)
        self.undefined = ir.Constant(self.vector, ir.Undefined)

    def step(self, pointer: Any, numbers: int) -> Any:
        return self.builder.gep(pointer, [_constant(numbers)])

    def load(self, pointer: Any) -> Any:
        where = self.builder.bitcast(pointer, self.vector.as_pointer())
        return self.builder.load(where, align=self.bits // 8)

    def store(self, value: Any, pointer: Any) -> None:
        where = self.builder.bitcast(pointer, self.vector.as_pointer())
        self.builder.store(value, where, align=self.bits // 8)

    def broadcast(self, pointer: Any) -> Any:
        zero = ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(self.undefined, self.builder.load(pointer), zero)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        return self.builder.shuffle_vector(one, self.undefined, mask)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        if not _FUSED:
            return self.builder.fadd(self.builder.fmul(x, y), z)
        name, module = f"llvm.fma.v{self.lanes}f{self.bits}", self.builder.module
        if name not in module.globals:
            ir.Function(module, ir.FunctionType(self.vector, [self.vector] * 3), name)
        return self.builder.call(module.globals[name], [x, y, z])

    def tile(self, rows: int, vectors: int, args: Any) -> None:
        """Straight code for one size of tile."""
        a, b, depth, c, stride, accumulate = args
        builder, lanes = self.builder, self.lanes
        places = []
        for i in range(rows):
            row = builder.gep(c, [builder.mul(stride, _constant(i))])
            places += [self.step(row, v * lanes) for v in range(vectors)]
        nothing = ir.Constant(self.vector, None)
        start = [builder.select(accumulate, self.load(place), nothing) for place in places]
        before = builder.block
        along = builder.append_basic_block("along_k")
        after = builder.append_basic_block("store")
        builder.branch(along)
        builder.position_at_end(along)
        p = builder.phi(_INDEX)
        sums = [builder.phi(self.vector) for _ in places]
        a_now = builder.gep(a, [builder.mul(p, _constant(ROWS))])
        b_now = builder.gep(b, [builder.mul(p, _constant(2 * lanes))])
        columns = [self.load(self.step(b_now, v * lanes)) for v in range(vectors)]
        ends = []
        for i in range(rows):
            value = self.broadcast(self.step(a_now, i))
            for v in range(vectors):
                ends.append(self.multiply_add(value, columns[v], sums[i * vectors + v]))
        next_p = builder.add(p, _constant(1))
        for phi, first, last in zip([p, *sums], [_constant(0), *start], [next_p, *ends]):
            phi.add_incoming(first, before)
            phi.add_incoming(last, along)
        builder.cbranch(builder.icmp_signed("<", next_p, depth), along, after)
        builder.position_at_end(after)
        for end, place in zip(ends, places):
            self.store(end, place)

    def tiles(self, args: Any) -> None:
        """Code for every size of tile, and the choice between them."""
        builder = self.builder
        rows, vectors, *rest = args
        for wide in (1, 2):
            for height in HEIGHTS:
                fits = builder.and_(
                    builder.icmp_signed("<=", vectors, _constant(wide)),
                    builder.icmp_signed("<=", rows, _constant(height)),
                )
                chosen = builder.append_basic_block(f"tile_{height}x{wide}")
                other = builder.append_basic_block("other")
                builder.cbranch(fits, chosen, other)
                builder.position_at_end(chosen)
                self.tile(height, wide, rest)
                builder.ret_void()
                builder.position_at_end(other)

    def turn(self, args: Any) -> None:
        """Load the rows of a square, swap its parts, store its columns."""
        source, offsets, first, count, target, stride = args
        builder, lanes = self.builder, self.lanes
        last = builder.sub(count, _constant(1))
        rows = []
        for j in range(lanes):
            place = builder.add(first, _constant(j))
            place = builder.select(builder.icmp_signed("<", place, last), place, last)
            offset = builder.load(builder.gep(offsets, [place]))
            rows.append(self.load(builder.gep(source, [offset])))
        # Swap the two off-diagonal squares of side s in every square of side 2 s.
        for s in (1 << bit for bit in range(lanes.bit_length() - 1)):
            masks = (
                [j if not j & s else lanes + j - s for j in range(lanes)],
                [j + s if not j & s else lanes + j for j in range(lanes)],
            )
            upper, lower = (
                ir.Constant(ir.VectorType(ir.IntType(32), lanes), mask) for mask in masks
            )
            for i in range(lanes):
                if not i & s:
                    pair = rows[i], rows[i + s]
                    rows[i] = builder.shuffle_vector(*pair, upper)
                    rows[i + s] = builder.shuffle_vector(*pair, lower)
        for p, row in enumerate(rows):
            self.store(row, builder.gep(target, [builder.mul(stride, _constant(p))]))

    def zeros(self) -> Any:
        return ir.Constant(self.vector, None)

    def count_up(self, limit: Any, step: int, sums: list[Any], body: Any) -> list[Any]:
        """Run body(i, sums) -> sums for i = 0, step, ... below limit; returns the last sums."""
        builder = self.builder
        before, test = builder.block, builder.append_basic_block("test")
        builder.branch(test)
        builder.position_at_end(test)
        i = builder.phi(_INDEX)
        now = [builder.phi(value.type) for value in sums]
        inside, after = builder.append_basic_block("inside"), builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed("<", i, limit), inside, after)
        builder.position_at_end(inside)
        then = body(i, now)
        ahead = builder.add(i, _constant(step))
        for phi, first, last in zip([i, *now], [_constant(0), *sums], [ahead, *then]):
            phi.add_incoming(first, before)
            phi.add_incoming(last, builder.block)
        builder.branch(test)
        builder.position_at_end(after)
        return now

    def slide(self, args: Any) -> None:
        """BUNDLE vectors at a time, so that the sums do not wait for each other."""
        source, offsets, weights, taps, target, count, accumulate = args
        builder = self.builder
        whole = BUNDLE * self.lanes

        def stretch(q: Any, _: list[Any]) -> list[Any]:
            ends = [self.step(builder.gep(target, [q]), v * self.lanes) for v in range(BUNDLE)]
            start = [builder.select(accumulate, self.load(end), self.zeros()) for end in ends]
            origin = builder.gep(source, [q])

            def tap(t: Any, sums: list[Any]) -> list[Any]:
                weight = self.broadcast(builder.gep(weights, [t]))
                place = builder.gep(origin, [builder.load(builder.gep(offsets, [t]))])
                return [
                    self.multiply_add(weight, self.load(self.step(place, v * self.lanes)), total)
                    for v, total in enumerate(sums)
                ]

            for value, end in zip(self.count_up(taps, 1, start, tap), ends):
                self.store(value, end)
            return []

        self.count_up(count, whole, [], stretch)

    def dot(self, args: Any) -> None:
        """BUNDLE sums of vectors, added up by halves; then what is left, number by number."""
        a, b, count, result = args
        builder, whole = self.builder, BUNDLE * self.lanes
        most = builder.mul(builder.sdiv(count, _constant(whole)), _constant(whole))

        def stretch(q: Any, sums: list[Any]) -> list[Any]:
            left, right = builder.gep(a, [q]), builder.gep(b, [q])
            return [
                self.multiply_add(
                    self.load(self.step(left, v * self.lanes)),
                    self.load(self.step(right, v * self.lanes)),
                    total,
                )
                for v, total in enumerate(sums)
            ]

        sums = self.count_up(most, whole, [self.zeros()] * BUNDLE, stretch)
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [builder.fadd(x, y) for x, y in zip(sums[:half], sums[half:])]
        parts = [
            builder.extract_element(sums[0], ir.Constant(ir.IntType(32), lane))
            for lane in range(self.lanes)
        ]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(x, y) for x, y in zip(parts[:half], parts[half:])]

        def single(q: Any, total: list[Any]) -> list[Any]:
            place = builder.add(most, q)
            left, right = (builder.load(builder.gep(array, [place])) for array in (a, b))
            return [builder.fadd(total[0], builder.fmul(left, right))]

        rest = builder.sub(count, most)
        builder.store(self.count_up(rest, 1, parts, single)[0], result)

    def cross(self, args: Any) -> None:
        """Code for every number of rows; the sums stay vectors."""
        rows, x, x_stride, w, w_stride, count, sums = args
        builder = self.builder
        for height in range(1, CROSS_ROWS + 1):
            chosen = builder.append_basic_block(f"cross_{height}")
            other = builder.append_basic_block("other")
            builder.cbranch(builder.icmp_signed("==", rows, _constant(height)), chosen, other)
            builder.position_at_end(chosen)

            def along(k: Any, totals: list[Any], height: int = height) -> list[Any]:
                left = [
                    builder.gep(w, [builder.add(k, builder.mul(w_stride, _constant(r)))])
                    for r in range(CROSS)
                ]
                right = [
                    builder.gep(x, [builder.add(k, builder.mul(x_stride, _constant(i)))])
                    for i in range(height)
                ]
                factors = [self.load(place) for place in left]
                ends = []
                for i, place in enumerate(right):
                    value = self.load(place)
                    for r, factor in enumerate(factors):
                        ends.append(self.multiply_add(value, factor, totals[i * CROSS + r]))
                return ends

            found = self.count_up(count, self.lanes, [self.zeros()] * (height * CROSS), along)
            for q, total in enumerate(found):
                self.store(total, self.step(sums, q * self.lanes))
            builder.ret_void()
            builder.position_at_end(other)


# -- compiling it and linking to it ------------------------------------------------------------


def _signatures(bits: int) -> dict[str, tuple[list[Any], Callable[[_Writer, Any], None]]]:
    """The arguments of each function, and what writes it."""
    pointer = (ir.FloatType() if bits == 32 else ir.DoubleType()).as_pointer()
    panels = [pointer, pointer, _INDEX, pointer, _INDEX]
    return {
        f"caffe_lite_tile_{bits}": ([_INDEX, _INDEX, *panels, _BIT], _Writer.tiles),
        f"caffe_lite_turn_{bits}": (
            [pointer, _INDEX.as_pointer(), _INDEX, _INDEX, pointer, _INDEX],
            _Writer.turn,
        ),
        f"caffe_lite_slide_{bits}": (
            [pointer, _INDEX.as_pointer(), pointer, _INDEX, pointer, _INDEX, _BIT],
            _Writer.slide,
        ),
        f"caffe_lite_cross_{bits}": (
            [_INDEX, pointer, _INDEX, pointer, _INDEX, _INDEX, pointer],
            _Writer.cross,
        ),
        f"caffe_lite_dot_{bits}": ([pointer, pointer, _INDEX, pointer], _Writer.dot),
    }


def _module(bits: int) -> str:
    """The LLVM code of all functions for numbers of so many bits."""
    module = ir.Module(f"caffe_lite_vector_{bits}")
    module.triple = llvm.get_process_triple()
    for name, (arguments, write) in _signatures(bits).items():
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        write(_Writer(bits, builder), function.args)
        builder.ret_void()
    return str(module)


def _keep(path: Path, data: bytes) -> None:
    """Write a file at once or not at all; a disk that cannot be written to is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        pass


def _link(bits: int) -> Any:
    """Make the functions known to the compiler by their names; returns what keeps them alive."""
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(
        cpu=CPU, features=FEATURES, opt=3, reloc="pic", codemodel="jitdefault", jit=True
    )
    path = cache_folder() / f"vector{bits}-{zlib.crc32((CPU + FEATURES).encode()):08x}.o"
    try:
        code = path.read_bytes()
    except OSError:
        code = machine.emit_object(llvm.parse_assembly(_module(bits)))
        _keep(path, code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    for name in _signatures(bits):
        llvm.add_symbol(name, engine.get_function_address(name))
    return engine


def _call(builder: Any, name: str, bits: int, arguments: list[Any]) -> None:
    module = builder.module
    name = f"caffe_lite_{name}_{bits}"
    if name not in module.globals:
        kinds, _ = _signatures(bits)[name]
        ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    builder.call(module.globals[name], arguments)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def _tile(typingctx, rows, vectors, a, a_at, b, b_at, depth, c, c_at, stride, accumulate):
    index = types.intp

    def generate(context, builder, signature, args):
        rows, vectors, a, a_at, b, b_at, depth, c, c_at, stride, accumulate = args
        a, b, c = (
            _address(context, builder, signature.args[2], *place)
            for place in ((a, a_at), (b, b_at), (c, c_at))
        )
        arguments = [rows, vectors, a, b, depth, c, stride, builder.trunc(accumulate, _BIT)]
        _call(builder, "tile", signature.args[2].dtype.bitwidth, arguments)
        return context.get_dummy_value()

    return (
        types.void(index, index, a, index, a, index, index, a, index, index, types.boolean),
        generate,
    )


@intrinsic
def _turn_vectors(typingctx, source, at, offsets, first, count, target, to, stride):
    index = types.intp

    def generate(context, builder, signature, args):
        source, at, offsets, first, count, target, to, stride = args
        kind = signature.args[0]
        table = context.make_array(signature.args[2])(context, builder, offsets).data
        start = _address(context, builder, kind, source, at)
        end = _address(context, builder, kind, target, to)
        arguments = [start, table, first, count, end, stride]
        _call(builder, "turn", kind.dtype.bitwidth, arguments)
        return context.get_dummy_value()

    return types.void(source, index, offsets, index, index, source, index, index), generate


@intrinsic
def _slide(
    typingctx, source, at, offsets, taps, weights, weights_at, target, to, count, accumulate
):
    index = types.intp

    def generate(context, builder, signature, args):
        source, at, offsets, taps, weights, weights_at, target, to, count, accumulate = args
        kind = signature.args[0]
        table = context.make_array(signature.args[2])(context, builder, offsets).data
        start, factors, end = (
            _address(context, builder, kind, *place)
            for place in ((source, at), (weights, weights_at), (target, to))
        )
        arguments = [start, table, factors, taps, end, count, builder.trunc(accumulate, _BIT)]
        _call(builder, "slide", kind.dtype.bitwidth, arguments)
        return context.get_dummy_value()

    kinds = source, index, offsets, index, source, index, source, index, index, types.boolean
    return types.void(*kinds), generate


@intrinsic
def _dot(typingctx, a, a_at, b, b_at, count, result, to):
    index = types.intp

    def generate(context, builder, signature, args):
        a, a_at, b, b_at, count, result, to = args
        kind = signature.args[0]
        left, right, end = (
            _address(context, builder, kind, *place)
            for place in ((a, a_at), (b, b_at), (result, to))
        )
        _call(builder, "dot", kind.dtype.bitwidth, [left, right, count, end])
        return context.get_dummy_value()

    return types.void(a, index, a, index, index, a, index), generate


@intrinsic
def _cross(typingctx, rows, x, x_at, x_stride, w, w_at, w_stride, count, sums):
    index = types.intp

    def generate(context, builder, signature, args):
        rows, x, x_at, x_stride, w, w_at, w_stride, count, sums = args
        kind = signature.args[1]
        left = _address(context, builder, kind, x, x_at)
        right = _address(context, builder, kind, w, w_at)
        end = context.make_array(kind)(context, builder, sums).data
        arguments = [rows, left, x_stride, right, w_stride, count, end]
        _call(builder, "cross", kind.dtype.bitwidth, arguments)
        return context.get_dummy_value()

    return types.void(index, x, index, index, x, index, index, index, x), generate


@intrinsic
def _copy_vector(typingctx, source, at, target, to):
    def generate(context, builder, signature, args):
        source, at, target, to = args
        kind = signature.args[0]
        writer = _Writer(kind.dtype.bitwidth, builder)
        vector = writer.load(_address(context, builder, kind, source, at))
        writer.store(vector, _address(context, builder, kind, target, to))
        return context.get_dummy_value()

    return types.void(source, types.intp, source, types.intp), generate


# -- the same without a compiler ---------------------------------------------------------------


def _plain_tile(rows, vectors, a, a_at, b, b_at, depth, c, c_at, stride, accumulate):
    lanes = VECTOR_BYTES // a.itemsize
    height = next(height for height in HEIGHTS if rows <= height)
    left = a[a_at : a_at + depth * ROWS].reshape(depth, ROWS)[:, :height]
    right = b[b_at : b_at + depth * 2 * lanes].reshape(depth, 2 * lanes)[:, : vectors * lanes]
    with np.errstate(all="ignore"):
        product = left.T @ right
        for i in range(height):
            row = c[c_at + i * stride :][: vectors * lanes]
            row[...] = row + product[i] if accumulate else product[i]


def _plain_turn_vectors(source, at, offsets, first, count, target, to, stride):
    lanes = VECTOR_BYTES // source.itemsize
    starts = [at + offsets[min(first + j, count - 1)] for j in range(lanes)]
    for p in range(lanes):
        target[to + p * stride : to + p * stride + lanes] = [source[j + p] for j in starts]


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


if config.DISABLE_JIT:
    tile, turn_vectors, copy_vector = _plain_tile, _plain_turn_vectors, _plain_copy_vector
    slide, dot, cross = _plain_slide, _plain_dot, _plain_cross
else:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    _ENGINES = [_link(bits) for bits in (32, 64)]
    tile, turn_vectors, copy_vector = _tile, _turn_vectors, _copy_vector
    slide, dot, cross = _slide, _dot, _cross
