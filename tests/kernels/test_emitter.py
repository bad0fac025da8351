"""Every operation of the emitter, compiled and on plain values, on the same arrays."""

from __future__ import annotations

import ctypes
import itertools
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba.core.errors import TypingError

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.simd import (
    Bool,
    Doubles,
    Emitter,
    Int,
    Int32s,
    Ints,
    Library,
    Matrix,
    Pointer,
    Scalar,
    inline,
)
from caffe_lite.kernels.simd.plain import Plain, PlainPointer
from caffe_lite.kernels.simd.processor import CPU, FEATURES
from caffe_lite.kernels.simd.signature import VectorFunction

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
needs_a_compiler = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")

# -- code(e, x, y, n, out) for every operation -------------------------------------------------


def arithmetic(e, x, y, n, out):
    a, b = e.load(x), e.load(y)
    found = [a + b, a - b, a * b, -a, 2 + a, 3 - a, a - 1.5, a * 0.5, 4 * b, e.fma(a, b, a)]
    for k, value in enumerate([*found, e.fma(a, 2.0, b)]):
        e.store(value, out + k * e.lanes)


def comparisons(e, x, y, n, out):
    a, b = e.load(x), e.load(y)
    for k, mask in enumerate([a < b, a <= b, a > b, a >= b, a == b, a != b, a > 0, e.is_nan(a)]):
        e.store(e.select(mask, a, b), out + k * e.lanes)
    both, either = (a > b) & (a > 0), (a > b) | (a > 0)
    e.store(e.select(both, a, 7.0), out + 8 * e.lanes)
    e.store(e.select(either, a, 7.0), out + 9 * e.lanes)
    out[100] = e.one_or_zero(e.all(a == a))
    out[101] = e.one_or_zero(e.all(b == b))


def integers(e, x, y, n, out):
    found = [
        n + 3,
        (n - 1) + 50,
        9 - n,
        -n + 20,
        2 * n,
        n * n,
        n // 2,
        n % 3,
        n >> 1,
        n & 6,
        n | 1,
    ]
    found += [e.min(n, 2), e.max(n, 3), e.select(n > 2, n, 5), n + 0, n * 1, e.max(-n, -2) + 40]
    for k, value in enumerate(found):
        out[value] = out[value] + (k + 1)


def integer_comparisons(e, x, y, n, out):
    for k, condition in enumerate([n < 3, n <= 3, n > 3, n >= 3, n == 3, n != 3]):
        out[k] = e.select(condition, x[0], y[0])
        out[k + 10] = e.one_or_zero(condition)


def scalars(e, x, y, n, out):
    out[0], out[1], out[2] = x[n], x[n] + y[2], x[1] * y[n] - 1.5
    out[3], out[n + 4] = e.scalar(0.25), 3.0
    out[20] = e.select(x[n] > y[n], x[n], y[n])


def constants(e, x, y, n, out):
    e.store(e.constant(1.25), out)
    e.store(e.zeros(), out + e.lanes)
    e.store(e.broadcast(y[n]), out + 2 * e.lanes)
    order = e.int32s(range(e.lanes))
    e.store(e.select(order < e.broadcast(e.int32(n)), e.load(x), e.load(y)), out + 3 * e.lanes)
    e.store(e.select(e.first_lanes(n), e.load(x), e.load(y)), out + 4 * e.lanes)
    even = e.mask(lane % 2 == 0 for lane in range(e.lanes))
    e.store(e.select(even, e.load(x), e.load(y)), out + 5 * e.lanes)


