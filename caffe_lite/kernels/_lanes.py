"""Steps of one vector that become a part of the kernel which takes them.

    add_some   adds the first numbers of a vector
    maxima     the greatest number of each window of a row of windows

Each is written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `_gradients` and `pooling` import this file.
"""

from __future__ import annotations

import numpy as np
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


def _strided(writer, place, stride):
    """A vector of every `stride`-th number; `stride` is 1 or 2, or else a value of LLVM's."""
    builder, lanes = writer.builder, writer.lanes
    if stride == 1:
        return writer.load(place)
    if stride == 2:
        pair = writer.load(place), writer.load(writer.step(place, lanes))
        return writer.choose(*pair, list(range(0, 2 * lanes, 2)))
    numbers = writer.zeros()
    for lane in range(lanes):
        number = builder.load(writer.step(place, lane, stride))
        numbers = builder.insert_element(numbers, number, ir.Constant(ir.IntType(32), lane))
    return numbers


def _take_greater(writer, best, value):
    """The greater of two pairs (numbers, steps); of equal ones, and of two NaN, the first."""
    builder = writer.builder
    greater = builder.fcmp_unordered(">", value[0], best[0])
    better = builder.and_(greater, builder.fcmp_ordered("ord", best[0], best[0]))
    return [builder.select(better, new, old) for new, old in zip(value, best)]


def _write_maxima(writer, load, source, offsets, steps, taps, stride, y, places, base, count):
    """A loop over the vectors of a row, in it one over both halves of the taps side by side.

    One comparison waits for the one before; two rows of them take half of the time.
    """
    builder = writer.builder
    small = writer.counts.element
    lanes = ir.Constant(writer.counts, list(range(writer.lanes)))
    along = builder.mul(writer.spread(builder.trunc(stride, small)), lanes)
    half, one = builder.sdiv(taps, writer.index(2)), writer.index(1)

    def vector(q, _):
        origin = builder.gep(source, [builder.mul(q, stride)])

        def pair(t):
            value = load(builder.gep(origin, [builder.load(builder.gep(offsets, [t]))]))
            if places is None:
                return [value]
            step = builder.trunc(builder.load(builder.gep(steps, [t])), small)
            return [value, writer.spread(step)]

        def tap(t, now):
            t = builder.add(t, one)
            many = len(now) // 2
            upper = _take_greater(writer, now[:many], pair(t))
            return upper + _take_greater(writer, now[many:], pair(builder.add(t, half)))

        start = pair(writer.index(0)) + pair(half)
        found = writer.count_up(builder.sub(half, one), 1, start, tap)
        many = len(found) // 2
        best = _take_greater(writer, found[:many], found[many:])
        best = _take_greater(writer, best, pair(builder.sub(taps, one)))  # of an odd number
        writer.store(best[0], builder.gep(y, [q]))
        if places is not None:
            begin = builder.trunc(builder.add(base, builder.mul(q, stride)), small)
            place = builder.add(best[1], builder.add(writer.spread(begin), along))
            where = builder.bitcast(builder.gep(places, [q]), writer.counts.as_pointer())
            builder.store(place, where, align=4)
        return []

    writer.count_up(count, writer.lanes, [], vector)


@intrinsic
def _maxima(typingctx, source, at, offsets, steps, taps, stride, y, places, to, base, count):
    def generate(context, builder, signature, args):
        source, at, offsets, steps, taps, stride, y, places, to, base, count = args
        kinds = signature.args
        writer = Writer(kinds[0].dtype.bitwidth, builder)

        def start(number, value):
            return context.make_array(kinds[number])(context, builder, value).data

        wanted = context.make_array(kinds[7])(context, builder, places).nitems
        wanted = builder.icmp_signed(">", wanted, writer.index(0))
        place = builder.gep(start(0, source), [at])
        offsets, steps = start(2, offsets), start(3, steps)
        y, places = (builder.gep(start(n, array), [to]) for n, array in ((6, y), (7, places)))
        other = builder.icmp_signed(">", stride, writer.index(2))
        for step in (1, 2, stride):
            fits = (
                other if step is stride else builder.icmp_signed("==", stride, writer.index(step))
            )
            for some, chosen in ((places, wanted), (None, builder.not_(wanted))):
                with builder.if_then(builder.and_(fits, chosen)):
                    _write_maxima(
                        writer,
                        lambda where, step=step: _strided(writer, where, step),
                        place,
                        offsets,
                        steps,
                        taps,
                        stride,
                        y,
                        some,
                        base,
                        count,
                    )
        return context.get_dummy_value()

    numbers = types.intp, types.intp, types.intp
    given = source, types.intp, offsets, steps, types.intp, types.intp, y, places, *numbers
    return types.void(*given), generate


def _plain_maxima(source, at, offsets, steps, taps, stride, y, places, to, base, count):
    reach = (count - 1) * stride + 1
    for t in range(taps):
        value = source[at + offsets[t] :][:reach:stride]
        if t == 0:
            best, onward = value.copy(), np.zeros(count, np.int64)
        better = (value > best) | (np.isnan(value) & ~np.isnan(best))
        best[better], onward[better] = value[better], steps[t]
    y[to : to + count] = best
    if places.size:
        places[to : to + count] = base + stride * np.arange(count) + onward


maxima = _plain_maxima if config.DISABLE_JIT else _maxima
"""maxima(source, at, offsets, steps, taps, stride, y, places, to, base, count).

y[to + j] = the greatest source[at + j stride + offsets[t]] of all taps t, for j < count, and
places[to + j] = base + j stride + steps[t] of the first tap that is so great, if there are places.
NaN is greater than all numbers.  steps[0] is 0.  Whole vectors are read and written.
"""
