"""A step of one vector that becomes a part of the kernel which takes it.

    add_some   adds the first numbers of a vector

It is written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `_gradients` imports this file.
"""

from __future__ import annotations

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from caffe_lite.kernels._writer import VECTOR_BYTES, Writer


@intrinsic
def _add_some(typingctx, source, at, count, target, to):
    def generate(context, builder, signature, args):
        source, at, count, target, to = args
        kind = signature.args[0]
        writer = Writer(kind.dtype.bitwidth, builder)
        source, target = (
            context.make_array(kind)(context, builder, array).data for array in (source, target)
        )
        lanes = ir.Constant(writer.counts, list(range(writer.lanes)))
        most = writer.spread(builder.trunc(count, writer.counts.element))
        place = builder.gep(target, [to])
        before = writer.load(place)
        after = writer.add(before, writer.load(builder.gep(source, [at])))
        inside = builder.icmp_signed("<", lanes, most)
        writer.store(builder.select(inside, after, before), place)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, source, types.intp), generate


def _plain_add_some(source, at, count, target, to):
    count = min(count, VECTOR_BYTES // source.itemsize)
    target[to : to + count] += source[at : at + count]


add_some = _plain_add_some if config.DISABLE_JIT else _add_some
"""add_some(source, at, count, target, to): target[to + t] += source[at + t] for t < count.

A whole vector of both must exist, and no other thread may write the target's.
"""
