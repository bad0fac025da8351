"""What emitted code computes with: integers, scalars, vectors, conditions and pointers.

Each operator of a `Value` or a `Pointer` emits an instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from llvmlite import ir

if TYPE_CHECKING:
    from caffe_lite.kernels.simd.emitter import Emitter

__all__ = [
    "BIT",
    "INDEX",
    "SMALL",
    "Bool",
    "Doubles",
    "Int",
    "Int32s",
    "Ints",
    "Matrix",
    "Pointer",
    "Scalar",
    "Value",
    "Vector",
    "bytes_of",
    "constant",
    "is_float",
]

INDEX, BIT, SMALL = ir.IntType(64), ir.IntType(1), ir.IntType(32)


class Value:
    """An integer, a scalar, a condition, or a vector of these, in code that is being emitted.

    Operators take a Value of the same type, or a Python number.  Integers are signed; // and % are
    for those that are not negative.
    """

    __slots__ = ("e", "llvm")

    def __init__(self, e: Emitter, llvm: Any) -> None:
        self.e = e
        self.llvm = llvm

    def _operation(self, other: Any, integer: str, number: str) -> Value:
        builder = self.e.builder
        name = number if is_float(self.llvm.type) else integer
        return Value(self.e, getattr(builder, name)(self.llvm, self.e.like(self, other)))

    def _comparison(self, operator: str, other: Any) -> Value:
        builder, other = self.e.builder, self.e.like(self, other)
        if not is_float(self.llvm.type):
            compare = builder.icmp_signed
        else:  # like Python's: NaN differs from everything
            compare = builder.fcmp_unordered if operator == "!=" else builder.fcmp_ordered
        return Value(self.e, compare(operator, self.llvm, other))

    def __add__(self, other: Any) -> Value:
        if isinstance(other, int) and other == 0:
            return self
        return self._operation(other, "add", "fadd")

    def __sub__(self, other: Any) -> Value:
        return self._operation(other, "sub", "fsub")

    def __rsub__(self, other: Any) -> Value:
        return Value(self.e, self.e.like(self, other)) - self

    def __neg__(self) -> Value:
        return 0 - self

    def __mul__(self, other: Any) -> Value:
        if isinstance(other, int) and other == 1:
            return self
        return self._operation(other, "mul", "fmul")

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Any) -> Value:
        return self._operation(other, "sdiv", "")

    def __mod__(self, other: Any) -> Value:
        return self._operation(other, "srem", "")

    def __rshift__(self, other: Any) -> Value:
        return self._operation(other, "ashr", "")

    def __and__(self, other: Any) -> Value:
        return self._operation(other, "and_", "")

    def __or__(self, other: Any) -> Value:
        return self._operation(other, "or_", "")

    def __lt__(self, other: Any) -> Value:
        return self._comparison("<", other)

    def __le__(self, other: Any) -> Value:
        return self._comparison("<=", other)

    def __gt__(self, other: Any) -> Value:
        return self._comparison(">", other)

    def __ge__(self, other: Any) -> Value:
        return self._comparison(">=", other)

    def __eq__(self, other: Any) -> Value:  # type: ignore[override]
        return self._comparison("==", other)

    def __ne__(self, other: Any) -> Value:  # type: ignore[override]
        return self._comparison("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("the emitted code's value is not known yet: use select, if_then or switch")

    def __getitem__(self, lane: int) -> Value:
        """One lane of a vector."""
        return Value(self.e, self.e.builder.extract_element(self.llvm, ir.Constant(SMALL, lane)))


class Pointer:
    """The address of an element; ``p + i`` is that of an element further on, ``p[i]`` is it."""

    __slots__ = ("e", "llvm")

    def __init__(self, e: Emitter, llvm: Any) -> None:
        self.e = e
        self.llvm = llvm

    def __add__(self, count: Any) -> Pointer:
        if isinstance(count, int) and count == 0:
            return self
        return Pointer(self.e, self.e.builder.gep(self.llvm, [self.e.index(count)]))

    def __getitem__(self, i: Any) -> Value:
        return Value(self.e, self.e.builder.load((self + i).llvm))

    def __setitem__(self, i: Any, value: Any) -> None:
        if not isinstance(value, Value):
            value = Value(self.e, ir.Constant(self.llvm.type.pointee, value))
        self.e.builder.store(value.llvm, (self + i).llvm)


# The kinds of arguments that a function of a library may have, and of what its code is about.
Int = Bool = Scalar = Vector = Value
Ints = Int32s = Doubles = Pointer


class Matrix(NamedTuple):
    """Rows in flat memory: those of a kernel in an array, those of vector code from a pointer on.

    The rows begin `stride` elements apart.
    """

    data: Pointer
    stride: Int

    def row(self, i: Any) -> Pointer:
        """Where row i begins; for vector code only."""
        return self.data + self.stride * i


def is_float(kind: Any) -> bool:
    """Whether an LLVM type is of floating-point numbers, or of vectors of them."""
    if isinstance(kind, ir.VectorType):
        kind = kind.element
    return isinstance(kind, (ir.FloatType, ir.DoubleType))


def constant(kind: Any, value: Any) -> Any:
    """LLVM's constant of a number, or a vector of it."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def bytes_of(pointer: Pointer) -> int:
    """The size of a pointer's element: all that is known of its alignment."""
    kind = pointer.llvm.type.pointee
    return {ir.FloatType(): 4, ir.DoubleType(): 8, SMALL: 4, INDEX: 8}[kind]
