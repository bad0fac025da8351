"""One parallel region for all workers of the matrix core.

Numba compiles a kernel into every kernel that calls it, and a parallel one is slow to compile.
A *worker* is therefore a serial kernel of one fixed signature,

    work(worker, workers, a, b, extra, c, numbers)

with flat arrays of one float type and an array of integers.  It is compiled once; the parallel
region gets its address, and one region serves all workers of a float type.

Only `gemm` imports this file.
"""

from __future__ import annotations

import numba
from numba import config, get_num_threads, types
from numba.core import cgutils
from numba.extending import intrinsic

from caffe_lite.kernels._jit import pjit, prange

__all__ = ["get_num_threads", "spread"]

_ADDRESSES = {}


@intrinsic
def _call_at(typingctx, address, worker, workers, a, b, extra, c, numbers):
    kinds = (types.int64, types.int64, a, b, extra, c, numbers)

    def generate(context, builder, signature, args):
        place, *rest = args
        kind = context.call_conv.get_function_type(types.none, kinds)
        function = builder.inttoptr(place, kind.as_pointer())
        status, _ = context.call_conv.call_function(builder, function, types.none, kinds, rest)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.int64, *kinds), generate


@pjit
def _region(address, workers, a, b, extra, c, numbers):
    for worker in prange(workers):
        _call_at(address, worker, workers, a, b, extra, c, numbers)


def _address(work, c, numbers):
    """Where the code of a worker for arrays like `c` begins; compiles it at first."""
    key = work, c.dtype
    if key not in _ADDRESSES:
        flat, index = numba.typeof(c), numba.typeof(numbers)
        signature = (types.int64, types.int64, flat, flat, flat, flat, index)
        work.compile(signature)
        compiled = work.overloads[signature]
        name = compiled.fndesc.llvm_func_name
        _ADDRESSES[key] = compiled.library.get_pointer_to_function(name)
    return _ADDRESSES[key]


def spread(work, workers, a, b, extra, c, numbers):
    """Call a worker for each `worker` in 0 .. `workers`, on as many threads.

    a, b, extra, c: flat arrays of one float type.  numbers: (any,) of int64.
    """
    if config.DISABLE_JIT:
        for worker in range(workers):
            work(worker, workers, a, b, extra, c, numbers)
    elif workers == 1:
        work(0, 1, a, b, extra, c, numbers)
    else:
        _region(_address(work, c, numbers), workers, a, b, extra, c, numbers)
