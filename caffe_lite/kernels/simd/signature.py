"""What a function of vector code is given: by kernels, as emitted code, and where it is run.

The kind of each argument is declared by its annotation.  `KINDS` has what each of them is.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from inspect import Parameter
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from caffe_lite.kernels.simd.emitter import Emitter
from caffe_lite.kernels.simd.plain import Plain, PlainPointer
from caffe_lite.kernels.simd.values import BIT, INDEX, SMALL, Pointer, Value

__all__ = ["VectorFunction"]


class _Number:
    """A number: an integer, a truth value, or, of no given type, one of the element type."""

    def __init__(self, type_: Any, native: Any, plain: Callable[[Any], Any]) -> None:
        self.type = type_
        self._native = native
        self.plain = plain

    def element(self, given: Any) -> Any:
        """The type of elements, if this argument tells it."""
        return None

    def typed(self, given: Any, element: Any) -> Any:
        """The type of what Numba is to give for a type, where elements are of type `element`."""
        return self.type or element

    def native(self, element: Any) -> list[Any]:
        """LLVM's types of what the code gets."""
        return [self._native or element]

    def values(self, context: Any, builder: Any, type_: Any, value: Any) -> list[Any]:
        """The values of these types for one that a kernel gives."""
        return [value]

    def wrapped(self, e: Emitter, values: Iterator[Any]) -> Any:
        """What the code is emitted on."""
        return Value(e, next(values))


class _Array:
    """A C-contiguous array, of which the code gets a pointer to the first element."""

    def __init__(self, type_: Any, native: Any) -> None:
        self.type = type_
        self._native = native

    def element(self, given: Any) -> Any:
        return None if self.type else given.dtype

    def typed(self, given: Any, element: Any) -> Any:
        wanted = self.type or element
        if not isinstance(given, types.Array) or given.layout != "C" or given.dtype != wanted:
            raise TypingError(f"{given}, not a C-contiguous array of {wanted}")
        return given

    def native(self, element: Any) -> list[Any]:
        return [(self._native or element).as_pointer()]

    def values(self, context: Any, builder: Any, type_: Any, value: Any) -> list[Any]:
        return [context.make_array(type_)(context, builder, value).data]

    def wrapped(self, e: Emitter, values: Iterator[Any]) -> Any:
        return Pointer(e, next(values))

    def plain(self, given: Any) -> Any:
        """What the code runs on where nothing is compiled."""
        return PlainPointer.to(given)


class _Tuple:
    """A NamedTuple of arguments, as `Matrix`: its fields are annotated with their kinds."""

    def __init__(self, class_: type[Any]) -> None:
        self.class_ = class_
        self.kinds = [kind_of(each, class_) for each in class_.__annotations__.values()]

    def element(self, given: Any) -> Any:
        return _element_of(self.kinds, given)

    def typed(self, given: Any, element: Any) -> Any:
        if not isinstance(given, types.NamedTuple) or given.instance_class is not self.class_:
            raise TypingError(f"{given}, not a {self.class_.__name__}")
        for kind, each in zip(self.kinds, given.types):
            kind.typed(each, element)
        return given

    def native(self, element: Any) -> list[Any]:
        return [each for kind in self.kinds for each in kind.native(element)]

    def values(self, context: Any, builder: Any, type_: Any, value: Any) -> list[Any]:
        found: list[Any] = []
        for i, (kind, field) in enumerate(zip(self.kinds, type_.types)):
            each = builder.extract_value(value, i)
            if isinstance(kind, _Number):
                each = context.cast(builder, each, field, kind.type or field)
            found += kind.values(context, builder, field, each)
        return found

    def wrapped(self, e: Emitter, values: Iterator[Any]) -> Any:
        return self.class_(*(kind.wrapped(e, values) for kind in self.kinds))

    def plain(self, given: Any) -> Any:
        return self.class_(*(kind.plain(each) for kind, each in zip(self.kinds, given)))


KINDS = {
    "Int": _Number(types.intp, INDEX, int),
    "Bool": _Number(types.boolean, BIT, bool),
    "Scalar": _Number(None, None, lambda given: given),
    "Pointer": _Array(None, None),
    "Ints": _Array(types.int64, INDEX),
    "Int32s": _Array(types.int32, SMALL),
    "Doubles": _Array(types.float64, ir.DoubleType()),
}


def kind_of(annotation: Any, owner: Any) -> Any:
    """The kind that an annotation of a function or a NamedTuple declares."""
    name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
    if name in KINDS:
        return KINDS[name]
    return _Tuple(getattr(sys.modules[owner.__module__], name))


def _element_of(kinds: list[Any], given: Any) -> Any:
    """The type of elements: of the first array that is not of a given type; or None."""
    found = (kind.element(each) for kind, each in zip(kinds, given))
    return next((element for element in found if element is not None), None)


class VectorFunction(NamedTuple):
    """A function of vector code, code(e, *arguments), and the names and kinds of its arguments."""

    code: Callable[..., None]
    names: list[str]
    kinds: list[Any]

    @classmethod
    def of(cls, code: Callable[..., None], fixed: dict[str, Any]) -> VectorFunction:
        """The function that `code` is with some of its arguments fixed."""
        names = [
            name for name in list(inspect.signature(code).parameters)[1:] if name not in fixed
        ]
        kinds = [kind_of(code.__annotations__[name], code) for name in names]
        return cls(partial(code, **fixed) if fixed else code, names, kinds)

    def native(self, bits: int) -> Any:
        """The type of the function as LLVM sees it."""
        element = ir.FloatType() if bits == 32 else ir.DoubleType()
        arguments = [each for kind in self.kinds for each in kind.native(element)]
        return ir.FunctionType(ir.VoidType(), arguments)

    def emit(self, bits: int, builder: Any, values: Any) -> None:
        """Emit the code on the values that it gets."""
        e, values = Emitter(bits, builder), iter(values)
        self.code(e, *(kind.wrapped(e, values) for kind in self.kinds))

    def run(self, *given: Any) -> None:
        """Do it at once."""
        values = [kind.plain(each) for kind, each in zip(self.kinds, given, strict=True)]
        with np.errstate(all="ignore"):
            self.code(Plain(_element_of(self.kinds, given)), *values)

    def intrinsic(self, generate: Callable[[Any, int, list[Any]], None]) -> Any:
        """What a kernel calls; generate(builder, bits, values) emits what is to be done."""

        def typed(typingctx: Any, *given: Any) -> Any:
            element = _element_of(self.kinds, given)
            wanted = [kind.typed(each, element) for kind, each in zip(self.kinds, given)]

            def in_kernel(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                values: list[Any] = []
                for kind, type_, value in zip(self.kinds, signature.args, args):
                    values += kind.values(context, builder, type_, value)
                generate(builder, element.bitwidth, values)
                return context.get_dummy_value()

            return types.void(*wanted), in_kernel

        # Numba takes an intrinsic's arguments from its signature.
        names = ["typingctx", *self.names]
        positional = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in names]
        typed.__signature__ = inspect.Signature(positional)
        return intrinsic(typed)
