"""What loops cannot bring numba to write: straight vector code, written as LLVM's instructions.

A `Writer` writes it for vectors of one number type.  A `Library` is some functions of such code;
LLVM compiles them once, to an object file in the cache folder, and kernels link to them by name:
as a part of every kernel they took most of the time that compiling it takes.

Only `_lanes`, `_planes` and what stands on it, `_row_tiles`, `_rows`, `_vector` and the
transforms of Winograd import this file.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
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

INDEX, BIT, _LANE = ir.IntType(64), ir.IntType(1), ir.IntType(32)


class Writer:
    """Writes LLVM code for vectors of one number type; a place is a pointer to a number.

    With `lanes` a vector has so many numbers, else as many as the processor's.
    """

    def __init__(self, bits: int, builder: Any, lanes: int = 0) -> None:
        self.bits = bits
        self.builder = builder
        self.lanes = lanes or 8 * VECTOR_BYTES // bits
        self.element = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.element, self.lanes)
        self.counts = ir.VectorType(_LANE, self.lanes)

    def index(self, value: int) -> Any:
        return ir.Constant(INDEX, value)

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.lanes)

    def zeros(self) -> Any:
        return ir.Constant(self.vector, None)

    def step(self, place: Any, count: int, pitch: Any = None) -> Any:
        """The place `count` numbers on, or `count` times `pitch` numbers."""
        numbers = self.index(count)
        if pitch is not None:
            numbers = self.builder.mul(pitch, numbers)
        return self.builder.gep(place, [numbers])

    def load(self, place: Any) -> Any:
        where = self.builder.bitcast(place, self.vector.as_pointer())
        return self.builder.load(where, align=self.bits // 8)

    def store(self, value: Any, place: Any) -> None:
        where = self.builder.bitcast(place, self.vector.as_pointer())
        self.builder.store(value, where, align=self.bits // 8)

    def spread(self, value: Any) -> Any:
        """A vector of one value."""
        kind = ir.VectorType(value.type, self.lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, value, ir.Constant(_LANE, 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(self.counts, None))

    def choose(self, x: Any, y: Any, places: list[int]) -> Any:
        """A vector of the numbers of x, and of y behind them, at some places."""
        return self.builder.shuffle_vector(x, y, ir.Constant(self.counts, places))

    def add(self, x: Any, y: Any) -> Any:
        return self.builder.fadd(x, y)

    def subtract(self, x: Any, y: Any) -> Any:
        return self.builder.fsub(x, y)

    def multiply(self, x: Any, y: Any) -> Any:
        return self.builder.fmul(x, y)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        if not _FUSED:
            return self.add(self.multiply(x, y), z)
        return self.call(f"llvm.fma.v{self.lanes}f{self.bits}", self.vector, x, y, z)

    def where_positive(self, x: Any, y: Any, z: Any) -> Any:
        """y where x > 0, else z."""
        positive = self.builder.fcmp_ordered(">", x, self.zeros())
        return self.builder.select(positive, y, z)

    def call(self, name: str, result: Any, *args: Any) -> Any:
        module = self.builder.module
        if name not in module.globals:
            ir.Function(module, ir.FunctionType(result, [arg.type for arg in args]), name)
        return self.builder.call(module.globals[name], args)

    def count_up(self, limit: Any, step: int, sums: list[Any], body: Any) -> list[Any]:
        """Run body(i, sums) -> sums for i = 0, step, ... below limit; returns the last sums."""
        builder = self.builder
        before, test = builder.block, builder.append_basic_block("test")
        builder.branch(test)
        builder.position_at_end(test)
        i = builder.phi(INDEX)
        now = [builder.phi(value.type) for value in sums]
        inside, after = builder.append_basic_block("inside"), builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed("<", i, limit), inside, after)
        builder.position_at_end(inside)
        then = body(i, now)
        ahead = builder.add(i, self.index(step))
        for phi, first, last in zip([i, *now], [self.index(0), *sums], [ahead, *then]):
            phi.add_incoming(first, before)
            phi.add_incoming(last, builder.block)
        builder.branch(test)
        builder.position_at_end(after)
        return now

    def add_products(self, depth: Any, left: Any, b: Any, sums: list[Any]) -> list[Any]:
        """sums + rows of A times a packed panel of B, (depth, 2 vectors); depth is 1 or more.

        left(p): where number p of each row is.  sums: for each row one or two vectors.
        """
        builder, before = self.builder, self.builder.block
        along, after = builder.append_basic_block("along"), builder.append_basic_block("after")
        builder.branch(along)
        builder.position_at_end(along)
        p = builder.phi(INDEX)
        now = [builder.phi(self.vector) for _ in sums]
        places = left(p)
        vectors = len(sums) // len(places)
        line = builder.gep(b, [builder.mul(p, self.index(2 * self.lanes))])
        columns = [self.load(self.step(line, v * self.lanes)) for v in range(vectors)]
        then = []
        for i, place in enumerate(places):
            value = self.spread(builder.load(place))
            for v, column in enumerate(columns):
                then.append(self.multiply_add(value, column, now[i * vectors + v]))
        ahead = builder.add(p, self.index(1))
        for phi, first, last in zip([p, *now], [self.index(0), *sums], [ahead, *then]):
            phi.add_incoming(first, before)
            phi.add_incoming(last, along)
        builder.cbranch(builder.icmp_signed("<", ahead, depth), along, after)
        builder.position_at_end(after)
        return then


# -- compiling it and linking to it ------------------------------------------------------------


class Library:
    """Functions for kernels whose code a `Writer` writes; `link` makes it ready to be called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: dict[str, tuple[str, Callable[..., None]]] = {}
        self.engines: dict[int, Any] = {}

    def function(
        self, name: str, kinds: str, write: Callable[..., None], plain: Callable[..., None]
    ) -> Any:
        """A function of the library, by which a kernel may call it.

        kinds: a letter for each argument.  i: an integer.  b: a truth value.  f: a number of the
        arrays' type.  p: a place, given as a flat array and an index.  a: a flat array.  t: a flat
        array of integers.  d: a flat array of float64.  n: a place in an array of integers of 32
        bits.  write(writer, *arguments) writes the code.  plain(*arguments) does the same where
        nothing is compiled.
        """
        if config.DISABLE_JIT:
            return plain
        name = f"caffe_lite_{self.name}_{name}"
        self.functions[name] = kinds, write
        return _caller(name, kinds)

    def link(self, bits: int) -> None:
        """Make the functions known to the compiler by their names; for kernels of `bits`."""
        if bits in self.engines or not self.functions:
            return
        target = llvm.Target.from_triple(llvm.get_process_triple())
        machine = target.create_target_machine(
            cpu=CPU, features=FEATURES, opt=3, reloc="pic", codemodel="jitdefault", jit=True
        )
        mark = zlib.crc32((CPU + FEATURES).encode())
        path = cache_folder() / f"{self.name}{bits}-{mark:08x}.o"
        try:
            code = path.read_bytes()
        except OSError:
            code = machine.emit_object(llvm.parse_assembly(self._module(bits)))
            _keep(path, code)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        for name in self.functions:
            llvm.add_symbol(f"{name}_{bits}", engine.get_function_address(f"{name}_{bits}"))
        self.engines[bits] = engine

    def _module(self, bits: int) -> str:
        """The LLVM code of all functions for numbers of so many bits."""
        module = ir.Module(f"caffe_lite_{self.name}_{bits}")
        module.triple = llvm.get_process_triple()
        for name, (kinds, write) in self.functions.items():
            function = ir.Function(module, _native(kinds, bits), f"{name}_{bits}")
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            write(Writer(bits, builder), *function.args)
            builder.ret_void()
        return str(module)


