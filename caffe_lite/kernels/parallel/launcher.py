"""Kernels on ranges of tasks, and the launch that spreads them over threads.

What Numba compiles for a kernel is one function of (state of the pool, tasks, pieces, *arguments).
It puts the arguments on its stack and hands the pool their address, with that of a C function
which calls the kernel with them and with a range of tasks.  Where a recording is made it writes
the same down instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.compiler import Flags
from numba.core.typing import signature as typed
from numba.extending import intrinsic

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import pool
from caffe_lite.kernels.parallel.atomic import WORD
from caffe_lite.kernels.parallel.recording import (
    CURRENT,
    RECORD,
    unrecorded,
    weights_stay,
)

GRAIN = 1 << 13
"""Elements below which a second thread costs more than it saves: some microseconds of work."""
PIECES = 4
"""Pieces for each thread, so that one which is held up leaves its share to the others."""


def pieces_of(tasks: int, elements: float) -> int:
    """How many pieces to cut a range of tasks into that touch so many elements, all together.

    It is 1 where one thread is as fast.  Kernels that need workspace for each piece ask first.
    """
    threads = pool.get_num_threads()
    if threads == 1 or elements < 2 * GRAIN:
        return 1
    return max(1, min(tasks, PIECES * threads, int(elements // GRAIN)))


def parallel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a kernel (first, last, *arguments) for `launch`.

    It does the tasks `first` to `last` - 1, which must not depend on each other, nor on how the
    range is cut.
    """
    return function if config.DISABLE_JIT else _compiled(function, _with_range)


def launch(kernel: Callable[..., None], tasks: int, elements: float, *args: Any) -> None:
    """Run a kernel that `parallel` has compiled on all tasks, on as many threads as it is worth.

    elements: how many elements the tasks touch together; for products, multiply-adds over 16.
    args: arrays, numbers, named tuples of numbers.  Raises MemoryError if a task could not get
    its workspace.
    """
    if tasks == 0:
        return
    if config.DISABLE_JIT:
        unrecorded()
        kernel(0, tasks, *args)
    else:
        _run(kernel, tasks, elements, args, noted=True)


def prepare(kernel: Callable[..., None], tasks: int, elements: float, *args: Any) -> None:
    """`launch` a kernel that reads nothing but weights, and what was prepared of them.

    A recording of a net whose weights stay does not repeat it.  So nothing else may write to its
    outputs, not even another layer that shares a workspace with this one.
    """
    if weights_stay() and tasks and not config.DISABLE_JIT:
        _run(kernel, tasks, elements, args, noted=False)
    else:
        launch(kernel, tasks, elements, *args)


def _run(
    kernel: Callable[..., None], tasks: int, elements: float, args: Sequence[Any], noted: bool
) -> None:
    """Run a compiled kernel; where a recording is made, note that if it is to be `noted`."""
    pieces = pieces_of(tasks, elements)
    kernel(pool.state(), tasks, pieces, *args)
    if noted and CURRENT.recording is not None:
        CURRENT.recording.add(kernel, tasks, pieces, elements, args)


