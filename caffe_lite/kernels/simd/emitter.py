"""Vector code that loops cannot bring Numba to write, as ordinary Python on LLVM values.

A function of vector code is written once, for an *emitter* `e`:

    def dot(e, a: Pointer, b: Pointer, count: Int, result: Pointer):
        sums = [e.zeros()]
        for i in e.range(count, e.lanes, carried=sums):
            sums[0] = e.fma(e.load(a + i), e.load(b + i), sums[0])
        ...

`Emitter` emits LLVM instructions, each operator its own: integers, scalars, vectors and
conditions are `Value`s, and ``pointer + (i * pitch + j)`` is a multiplication, an addition and an
address.  `plain.Plain` has the same methods and does the same to Python integers and NumPy arrays
at once, for where nothing is compiled.  `Library` turns the functions into what kernels call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from llvmlite import ir

from caffe_lite.kernels.simd.processor import FUSED, VECTOR_BYTES
from caffe_lite.kernels.simd.values import (
    BIT,
    INDEX,
    SMALL,
    Bool,
    Int,
    Pointer,
    Scalar,
    Value,
    Vector,
    bytes_of,
    constant,
)

__all__ = ["Emitter"]


class Emitter:
    """Emits LLVM instructions for vectors of `lanes` elements of so many bits, 32 or 64.

    Without `lanes` a vector is as long as the processor's.
    """

    def __init__(self, bits: int, builder: Any, lanes: int = 0) -> None:
        self.bits = bits
        self.builder = builder
        self.lanes = lanes or 8 * VECTOR_BYTES // bits
        self.element = ir.FloatType() if bits == 32 else ir.DoubleType()

    def of_lanes(self, lanes: int) -> Emitter:
        """An emitter of shorter vectors for the same code."""
        return Emitter(self.bits, self.builder, lanes)

    # -- constants and conversions

    def like(self, value: Value, other: Any) -> Any:
        """LLVM's value of another operand of `value`'s type, perhaps a Python number."""
        return other.llvm if isinstance(other, Value) else constant(value.llvm.type, other)

    def index(self, value: Any) -> Any:
        """LLVM's value of an integer, perhaps a Python number."""
        return value.llvm if isinstance(value, Value) else ir.Constant(INDEX, value)

    def scalar(self, value: float) -> Scalar:
        """A scalar that is known."""
        return Value(self, ir.Constant(self.element, value))

    def constant(self, value: float) -> Vector:
        """A vector of one number."""
        return Value(self, constant(ir.VectorType(self.element, self.lanes), value))

    def zeros(self) -> Vector:
        """A vector of zeros."""
        return Value(self, ir.Constant(ir.VectorType(self.element, self.lanes), None))

    def int32s(self, values: Iterable[int]) -> Vector:
        """A vector of 32-bit integers."""
        values = list(values)
        return Value(self, ir.Constant(ir.VectorType(SMALL, len(values)), values))

    def int32(self, value: Int) -> Value:
        """An integer cut to 32 bits."""
        return Value(self, self.builder.trunc(value.llvm, SMALL))

    def broadcast(self, value: Value) -> Vector:
        """A vector of one value."""
        undefined = ir.Constant(ir.VectorType(value.llvm.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(undefined, value.llvm, ir.Constant(SMALL, 0))
        zeros = ir.Constant(ir.VectorType(SMALL, self.lanes), None)
        return Value(self, self.builder.shuffle_vector(one, undefined, zeros))

    def first_lanes(self, count: Int) -> Vector:
        """The mask of the lanes below a count."""
        return self.int32s(range(self.lanes)) < self.broadcast(self.int32(count))

    def mask(self, lanes: Iterable[bool]) -> Vector:
        """A mask that is known."""
        return Value(self, ir.Constant(ir.VectorType(BIT, self.lanes), list(lanes)))

    def doubles(self, value: Vector) -> Vector:
        """A vector as float64."""
        kind = ir.VectorType(ir.DoubleType(), value.llvm.type.count)
        return (
            value if value.llvm.type == kind else Value(self, self.builder.fpext(value.llvm, kind))
        )

    def zero_doubles(self) -> Vector:
        """A vector of as many zeros, of float64."""
        return Value(self, ir.Constant(ir.VectorType(ir.DoubleType(), self.lanes), None))

    def one_or_zero(self, condition: Bool) -> Scalar:
        """1 where the condition holds, else 0, of the element type."""
        return Value(self, self.builder.uitofp(condition.llvm, self.element))

    # -- memory

    def load(self, pointer: Pointer) -> Vector:
        """A vector of the elements from a pointer on."""
        return Value(self, self.builder.load(self._vector_at(pointer), align=bytes_of(pointer)))

    def store(self, value: Vector, pointer: Pointer) -> None:
        """Store a vector to the elements from a pointer on."""
        kind = value.llvm.type.as_pointer()
        where = self.builder.bitcast(pointer.llvm, kind)
        self.builder.store(value.llvm, where, align=bytes_of(pointer))

    def load_masked(self, pointer: Pointer, mask: Vector, other: Vector) -> Vector:
        """The lanes of a mask; of the others nothing is read, they are those of `other`."""
        align = ir.Constant(SMALL, bytes_of(pointer))
        args = self._vector_at(pointer), align, mask.llvm, other.llvm
        name = f"llvm.masked.load.{self._kind()}.p0"
        return Value(self, self._call(name, other.llvm.type, *args))

    def store_masked(self, value: Vector, pointer: Pointer, mask: Vector) -> None:
        """Store the lanes of a mask; nothing is written for the others."""
        align = ir.Constant(SMALL, bytes_of(pointer))
        args = value.llvm, self._vector_at(pointer), align, mask.llvm
        self._call(f"llvm.masked.store.{self._kind()}.p0", ir.VoidType(), *args)

    def prefetch(self, pointer: Pointer) -> None:
        """Fetch a cache line that is read soon; the pointer may be to anywhere."""
        where = self.builder.bitcast(pointer.llvm, ir.IntType(8).as_pointer())
        settings = (ir.Constant(SMALL, value) for value in (0, 3, 1))  # read, keep, data
        self._call("llvm.prefetch.p0", ir.VoidType(), where, *settings)

    def _vector_at(self, pointer: Pointer) -> Any:
        kind = ir.VectorType(pointer.llvm.type.pointee, self.lanes)
        return self.builder.bitcast(pointer.llvm, kind.as_pointer())

    def _kind(self) -> str:
        return f"v{self.lanes}f{self.bits}"

    # -- arithmetic

    def fma(self, x: Vector, y: Any, z: Vector) -> Vector:
        """x y + z, rounded once where the processor can; y may be a Python number."""
        if not FUSED:
            return x * y + z
        kind = z.llvm.type
        bits = 32 if kind.element == ir.FloatType() else 64
        name = f"llvm.fma.v{kind.count}f{bits}"
        return Value(self, self._call(name, kind, x.llvm, self.like(x, y), z.llvm))

    def select(self, condition: Value, x: Value, y: Any) -> Value:
        """x where the condition holds, else y."""
        return Value(self, self.builder.select(condition.llvm, x.llvm, self.like(x, y)))

    def min(self, x: Int, y: Any) -> Int:
        """The lesser of two integers."""
        return self.select(x < y, x, y)

    def max(self, x: Int, y: Any) -> Int:
        """The greater of two integers."""
        return self.select(x > y, x, y)

    def is_nan(self, x: Value) -> Value:
        """Whether a scalar, or each lane of a vector, is NaN."""
        return Value(self, self.builder.fcmp_unordered("uno", x.llvm, x.llvm))

    def all(self, mask: Vector) -> Bool:
        """Whether all lanes of a mask are set."""
        number = ir.IntType(mask.llvm.type.count)
        found = self.builder.bitcast(mask.llvm, number)
        return Value(self, self.builder.icmp_signed("==", found, ir.Constant(number, -1)))

    def shuffle(self, x: Vector, y: Vector, lanes: Iterable[int]) -> Vector:
        """The chosen lanes of x and y, those of y counted on after x's."""
        return Value(self, self.builder.shuffle_vector(x.llvm, y.llvm, self.int32s(lanes).llvm))

    def _call(self, name: str, result: Any, *args: Any) -> Any:
        module = self.builder.module
        if name not in module.globals:
            ir.Function(module, ir.FunctionType(result, [arg.type for arg in args]), name)
        return self.builder.call(module.globals[name], args)

    # -- control

    def range(
        self, stop: Any, step: int = 1, carried: list[Any] | None = None, nonempty: bool = False
    ) -> Iterator[Int]:
        """Loop over i = 0, step, ... below stop, as in ``for i in e.range(n)``.

        carried: a list of what the body changes, in place, from one round to the next.
        nonempty: stop is known to be above 0, so that the first round needs no test.
        """
        builder, carried = self.builder, [] if carried is None else carried
        stop, before = self.index(stop), builder.block
        start = [ir.Constant(INDEX, 0), *(self._operand(each) for each in carried)]
        head = builder.append_basic_block("loop")
        builder.branch(head)
        builder.position_at_end(head)
        phis = [builder.phi(each.type) for each in start]
        carried[:] = [self._wrap(phi) for phi in phis[1:]]
        if not nonempty:
            body, after = (builder.append_basic_block(name) for name in ("body", "after"))
            builder.cbranch(builder.icmp_signed("<", phis[0], stop), body, after)
            builder.position_at_end(body)
        yield Value(self, phis[0])
        ends = [builder.add(phis[0], ir.Constant(INDEX, step))]
        ends += [self._operand(each) for each in carried]
        for phi, first, last in zip(phis, start, ends, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(last, builder.block)
        if nonempty:
            after = builder.append_basic_block("after")
            builder.cbranch(builder.icmp_signed("<", ends[0], stop), head, after)
        else:
            builder.branch(head)
            carried[:] = [self._wrap(phi) for phi in phis[1:]]
        builder.position_at_end(after)

    def if_then(
        self, condition: Bool, body: Callable[..., Any], carried: Iterable[Any] = ()
    ) -> list[Any]:
        """Run body(*carried) where a condition holds.

        Returns what it returned, or `carried` where it did not run.
        """
        carried = list(carried)
        return self.if_else(condition, lambda: body(*carried), lambda: carried)

    def if_else(
        self, condition: Bool, then: Callable[[], Any], otherwise: Callable[[], Any]
    ) -> list[Any]:
        """Run one of two bodies, and return what it returned: as many values, or None."""
        builder = self.builder
        blocks = [builder.append_basic_block(name) for name in ("then", "else", "after")]
        builder.cbranch(condition.llvm, *blocks[:2])
        found = []
        for block, body in zip(blocks, (then, otherwise)):
            builder.position_at_end(block)
            values = [self._operand(each) for each in body() or ()]
            found.append((values, builder.block))
            builder.branch(blocks[2])
        builder.position_at_end(blocks[2])
        (values, then_end), (others, else_end) = found
        phis = [builder.phi(value.type) for value in values]
        for phi, value, other in zip(phis, values, others, strict=True):
            phi.add_incoming(value, then_end)
            phi.add_incoming(other, else_end)
        return [self._wrap(phi) for phi in phis]

    def switch(self, cases: Iterable[tuple[Any, Callable[[], None]]]) -> None:
        """Run the body of the first case (condition, body) whose condition holds, if any does.

        `cases` is a generator, so that each condition is computed where it is tested.  A
        condition may be known: True or False.
        """
        builder, after = self.builder, self.builder.append_basic_block("after")
        for condition, body in cases:
            if condition is False:
                continue
            if condition is True:
                body()
                break
            inside, other = (builder.append_basic_block(name) for name in ("case", "other"))
            builder.cbranch(condition.llvm, inside, other)
            builder.position_at_end(inside)
            body()
            builder.branch(after)
            builder.position_at_end(other)
        builder.branch(after)
        builder.position_at_end(after)

    def _operand(self, value: Any) -> Any:
        return value.llvm if isinstance(value, (Value, Pointer)) else ir.Constant(INDEX, value)

    def _wrap(self, llvm: Any) -> Any:
        return (Pointer if isinstance(llvm.type, ir.PointerType) else Value)(self, llvm)