if not config.DISABLE_JIT:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


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


def _native(kinds: str, bits: int) -> Any:
    """The type of a function as LLVM sees it."""
    number = ir.FloatType() if bits == 32 else ir.DoubleType()
    pointer = number.as_pointer()
    double = ir.DoubleType().as_pointer()
    native = {
        "p": pointer,
        "a": pointer,
        "t": INDEX.as_pointer(),
        "d": double,
        "n": _LANE.as_pointer(),
        "f": number,
        "b": BIT,
    }
    return ir.FunctionType(ir.VoidType(), [native.get(kind, INDEX) for kind in kinds])


def _caller(name: str, kinds: str) -> Any:
    """The intrinsic by which kernels call a function of a library."""
    letters = kinds.replace("p", "pi").replace("n", "ni")  # a place is two of the kernel's

    def typed(typingctx: Any, *given: Any) -> Any:
        number = given[letters.index("p")].dtype
        simple = {"i": types.intp, "b": types.boolean, "f": number}
        wanted = [simple.get(letter, kind) for letter, kind in zip(letters, given)]

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rest, native = list(zip(signature.args, args)), []
            for kind in kinds:
                of_type, value = rest.pop(0)
                if kind in "patdn":
                    value = context.make_array(of_type)(context, builder, value).data
                if kind in "pn":
                    value = builder.gep(value, [rest.pop(0)[1]])
                native.append(builder.trunc(value, BIT) if kind == "b" else value)
            module, whole = builder.module, f"{name}_{number.bitwidth}"
            if whole not in module.globals:
                ir.Function(module, _native(kinds, number.bitwidth), whole)
            builder.call(module.globals[whole], native)
            return context.get_dummy_value()

        return types.void(*wanted), generate

    # Numba takes an intrinsic's arguments from its signature.
    names = ["typingctx", *(f"argument{i}" for i in range(len(letters)))]
    typed.__signature__ = Signature([Parameter(n, Parameter.POSITIONAL_ONLY) for n in names])
    return intrinsic(typed)