def elementwise(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a kernel of arrays of one shape, whose elements do not depend on each other.

    The kernel is written for arrays of one axis, and called with C-contiguous arrays of any
    shape; it runs on stretches of them.
    """
    kernel = None if config.DISABLE_JIT else _compiled(function, _with_stretches)

    @functools.wraps(function)
    def run(*args: Any) -> None:
        flat, size = [], -1
        for each in args:
            if isinstance(each, np.ndarray):
                each = each.reshape(-1)
                if size not in (-1, each.size):
                    raise ValueError(
                        f"{function.__name__}: arrays of {size} and of {each.size} elements"
                    )
                size = each.size
            flat.append(each)
        if kernel is None:
            unrecorded()
            function(*flat)
        else:
            _run(kernel, size, size, flat, noted=True)

    return run


def _compiled(function: Callable[..., None], arguments: Callable[..., Any]) -> Callable[..., None]:
    """The function of (state, tasks, pieces, *arguments) that is compiled for a kernel."""
    code = _entry.__code__.replace(
        co_filename=function.__code__.co_filename,  # Numba caches by file, line and name
        co_firstlineno=function.__code__.co_firstlineno,
        co_name=function.__name__,
    )
    entry = FunctionType(code, {"_start": _start(function, arguments)}, function.__name__)
    entry.__module__, entry.__qualname__ = function.__module__, function.__qualname__
    return jit(entry)


def _entry(state, tasks, pieces, *args):
    if _start(state, tasks, pieces, args) != 0:  # a global that `_compiled` gives it
        raise MemoryError


def _start(function: Callable[..., None], arguments: Callable[..., Any]) -> Any:
    """The intrinsic that runs a kernel on `tasks` tasks; its answer is 0 if none failed.

    With RECORD for `pieces`, `tasks` is the address of a request of `recording`, which it answers.
    """

    @intrinsic
    def start(typingctx, state, tasks, pieces, args):
        def generate(context, builder, signature, values):
            state, tasks, pieces, values = values
            own_state = context.make_array(signature.args[0])(context, builder, state).data
            values = _borrowed(context, builder, signature.args[3], values)
            box = cgutils.alloca_once_value(builder, values)
            code = _task_code(context, builder, function, arguments, signature.args[3])
            answer = cgutils.alloca_once_value(builder, WORD(0))
            recorded = builder.icmp_signed("==", pieces, WORD(RECORD))
            with builder.if_else(recorded) as (then, otherwise):
                with then:
                    _answer_request(context, builder, tasks, code, values)
                with otherwise:
                    found = _run_tasks(builder, own_state, code, box, tasks, pieces)
                    builder.store(found, answer)
            return builder.load(answer)

        return types.int64(state, tasks, pieces, args), generate

    return start


def _run_tasks(builder, state, code, box, tasks, pieces):
    """Do all tasks on this thread, or with the pool's; the answer is 0 if none failed."""
    answer = cgutils.alloca_once(builder, WORD)
    alone = builder.icmp_signed("<=", pieces, WORD(1))
    with builder.if_else(alone) as (then, otherwise):
        with then:
            inside = builder.ptrtoint(box, WORD)
            builder.store(builder.call(code, [inside, WORD(0), tasks]), answer)
        with otherwise:
            share = builder.load(builder.gep(state, [WORD(pool.SHARE)]))
            kind = ir.FunctionType(WORD, [WORD] * 5).as_pointer()
            addresses = [builder.ptrtoint(each, WORD) for each in (state, code, box)]
            found = builder.call(builder.inttoptr(share, kind), [*addresses, tasks, pieces])
            builder.store(found, answer)
    return builder.load(answer)


def _answer_request(context, builder, address, code, values):
    """Write the kernel's address, the size of its arguments and, if asked for, these."""
    request = builder.inttoptr(address, WORD.as_pointer())
    size = context.get_abi_sizeof(values.type)
    for word, value in enumerate((builder.ptrtoint(code, WORD), WORD(size))):
        builder.store(value, builder.gep(request, [WORD(word)]))
    target = builder.load(builder.gep(request, [WORD(2)]))
    with builder.if_then(builder.icmp_signed("!=", target, WORD(0))):
        builder.store(values, builder.inttoptr(target, values.type.as_pointer()))


def _task_code(context, builder, function, arguments, args):
    """A C function (address of the arguments, first, last), which says whether it failed.

    args: the type of the tuple of arguments.
    """
    module = builder.module
    name = module.get_unique_name(f"{function.__module__}.{function.__name__}.tasks")
    code = ir.Function(module, ir.FunctionType(WORD, [WORD] * 3), name)
    code.linkage = "internal"
    inner = ir.IRBuilder(code.append_basic_block("entry"))
    address, first, last = code.args
    place = inner.inttoptr(address, context.get_value_type(args).as_pointer())
    values = cgutils.unpack_tuple(inner, inner.load(place))
    kinds, values = arguments(context, inner, list(args), values, first, last)
    flags = Flags()
    flags.nrt, flags.error_model = True, "numpy"
    kernel = context.compile_subroutine(builder, function, typed(types.none, *kinds), flags=flags)
    target = context.declare_function(module, kernel.fndesc)
    status, _ = context.call_conv.call_function(inner, target, types.none, kinds, values)
    inner.ret(inner.zext(status.is_error, WORD))
    return code


def _with_range(context, builder, kinds, values, first, last):
    """A kernel of tasks gets the range and all arguments."""
    return [types.intp, types.intp, *kinds], [first, last, *values]


def _with_stretches(context, builder, kinds, values, first, last):
    """A kernel of elements gets that stretch of each array, and the other arguments."""
    return kinds, [
        _stretch(context, builder, kind, value, first, last)
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(kinds, values)
    ]


def _borrowed(context, builder, kind, value):
    """Arguments without their arrays' counters of references, for which threads would compete.

    The caller of `launch`, or a recording, has a reference for as long as the kernel runs.
    """
    if isinstance(kind, types.BaseTuple):
        parts = zip(kind, cgutils.unpack_tuple(builder, value), strict=True)
        borrowed = [_borrowed(context, builder, *part) for part in parts]
        return context.make_tuple(builder, kind, borrowed)
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = ir.Constant(array.meminfo.type, None)
    return array._getvalue()


def _stretch(context, builder, kind, value, first, last):
    """array[first:last] of a C-contiguous array of one axis."""
    array = context.make_array(kind)(context, builder, value)
    count = builder.sub(last, first)
    array.data = builder.gep(array.data, [first])
    array.nitems = count
    array.shape = cgutils.pack_array(builder, [count])
    return array._getvalue()