def lanes(e, x, y, n, out):
    a, b = e.load(x), e.load(y)
    e.store(e.shuffle(a, b, [(3 * k + 1) % (2 * e.lanes) for k in range(e.lanes)]), out)
    e.store(e.shuffle(a, b, range(2 * e.lanes)), out + 20)
    out[60], out[61] = a[0], b[e.lanes - 1]
    half = e.of_lanes(e.lanes // 2)
    half.store(half.load(x + 1), out + 70)
    half.store(half.zeros() + half.broadcast(y[0]), out + 80)


def masked(e, x, y, n, out):
    mask = e.first_lanes(n)
    e.store(e.load_masked(x, mask, e.constant(9.0)), out)
    e.store_masked(e.load(y), out + 40, mask)
    e.prefetch(x + 100000)


def addresses(e, x, y, n, out):
    rows = Matrix(x, n)
    out[0], out[1] = rows.row(2)[0], rows.row(n)[1]
    e.store(e.load(x + (n * 2 + 1)), out + (n + 8))
    pointer = out + 30
    pointer[n] = x[0]
    (pointer + n)[1] = y[0]


def loops(e, x, y, n, out):
    for i in e.range(n):
        out[i] = x[i]
    for i in e.range(2 * n, 3):
        for j in e.range(i, 2):
            out[20 + i + j] = out[20 + i + j] + y[j]
    found = [e.scalar(0.0), e.zeros(), out + 60, 1]
    for i in e.range(n, carried=found):
        found[0] = found[0] + x[i]
        found[1] = e.fma(e.load(x + i), e.broadcast(x[i]), found[1])
        found[2][0] = y[i]
        found[2], found[3] = found[2] + 2, found[3] * 2
    out[80] = found[0]
    e.store(found[1], out + 90)
    found[2][0] = x[0]
    out[found[3] + 100] = 1.0
    again = [x[0]]
    for i in e.range(n + 1, carried=again, nonempty=True):
        again[0] = again[0] + y[i]
    out[82] = again[0]


def branches(e, x, y, n, out):
    def store(place: int, value: float) -> None:
        out[place] = value

    e.if_then(n > 2, lambda: store(0, 1.0))
    a, i = e.if_then(n > 2, lambda a, i: [a + a, i + 3], [e.load(x), n])
    e.store(a, out + 10)
    out[30 + i] = 1.0
    pointer, j = e.if_else(n == 1, lambda: [x, n], lambda: (y, 2))
    out[1], out[40 + j] = pointer[0], 1.0

    def nested() -> None:
        e.if_else(n > 3, lambda: store(2, 1.0), lambda: store(2, 2.0))

    e.if_else(n > 1, nested, lambda: store(2, 3.0))


def switches(e, x, y, n, out):
    def store(place: int, value: float) -> None:
        out[place] = value

    e.switch((n == k, lambda k=k: store(0, 10.0 + k)) for k in (1, 3, 3))
    cases = [(n > 3, 1.0), (False, 2.0), (n > 1, 3.0), (True, 4.0), (n == 0, 5.0)]
    e.switch((condition, lambda v=v: store(1, v)) for condition, v in cases)


OPERATIONS = [
    arithmetic,
    comparisons,
    integers,
    integer_comparisons,
    scalars,
    constants,
    lanes,
    masked,
    addresses,
    loops,
    branches,
    switches,
]


def declared(code: Any) -> VectorFunction:
    code.__annotations__ = {"x": "Pointer", "y": "Pointer", "n": "Int", "out": "Pointer"}
    return VectorFunction.of(code, {})


def compiled(function: VectorFunction, bits: int) -> Any:
    """The function as compiled code that Python can call with arrays."""
    library = Library("test_emitter")
    library.functions["code"] = function
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=CPU, features=FEATURES, opt=3, jit=True)
    engine = llvm.create_mcjit_compiler(library.module(bits), machine)
    engine.finalize_object()
    address = engine.get_function_address(f"code_{bits}")
    kinds = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
    call = ctypes.CFUNCTYPE(None, *kinds)(address)

    def run(x: Any, y: Any, n: int, out: Any) -> None:
        call(x.ctypes.data, y.ctypes.data, n, out.ctypes.data)

    run.engine = engine  # in whose memory the code is
    return run


def drawn(dtype: Any) -> tuple[Any, Any]:
    """Numbers of few digits, so that no product is rounded."""
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-20, 20, 64).astype(dtype) / 4 for _ in range(2))
    x[2], x[3], y[1] = np.nan, y[3], -np.inf
    return x, y


def compare(code: Any, dtype: Any) -> None:
    function, (x, y) = declared(code), drawn(dtype)
    run = compiled(function, 8 * np.dtype(dtype).itemsize)
    for n in range(6):
        wanted, found = np.full((2, 180), -1.0, dtype)
        function.run(x, y, n, wanted)
        run(x, y, n, found)
        assert (wanted != -1).any()
        np.testing.assert_array_equal(found, wanted, err_msg=f"n = {n}")


@needs_a_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("code", OPERATIONS, ids=lambda code: code.__name__)
def test_compiled_code_does_what_plain_values_give(code, dtype) -> None:
    compare(code, dtype)


@needs_a_compiler
def test_the_comparison_rejects_a_wrong_variant() -> None:
    def wrong(e, x, y, n, out):
        a, b = e.load(x), e.load(y)
        e.store(a - b if isinstance(e, Plain) else b - a, out)

    with pytest.raises(AssertionError, match="n = 0"):
        compare(wrong, np.float32)


def test_plain_values_give_what_numpy_gives() -> None:
    def code(e, x, y, n, out):
        total = [e.zeros()]
        for i in e.range(3 * e.lanes, e.lanes, carried=total):
            total[0] = e.fma(e.load(x + i), e.load(y + i), total[0])
        e.store(total[0], out)

    x, y = np.arange(48.0), np.arange(48.0) % 7
    e, out = Plain(np.float64), np.zeros(16)
    declared(code).run(x, y, 0, out)
    products = (x * y)[: 3 * e.lanes].reshape(3, e.lanes)
    np.testing.assert_array_equal(out[: e.lanes], products.sum(axis=0))


# -- what is refused -----------------------------------------------------------------------------


