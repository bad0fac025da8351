from __future__ import annotations

import os

import numpy as np
import pytest

from caffe_lite.kernels import conv as kernel
from caffe_lite.kernels.conv import Algorithm, algorithm, implicit_gemm
from caffe_lite.kernels.epilogue import NO_EPILOGUE, Epilogue, completion
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.neuron import relu_forward
from caffe_lite.kernels.parallel import get_num_threads, set_num_threads
from tests.oracles import convolution as oracle

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
THREADS = get_num_threads()

# items, channels, spatial, outputs, groups, kernel, stride, pad, dilation
SMALL = [
    (1, 1, (1, 1), 1, 1, (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 3, (4, 19), 5, 1, (1, 3), (1, 1), (0, 1), (1, 1)),  # rows longer than a vector
    (1, 2, (9, 8), 3, 1, (3, 2), (4, 5), (0, 0), (1, 1)),  # strides larger than the kernel
    (2, 2, (3, 4), 3, 1, (2, 2), (1, 2), (2, 3), (1, 1)),  # padding larger than the kernel
    (1, 2, (5, 7), 2, 1, (2, 3), (2, 1), (3, 4), (4, 5)),  # dilation and padding
    (1, 4, (5, 6), 2, 2, (5, 6), (1, 1), (0, 0), (1, 1)),  # the kernel is the image
    (2, 3, (5, 4), 17, 1, (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 4, (4, 5), 6, 2, (1, 1), (1, 1), (0, 0), (1, 1)),
    (1, 3, (4, 5), 2, 1, (1, 1), (1, 1), (1, 2), (1, 1)),  # padding alone
    (2, 4, (5, 11), 6, 2, (1, 1), (3, 4), (0, 0), (1, 1)),  # a stride alone
    (1, 3, (6, 9), 4, 1, (1, 1), (1, 2), (0, 0), (1, 1)),
    (1, 3, (4, 9), 2, 1, (1, 1), (3, 2), (1, 2), (1, 1)),  # a stride and padding
    (2, 3, (10,), 4, 1, (1,), (2,), (0,), (1,)),
    (2, 3, (5, 7), 6, 3, (3, 2), (2, 1), (1, 1), (1, 2)),
    (1, 2, (12, 11), 3, 1, (3, 2), (1, 1), (1, 0), (1, 1)),  # where the gradient is a convolution
    (1, 2, (12, 11), 3, 1, (2, 2), (1, 1), (3, 2), (1, 1)),  # back with negative padding
    (2, 3, (9,), 4, 1, (4,), (2,), (1,), (1,)),
    (1, 2, (4, 3, 5), 4, 2, (2, 1, 3), (2, 1, 1), (1, 0, 2), (1, 2, 2)),
]
LARGE = [  # several blocks of pixels, of channels, of rows, of weights
    (2, 3, (40, 33), 20, 1, (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 64, (9, 8), 33, 1, (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 300, (6, 5), 70, 1, (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 2, (3, 600), 3, 1, (1, 3), (1, 2), (0, 1), (1, 1)),
    (40, 3, (3, 4), 16, 1, (3, 4), (1, 1), (0, 0), (1, 1)),
    (1, 2, (30, 28), 3, 1, (3, 3), (1, 1), (12, 12), (12, 12)),
    (7, 20, (6, 7), 30, 1, (2, 3), (1, 1), (0, 1), (1, 1)),  # several images in a block
    (7, 20, (6, 7), 30, 1, (1, 1), (1, 1), (0, 0), (1, 1)),
    (3, 40, (15, 14), 50, 1, (1, 1), (2, 2), (0, 0), (1, 1)),  # rows that no tap reads
]
DEPTHWISE = [  # groups are the channels
    (2, 3, (6, 7), 3, 3, (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 2, (9, 40), 4, 2, (3, 5), (1, 1), (1, 2), (1, 1)),  # two outputs for a channel
    (2, 3, (9, 8), 3, 3, (3, 2), (2, 3), (1, 0), (1, 1)),
    (1, 2, (5, 7), 2, 2, (2, 3), (2, 1), (3, 4), (4, 5)),
    (1, 2, (7, 9), 4, 2, (2, 1), (3, 2), (0, 0), (1, 1)),  # strides larger than the kernel
    (1, 3, (4, 5), 3, 3, (1, 1), (1, 1), (2, 1), (1, 1)),  # padding alone
    (3, 2, (6,), 2, 2, (3,), (2,), (1,), (1,)),
]
EACH = {  # one for each algorithm, and the two kinds of its last
    Algorithm.EXPLICIT_GEMM: (2, 2, (3, 4, 5), 4, 2, (2, 1, 3), (1, 1, 1), (0, 0, 1), (1, 1, 1)),
    Algorithm.DEPTHWISE: (2, 3, (6, 7), 6, 3, (3, 3), (2, 1), (1, 1), (1, 1)),
    Algorithm.POINTWISE: (2, 9, (5, 7), 15, 1, (1, 1), (2, 2), (0, 0), (1, 1)),
    Algorithm.WINOGRAD: (2, 8, (9, 7), 9, 1, (3, 3), (1, 1), (1, 1), (1, 1)),
    Algorithm.IMPLICIT_GEMM: (2, 3, (6, 7), 5, 1, (3, 2), (2, 1), (1, 1), (1, 2)),
    Algorithm.INNER_PRODUCT: (2, 9, (3, 4), 15, 1, (3, 4), (2, 1), (0, 0), (1, 1)),
}
POINT = (2, 9, (5, 7), 15, 1, (1, 1), (1, 1), (0, 0), (1, 1))
CASES = [*EACH.items(), (Algorithm.IMPLICIT_GEMM, POINT)]


def setting(items, channels, spatial, outputs, group, *sizes, dtype=np.float32):
    rng, window = np.random.default_rng(0), Window(*sizes)
    out = window.output(spatial)
    arrays = {
        "x": (items, channels, *spatial),
        "w": (outputs, channels // group, *window.kernel),
        "b": (outputs,),
        "dy": (items, outputs, *out),
    }
    drawn = {name: rng.standard_normal(shape).astype(dtype) for name, shape in arrays.items()}
    size = kernel.work_size(window, group, arrays["x"], arrays["w"], arrays["dy"])
    return drawn, group, window, np.full(size, np.nan, dtype)


def run(case, dtype=np.float32):
    """The three results of the kernels, from memory full of NaN."""
    drawn, group, window, work = setting(*case, dtype=dtype)
    x, w, b, dy = drawn.values()
    y, dx, dw = np.full_like(dy, np.nan), np.full_like(x, np.nan), np.zeros_like(w)
    kernel.convolution_forward(x, w, b, group, window, work, y)
    kernel.convolution_backward(dy, w, b[:0], group, window, work, dx)
    kernel.convolution_backward_params(x, dy, group, window, work, dw)
    return y, dx, dw


@pytest.mark.parametrize(
    "case",
    SMALL + DEPTHWISE + [EACH[a] for a in (Algorithm.WINOGRAD, Algorithm.INNER_PRODUCT)],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_ones_are_the_definition(case, dtype) -> None:
    drawn, group, window, _ = setting(*case, dtype=dtype)
    x, w, b, dy = (array.astype(np.float64) for array in drawn.values())
    y, dx, dw = run(case, dtype)
    close = {"atol": 4e-5 if dtype == np.float32 else 1e-12, "rtol": 0}
    np.testing.assert_allclose(y, oracle.convolution(x, w, b, group, window), **close)
    np.testing.assert_allclose(dw, oracle.weight_gradient(x, dy, w.shape, group, window), **close)
    # The gradient by x is the transpose: <dx, u> = <dy, convolution(u)> for any u.
    u = np.random.default_rng(1).standard_normal(x.shape)
    slope = np.vdot(dy, oracle.convolution(u, w, None, group, window))
    assert np.vdot(dx, u) == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_large_ones_agree_with_columns_for_any_number_of_threads(case) -> None:
    drawn, _, window, _ = setting(*case)
    x, w, b, dy = (array.astype(np.float64) for array in drawn.values())
    columns = np.empty((x.shape[0], x.shape[1] * w[0, 0].size, *dy.shape[2:]))
    kernel.im2col(x, window, columns)
    dcolumns = np.einsum("oc,nohw->nchw", w.reshape(w.shape[0], -1), dy)
    wanted = [
        np.einsum("oc,nchw->nohw", w.reshape(w.shape[0], -1), columns) + b[:, None, None],
        np.empty(x.shape),
        np.einsum("nohw,nchw->oc", dy, columns).reshape(w.shape),
    ]
    kernel.col2im(dcolumns, window, wanted[1])
    found = []
    for threads in (1, 2):
        set_num_threads(min(threads, THREADS))
        found.append(run(case))
    set_num_threads(THREADS)
    for one, two, want in zip(*found, wanted):
        np.testing.assert_allclose(one, want, atol=2e-6 * np.abs(want).max(), rtol=0)
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("chosen", "case"), CASES, ids=str)
def test_the_gradients_of_each_algorithm_are_its_transpose(chosen, case) -> None:
    """<dy, convolution(u)> = <dx, u> and = <dw, w> for the u that was convolved."""
    drawn, group, window, work = setting(*case, dtype=np.float64)
    x, w, b, dy = drawn.values()
    assert algorithm(window, group, x.shape, dy.shape) == chosen
    _, dx, dw = run(case, np.float64)
    y = np.empty_like(dy)
    kernel.convolution_forward(x, w, b[:0], group, window, work, y)
    assert np.vdot(dx, x) == pytest.approx(np.vdot(dy, y))
    assert np.vdot(dw, w) == pytest.approx(np.vdot(dy, y))


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_epilogue_is_what_separate_layers_give(case, dtype) -> None:
    drawn, group, window, work = setting(*case, dtype=dtype)
    x, w, b, dy = drawn.values()
    rng, none = np.random.default_rng(1), np.empty(0, dtype)
    plain, back = np.empty_like(dy), np.empty_like(x)
    kernel.convolution_forward(x, w, b, group, window, work, plain)
    kernel.convolution_backward(dy, w, none, group, window, work, back)
    for apart, function, source, bias in (
        (plain, kernel.convolution_forward, x, b),
        (back, kernel.convolution_backward, dy, none),
    ):
        channels = (-1, *(1,) * (apart.ndim - 2))
        scale, shift = rng.standard_normal((2, apart.shape[1])).astype(dtype)
        for slope, limit in ((0.0, None), (0.25, 0.5)):
            fused, cut = np.empty_like(apart), np.inf if limit is None else limit
            epilogue = Epilogue(none, none, slope, limit)
            function(source, w, bias, group, window, work, fused, epilogue)
            wanted = np.empty_like(apart)
            relu_forward(apart, slope, wanted)
            np.testing.assert_array_equal(fused, np.minimum(wanted, cut))
            for factor, summand in ((scale, shift), (scale, none), (none, shift)):
                epilogue = Epilogue(factor, summand, slope, limit)
                function(source, w, bias, group, window, work, fused, epilogue)
                wanted = apart * factor.reshape(channels) if factor.size else apart.copy()
                wanted += summand.reshape(channels) if summand.size else 0
                relu_forward(wanted, slope, wanted)
                close = {"atol": 1e-4 if dtype == np.float32 else 1e-12}
                np.testing.assert_allclose(fused, np.minimum(wanted, cut), rtol=0, **close)


@pytest.mark.skipif(not COMPILED, reason="too slow without a compiler")
@pytest.mark.parametrize("case", [(2, 64, (13, 14), 40, 2), (1, 256, (13, 13), 96, 1)], ids=str)
def test_the_error_of_winograd_against_float64(case) -> None:
    case = (*case, (3, 3), (1, 1), (1, 1), (1, 1))
    found = [run(case), run(case)]
    set_num_threads(1)
    found.append(run(case))
    set_num_threads(THREADS)
    drawn, group, window, _ = setting(*case)
    x, w, b, dy = (array.astype(np.float64) for array in drawn.values())
    assert algorithm(window, group, x.shape, dy.shape) == Algorithm.WINOGRAD
    numbers = 3, 3, 1, 1, 1, 1, 1, 1
    y, dx = np.empty_like(dy), np.empty_like(x)
    extra = completion(b, NO_EPILOGUE, w.shape[0], np.float64)
    implicit_gemm.forward(x, w, False, extra, group, numbers, y)
    nothing = completion(b[:0], NO_EPILOGUE, x.shape[1], np.float64)
    implicit_gemm.forward(dy, w, True, nothing, group, numbers, dx)
    for results in found:
        for got, same, want in zip(results, found[0], (y, dx)):
            np.testing.assert_array_equal(got, same)
            np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 * np.abs(want).max())


def test_backward_adds_a_bias_for_deconvolution() -> None:
    drawn, group, window, work = setting(*SMALL[3])
    x, w, _, dy = drawn.values()
    bias = np.arange(x.shape[1], dtype=x.dtype)
    plain, shifted = np.empty_like(x), np.empty_like(x)
    kernel.convolution_backward(dy, w, bias[:0], group, window, work, plain)
    kernel.convolution_backward(dy, w, bias, group, window, work, shifted)
    np.testing.assert_allclose(shifted, plain + bias[:, None, None], atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_only_the_outputs_over_them(bad) -> None:
    drawn, group, window, work = setting(1, 2, (6, 7), 3, 1, (3, 3), (1, 1), (1, 1), (1, 1))
    x, w, b, y = drawn.values()
    x[0, 1, 0, 2] = bad
    with np.errstate(all="ignore"):
        kernel.convolution_forward(x, w, b, group, window, work, y)
    reached = ~np.isfinite(y)
    assert reached[:, :, :2, 1:4].all()
    assert reached.sum() == 3 * 6


def test_no_items_give_no_outputs() -> None:
    case = (0, *SMALL[1][1:])
    y, dx, dw = run(case)
    assert y.size == dx.size == 0
    np.testing.assert_array_equal(dw, 0)


SAME = Window((3, 3), (1, 1), (1, 1), (1, 1))
WIDE = Window((5, 5), (1, 1), (2, 2), (1, 1))
POINTS = Window((1, 1), (1, 1), (0, 0), (1, 1))


@pytest.mark.parametrize(
    ("window", "group", "x", "outputs", "expected"),
    [
        (SAME, 1, (1, 4, 20, 20), 6, Algorithm.IMPLICIT_GEMM),
        (SAME, 2, (1, 4, 20, 20), 6, Algorithm.IMPLICIT_GEMM),
        (SAME, 1, (1, 1, 20, 20), 6, Algorithm.IMPLICIT_GEMM),
        (SAME, 4, (1, 4, 20, 20), 8, Algorithm.DEPTHWISE),
        (SAME, 1, (1, 8, 9, 13), 8, Algorithm.WINOGRAD),
        (SAME, 1, (2, 8, 5, 8), 8, Algorithm.WINOGRAD),
        (SAME, 1, (1, 8, 9, 8), 8, Algorithm.IMPLICIT_GEMM),  # six tiles
        (SAME, 1, (9, 8, 2, 2), 8, Algorithm.WINOGRAD),
        (SAME, 1, (9, 8, 2, 1), 8, Algorithm.IMPLICIT_GEMM),  # an eighth of nine tiles
        (SAME, 1, (1, 7, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (SAME, 2, (1, 16, 20, 20), 14, Algorithm.IMPLICIT_GEMM),
        (SAME, 2, (1, 16, 20, 20), 16, Algorithm.WINOGRAD),
        (SAME._replace(pad=(0, 2)), 1, (1, 8, 20, 20), 8, Algorithm.WINOGRAD),
        (SAME._replace(pad=(1, 3)), 1, (1, 8, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (SAME._replace(stride=(1, 2)), 1, (1, 8, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (SAME._replace(dilation=(2, 1)), 1, (1, 8, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (SAME._replace(kernel=(3, 5)), 1, (1, 8, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (POINTS, 1, (7, 4, 1, 1), 6, Algorithm.INNER_PRODUCT),
        (POINTS, 1, (8, 4, 1, 1), 6, Algorithm.IMPLICIT_GEMM),  # many items
        (POINTS, 2, (7, 4, 1, 1), 6, Algorithm.IMPLICIT_GEMM),
        (POINTS._replace(kernel=(5, 3)), 1, (1, 4, 5, 3), 6, Algorithm.INNER_PRODUCT),
        (POINTS._replace(kernel=(5, 3)), 1, (1, 4, 6, 3), 6, Algorithm.IMPLICIT_GEMM),
        (SAME, 1, (1, 4, 3, 3), 6, Algorithm.IMPLICIT_GEMM),
        (WIDE, 1, (1, 8, 9, 13), 8, Algorithm.WINOGRAD),
        (WIDE, 1, (1, 8, 4, 7), 8, Algorithm.WINOGRAD),
        (WIDE, 1, (1, 8, 4, 6), 8, Algorithm.IMPLICIT_GEMM),  # six tiles
        (WIDE, 1, (9, 8, 2, 1), 8, Algorithm.WINOGRAD),
        (WIDE, 1, (9, 8, 1, 1), 8, Algorithm.IMPLICIT_GEMM),  # a quarter of nine tiles
        (WIDE, 1, (1, 7, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (WIDE, 2, (1, 16, 20, 20), 16, Algorithm.WINOGRAD),
        (WIDE._replace(pad=(0, 4)), 1, (1, 8, 20, 20), 8, Algorithm.WINOGRAD),
        (WIDE._replace(pad=(1, 5)), 1, (1, 8, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (WIDE._replace(stride=(2, 1)), 1, (1, 8, 20, 20), 8, Algorithm.IMPLICIT_GEMM),
        (Window((1, 1), (1, 1), (0, 0), (1, 1)), 1, (1, 4, 5, 6), 6, Algorithm.IMPLICIT_GEMM),
        (Window((1, 1), (1, 1), (0, 0), (3, 3)), 2, (1, 4, 5, 6), 6, Algorithm.IMPLICIT_GEMM),
        (Window((1, 1), (2, 1), (0, 0), (1, 1)), 1, (1, 4, 5, 6), 6, Algorithm.POINTWISE),
        (Window((1, 1), (2, 1), (1, 0), (1, 1)), 1, (1, 4, 5, 6), 6, Algorithm.IMPLICIT_GEMM),
        (Window((1, 1), (1, 1), (0, 1), (1, 1)), 1, (1, 4, 5, 6), 6, Algorithm.IMPLICIT_GEMM),
        (Window((1,), (1,), (0,), (1,)), 1, (1, 4, 5), 6, Algorithm.IMPLICIT_GEMM),
        (Window((), (), (), ()), 1, (1, 4), 6, Algorithm.INNER_PRODUCT),
        (
            Window((1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
            1,
            (1, 4, 5, 6, 7),
            6,
            Algorithm.EXPLICIT_GEMM,
        ),
    ],
)
def test_the_choice_of_an_algorithm(window, group, x, outputs, expected) -> None:
    y = (x[0], outputs, *window.output(x[2:]))
    assert algorithm(window, group, x, y) == expected


def test_when_the_gradient_is_a_convolution() -> None:
    same = Window((3, 3), (1, 1), (1, 1), (1, 1))
    assert kernel.gradient_is_convolution(same, (7, 9), (7, 9))
    assert not kernel.gradient_is_convolution(
        same._replace(pad=(0, 0)), (7, 9), (5, 7)
    )  # many pixels for few
    assert not kernel.gradient_is_convolution(same._replace(stride=(1, 2)), (7, 9), (7, 5))


def test_im2col_and_its_transpose() -> None:
    window = Window((3, 2), (2, 1), (1, 2), (1, 3))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 6, 7))
    columns = np.empty((2, 18, *window.output((6, 7))))
    kernel.im2col(x, window, columns)
    np.testing.assert_array_equal(columns, oracle.im2col(x, window))
    weights, back = rng.standard_normal(columns.shape), np.empty_like(x)
    kernel.col2im(weights, window, back)
    assert np.vdot(back, x) == pytest.approx(np.vdot(weights, columns))


def test_bias_gradient_is_added() -> None:
    dy = np.random.default_rng(0).standard_normal((3, 4, 5, 2))
    db = np.ones(4)
    kernel.bias_backward(dy, db)
    np.testing.assert_allclose(db, 1 + dy.sum(axis=(0, 2, 3)))


def wrong_variants(x, w, b):
    yield oracle.convolution(x, w[:, :, ::-1, ::-1], b, 1, PLAIN)  # a true convolution
    yield oracle.convolution(x, w.swapaxes(2, 3), b, 1, PLAIN)
    yield oracle.convolution(x, w, None, 1, PLAIN)


PLAIN = Window((3, 3), (1, 1), (0, 0), (1, 1))


def test_the_oracles_reject_wrong_variants() -> None:
    drawn, group, window, work = setting(1, 2, (5, 6), 3, 1, *PLAIN, dtype=np.float64)
    x, w, b, y = drawn.values()
    kernel.convolution_forward(x, w, b, group, window, work, y)
    np.testing.assert_allclose(y, oracle.convolution(x, w, b, 1, PLAIN))
    for wrong in wrong_variants(x, w, b):
        assert not np.allclose(y, wrong)


def test_the_deconvolution_oracle_rejects_swapped_strides() -> None:
    drawn, group, window, work = setting(
        1, 2, (6, 9), 3, 1, (2, 3), (2, 3), (0, 0), (1, 1), dtype=np.float64
    )
    x, w, b, dy = drawn.values()
    dx = np.empty_like(x)
    kernel.convolution_backward(dy, w, b[:0], group, window, work, dx)
    np.testing.assert_allclose(dx, oracle.deconvolution(dy, w, None, 1, window))
    wrong = oracle.deconvolution(dy, w, None, 1, window._replace(stride=(3, 2)))
    assert wrong.shape != dx.shape


def test_the_weight_gradient_oracle_rejects_another_sample() -> None:
    drawn, group, window, work = setting(2, 2, (5, 6), 3, 1, *PLAIN, dtype=np.float64)
    x, w, _, dy = drawn.values()
    dw = np.zeros_like(w)
    kernel.convolution_backward_params(x, dy, group, window, work, dw)
    assert not np.allclose(dw, oracle.weight_gradient(x[::-1], dy, w.shape, 1, window))


def test_the_im2col_oracle_rejects_swapped_padding() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 6))
    columns = np.empty((1, 18, 5, 8))
    kernel.im2col(x, Window((3, 3), (1, 1), (1, 2), (1, 1)), columns)
    wrong = oracle.im2col(x, Window((3, 3), (1, 1), (2, 1), (1, 1)))
    assert wrong.shape != columns.shape
