"""Functions of vector code, as kernels call them: compiled once, linked to by name.

As a part of every kernel, vector code took most of the time that compiling the kernel takes.  So
LLVM compiles a library to an object file in the cache folder, and kernels call into that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config

from caffe_lite.kernels import cache, compiling
from caffe_lite.kernels.simd.processor import CPU, FEATURES
from caffe_lite.kernels.simd.signature import VectorFunction

__all__ = ["Library", "inline"]


def inline(code: Callable[..., None]) -> Any:
    """A function of vector code that becomes a part of each kernel which calls it."""
    function = VectorFunction.of(code, {})
    if config.DISABLE_JIT:
        return function.run
    return function.intrinsic(lambda builder, bits, values: function.emit(bits, builder, values))


class Library:
    """Functions of vector code that are compiled together; `link` makes them callable."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: dict[str, VectorFunction] = {}
        self.sources: set[str] = set()
        self.engines: dict[int, Any] = {}

    def function(
        self,
        code: Callable[..., None] | None = None,
        *,
        name: str = "",
        plain: Callable[..., None] | None = None,
        **fixed: Any,
    ) -> Any:
        """Make code(e, *arguments) a function of the library, which kernels may call.

        Its arguments are declared by their annotations: `Int`, `Bool`, `Scalar` (of the arrays'
        element type), or an array, of which the code gets a pointer to the first element:
        `Pointer` (float32 or float64; there must be one), `Ints` (int64), `Int32s`, `Doubles`.
        A kernel passes ``x[offset:]`` for an element further on, and `Matrix` for rows.
        plain: does the same with arrays where nothing is compiled, if the code would be too slow.
        fixed: arguments that are known; then `name` tells the function from others of that code.
        """
        if code is None:
            return partial(self.function, name=name, plain=plain, **fixed)
        function = VectorFunction.of(code, fixed)
        name = f"caffe_lite_{self.name}_{name or code.__name__}"
        if name in self.functions:
            raise ValueError(f"{name}: there are two of this name")
        self.functions[name] = function
        self.sources.add(code.__code__.co_filename)
        if config.DISABLE_JIT:
            return plain or function.run

        def call(builder: Any, bits: int, values: list[Any]) -> None:
            module, whole = builder.module, f"{name}_{bits}"
            if whole not in module.globals:
                ir.Function(module, function.native(bits), whole)
            builder.call(module.globals[whole], values)

        return function.intrinsic(call)

    def link(self, *bits: int) -> None:
        """Make the functions known to Numba's code by their names, for elements of so many bits.

        This must be before a kernel that calls them is compiled or loaded.
        """
        for each in bits or (32, 64):
            if each not in self.engines and not config.DISABLE_JIT:
                self.engines[each] = self._engine(each)

    def _engine(self, bits: int) -> Any:
        """LLVM's engine, which holds the code: from the object file if there is one."""
        target = llvm.Target.from_triple(llvm.get_process_triple())
        machine = target.create_target_machine(
            cpu=CPU, features=FEATURES, opt=3, reloc="pic", codemodel="jitdefault", jit=True
        )
        name, sources = f"{self.name}{bits}.o", sorted(map(cache.stamp, self.sources))
        purpose = repr((name, CPU, FEATURES, sources))
        code = cache.read(name, purpose)
        if code is None:
            with compiling.Use(lambda: "vector code"), compiling.at_work():
                code = machine.emit_object(self.module(bits))
            cache.write(name, purpose, code)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        for name in self.functions:
            llvm.add_symbol(f"{name}_{bits}", engine.get_function_address(f"{name}_{bits}"))
        return engine

    def module(self, bits: int) -> Any:
        """The LLVM code of all functions for elements of so many bits."""
        module = ir.Module(f"caffe_lite_{self.name}_{bits}")
        module.triple = llvm.get_process_triple()
        for name, function in self.functions.items():
            native = ir.Function(module, function.native(bits), f"{name}_{bits}")
            builder = ir.IRBuilder(native.append_basic_block("entry"))
            function.emit(bits, builder, native.args)
            builder.ret_void()
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        return parsed


if not config.DISABLE_JIT:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
