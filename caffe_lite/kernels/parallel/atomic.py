"""Words of memory that several threads read and write: an int64 array, and an index into it.

Each operation is sequentially consistent.  `call` and `call_with_five` call a C function by its
address.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WORD = ir.IntType(64)


def _word(context, builder, signature, args):
    """The address of the word that the first two arguments name."""
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


@intrinsic
def load(typingctx, array, index):
    """The word."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_word(context, builder, signature, args), "seq_cst", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def store(typingctx, array, index, value):
    """Replace the word."""

    def generate(context, builder, signature, args):
        word = _word(context, builder, signature, args)
        builder.store_atomic(args[2], word, "seq_cst", 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.int64), generate


def _read_and_write(operation):
    def typed(typingctx, array, index, value):
        def generate(context, builder, signature, args):
            word = _word(context, builder, signature, args)
            return builder.atomic_rmw(operation, word, args[2], "seq_cst")

        return types.int64(array, types.intp, types.int64), generate

    return intrinsic(typed)


add = _read_and_write("add")
"""add(array, index, value): add to the word; returns what it was."""
exchange = _read_and_write("xchg")
"""exchange(array, index, value): replace the word; returns what it was."""


@intrinsic
def compare_exchange(typingctx, array, index, expected, value):
    """Replace the word if it is as expected, and say whether it was."""

    def generate(context, builder, signature, args):
        word = _word(context, builder, signature, args)
        answer = builder.cmpxchg(word, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(answer, 1)

    return types.boolean(array, types.intp, types.int64, types.int64), generate


@intrinsic
def pause(typingctx):
    """Tell the processor that this is a loop that waits."""

    def generate(context, builder, signature, args):
        if builder.module.triple.startswith(("x86", "i686")):
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.none(), generate


def _call(context, builder, signature, args):
    """Call the C function at the address that is the first argument, with the others."""
    kind = ir.FunctionType(WORD, [WORD] * (len(args) - 1))
    return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])


@intrinsic
def call(typingctx, address, a, b, c):
    """Call the C function at an address with three words; returns the word it returns."""
    return types.int64(*[types.int64] * 4), _call


@intrinsic
def call_with_five(typingctx, address, a, b, c, d, e):
    """Call the C function at an address with five words; returns the word it returns."""
    return types.int64(*[types.int64] * 6), _call


@intrinsic
def words_at(typingctx, address):
    """A pointer to the words at an address."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int64)(types.int64), generate