@needs_a_compiler
def test_a_condition_of_emitted_code_has_no_truth_value() -> None:
    def code(e, x, y, n, out):
        if n > 2:
            out[0] = 1.0

    with pytest.raises(TypeError, match="use select, if_then or switch"):
        compiled(declared(code), 32)


@needs_a_compiler
def test_what_a_loop_changes_must_be_carried() -> None:
    def code(e, x, y, n, out):
        total = [e.zeros()]
        for i in e.range(n):
            total[0] = total[0] + e.load(x + i)
        e.store(total[0], out)

    with pytest.raises(RuntimeError, match="dominate"):
        compiled(declared(code), 32)


def test_plain_pointers_check_their_bounds() -> None:
    array = np.arange(10.0)
    pointer = PlainPointer.to(array[4:])
    assert (pointer[0], pointer[-4]) == (4, 0)  # what is before it in the whole can be reached
    for place in (-5, 6):
        with pytest.raises(IndexError, match="of 10"):
            pointer[place]
    with pytest.raises(IndexError, match="elements 8 to"):
        Plain(np.float64, 4).load(pointer + 4)
    far = pointer + 1000  # no error before it is read
    with pytest.raises(IndexError):
        far[0] = 1


def test_a_plain_loop_that_is_said_to_be_not_empty_must_not_be() -> None:
    with pytest.raises(ValueError, match="not empty"):
        Plain(np.float32).range(0, nonempty=True)


def test_a_library_has_no_two_functions_of_a_name() -> None:
    library = Library("test_names")

    def code(e: Emitter, x: Pointer) -> None:
        pass

    library.function(code)
    library.function(code, name="other")
    with pytest.raises(ValueError, match="two of this name"):
        library.function(code)


# -- what kernels give ---------------------------------------------------------------------------


class Pair(NamedTuple):
    """Arguments that belong together."""

    start: Pointer
    count: Int


# Its object file is kept under a name that is new with every edit.
LIBRARY = Library(f"test_arguments_{zlib.crc32(Path(__file__).read_bytes()):x}")


@LIBRARY.function
def every_kind(
    e: Emitter, x: Matrix, pair: Pair, flag: Bool, factor: Scalar, whole: Ints, out: Pointer
) -> None:
    for i in e.range(pair.count):
        out[i] = e.select(flag, pair.start[i], x.row(1)[i]) * factor
    out[whole[1]] = 5.0


@LIBRARY.function
def other_arrays(e: Emitter, x: Pointer, small: Int32s, wide: Doubles) -> None:
    total = e.doubles(e.load(x)) + e.zero_doubles()
    e.store(total + e.load(wide), wide)
    e.store(e.load(small) + e.int32s(range(e.lanes)), small)


@inline
def first_of_two(e: Emitter, x: Pointer, n: Int, out: Pointer) -> None:
    for i in e.range(n, 2):
        out[i] = x[i]


LIBRARY.link()


@jit
def give_every_kind(x, n, flag, factor, whole, out):
    every_kind(Matrix(x[2:], n), Pair(x, n + 1), flag, factor, whole[1:], out[3:])


@jit
def give_other_arrays(x, small, wide):
    other_arrays(x, small, wide)


@jit
def give_inline(x, n, out):
    first_of_two(x, n, out)


@jit
def give_wrong_array(x, out):
    first_of_two(x, 2, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_argument(dtype) -> None:
    for flag, n in itertools.product((False, True), (1, 4)):
        x, out = np.arange(20, dtype=dtype), np.zeros(20, dtype)
        give_every_kind(x, n, flag, dtype(0.5), np.array([9, 9, 12]), out)
        wanted = np.zeros(20, dtype)
        wanted[3 : n + 4] = (x if flag else x[2 + n :])[: n + 1] / 2
        wanted[15] = 5
        np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_of_other_types(dtype) -> None:
    lanes = Plain(dtype).lanes
    x, small, wide = np.arange(20, dtype=dtype) / 3, np.full(20, 7, np.int32), np.full(20, 0.25)
    give_other_arrays(x, small, wide)
    np.testing.assert_array_equal(small, 7 + np.where(np.arange(20) < lanes, np.arange(20), 0))
    added = np.where(np.arange(20) < lanes, x.astype(np.float64), 0)
    np.testing.assert_array_equal(wide, 0.25 + added)


def test_code_in_the_kernel_itself() -> None:
    x, out = np.arange(9, dtype=np.float32) + 1, np.zeros(9, np.float32)
    give_inline(x, 5, out)
    np.testing.assert_array_equal(out, [1, 0, 3, 0, 5, 0, 0, 0, 0])


@needs_a_compiler
def test_an_array_of_another_type_is_refused() -> None:
    with pytest.raises(TypingError, match="not a C-contiguous array of float32"):
        give_wrong_array(np.zeros(4, np.float32), np.zeros(4))
