from __future__ import annotations

import sys

import numpy as np
import pytest

import caffe_lite.layers.pooling  # noqa: F401  registers the types
from caffe_lite.errors import NotDifferentiable
from caffe_lite.kernels import pool as pooling
from caffe_lite.kernels.geometry import Window
from caffe_lite.testing import Case, Rig, normal, uniform
from tests.oracles import pooling as oracle

GEOMETRIES = [
    # height, width, kernel, pad, stride
    (11, 13, (3, 3), (0, 0), (2, 2)),
    (13, 11, (3, 2), (1, 0), (1, 3)),
    (7, 33, (5, 3), (2, 1), (3, 1)),
    (6, 40, (2, 2), (0, 0), (2, 2)),
    (9, 8, (4, 5), (3, 4), (4, 5)),
    (5, 4, (5, 4), (0, 0), (1, 1)),
]


def window_of(kernel, pad, stride):
    return Window(kernel, stride, pad, (1, 1))


def square(kernel: int, stride: int, pad: int = 0) -> Window:
    return window_of((kernel,) * 2, (pad,) * 2, (stride,) * 2)


def geometry(height, width, kernel, pad, stride):
    padded = max(pad) > 0
    out = [
        oracle.output(size, k, p, s, padded=padded)
        for size, k, p, s in zip((height, width), kernel, pad, stride)
    ]
    return window_of(kernel, pad, stride), tuple(out)


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_max_and_its_place(case, kind) -> None:
    window, out = geometry(*case)
    x = np.random.default_rng(0).standard_normal((2, 3, *case[:2])).astype(np.float32)
    y, argmax = np.empty((2, 3, *out), np.float32), np.empty((2, 3, *out), kind)
    pooling.max_pool_forward(x, window, y, argmax)
    wanted, places = oracle.maximum_and_place(*case[2:])(x)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(argmax, places)


@pytest.mark.parametrize("case", GEOMETRIES)
def test_equal_numbers_the_first_in_reading_order_wins(case) -> None:
    window, out = geometry(*case)
    x = np.random.default_rng(0).integers(0, 3, (2, 3, *case[:2])).astype(np.float32)
    y, argmax = np.empty((2, 3, *out), np.float32), np.empty((2, 3, *out), np.int32)
    pooling.max_pool_forward(x, window, y, argmax)
    np.testing.assert_array_equal(argmax, oracle.maximum_and_place(*case[2:])(x)[1])


@pytest.mark.parametrize("case", GEOMETRIES)
def test_average_with_padding_and_without(case) -> None:
    window, out = geometry(*case)
    x = np.random.default_rng(0).standard_normal((2, 3, *case[:2]))
    y = np.empty((2, 3, *out))
    pooling.average_pool_forward(x, window, True, y)
    np.testing.assert_allclose(y, oracle.average(*case[2:])(x), atol=1e-14)
    pooling.average_pool_forward(x, window, False, y)
    np.testing.assert_allclose(y, oracle.average_inside(*case[2:])(x), atol=1e-14)


@pytest.mark.parametrize("case", GEOMETRIES)
def test_backward_is_the_transpose(case) -> None:
    window, out = geometry(*case)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, *case[:2])), rng.standard_normal((2, 3, *out))
    y, dx, argmax = np.empty_like(dy), np.empty_like(x), np.empty(dy.shape, np.int32)
    for padding in (True, False):
        pooling.average_pool_forward(x, window, padding, y)
        pooling.average_pool_backward(dy, window, padding, dx)
        assert np.vdot(y, dy) == pytest.approx(np.vdot(x, dx))
    pooling.max_pool_forward(x, window, y, argmax)
    pooling.max_pool_backward(dy, argmax, dx)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, dx))


def test_a_place_fits_its_type() -> None:
    for height, columns in ((256, 1), (257, 2)):
        width = 255 + columns
        kind, out = pooling.place_type((height, width)), (1, 1, height - 255, columns)
        x = np.zeros((1, 1, height, width), np.float32)
        x[0, 0, -1, -1] = 1
        y, argmax = np.empty(out, np.float32), np.empty(out, kind)
        pooling.max_pool_forward(x, square(256, 1), y, argmax)
        assert (y[0, 0, -1, -1], argmax[0, 0, -1, -1]) == (1, height * width - 1)
        assert argmax.itemsize == 2 * columns


@pytest.mark.parametrize("kernel", [1, 2, 3, 30])
def test_nan_is_seen_wherever_it_is_in_a_window(kernel: int) -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 31, 33)).astype(np.float32)
    x[0, 0, 5, 7] = np.nan
    out = (31 - kernel + 1, 33 - kernel + 1) if kernel < 30 else (1, 1)
    stride = 1 if kernel < 30 else 30
    y, argmax = np.empty((1, 1, *out), np.float32), np.empty((1, 1, *out), np.int32)
    pooling.max_pool_forward(x, square(kernel, stride), y, argmax)
    seen = np.isnan(y)
    assert seen.sum() == (kernel * kernel if kernel < 30 else 1)
    assert (argmax[seen] == 5 * 33 + 7).all()


def test_a_plane_of_several_bands() -> None:
    window, out = geometry(131, 129, (3, 3), (1, 1), (2, 2))
    x = np.random.default_rng(0).integers(0, 9, (1, 2, 131, 129)).astype(np.float32)
    y, argmax = np.empty((1, 2, *out), np.float32), np.empty((1, 2, *out), np.int32)
    pooling.max_pool_forward(x, window, y, argmax)
    wanted, places = oracle.maximum_and_place((3, 3), (1, 1), (2, 2))(x)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(argmax, places)


PLANES = [
    # items and channels, height, width, kernel, pad, stride, whether shapes are rounded down
    ((3, 50), 8, 8, (2, 2), (0, 0), (2, 2), False),
    ((2, 70), 5, 6, (3, 3), (1, 1), (1, 1), False),
    ((2, 35), 7, 50, (3, 3), (1, 1), (3, 3), False),
    ((1, 3), 70, 71, (3, 3), (1, 1), (2, 2), False),
    ((5, 9), 3, 2, (2, 2), (0, 0), (1, 1), False),
    ((2, 9), 14, 14, (3, 3), (1, 1), (1, 1), False),
    ((2, 9), 7, 7, (3, 3), (1, 1), (1, 1), False),
    ((2, 5), 28, 56, (3, 3), (0, 0), (2, 2), False),  # the last windows reach over the edge
    ((2, 5), 27, 55, (3, 3), (0, 0), (2, 2), False),
    ((1, 4), 14, 15, (3, 3), (0, 0), (2, 2), False),
    ((1, 4), 19, 21, (3, 3), (0, 0), (1, 1), False),
    ((1, 2), 66, 131, (3, 3), (1, 0), (2, 2), False),  # a last band of two rows
    ((1, 2), 10, 33, (2, 2), (1, 1), (2, 2), False),
    ((1, 3), 45, 30, (5, 4), (2, 1), (1, 1), False),
    ((1, 2), 37, 21, (4, 7), (1, 3), (3, 5), False),
    ((1, 2), 40, 21, (3, 2), (0, 0), (4, 3), True),  # numbers that no window holds
    ((2, 3), 5, 9, (3, 3), (0, 0), (4, 9), True),
    ((2, 3), 6, 7, (6, 7), (0, 0), (1, 1), False),  # all of the plane
    ((2, 3), 3, 3, (5, 5), (1, 1), (1, 1), False),  # more than it
]


def pool_one_by_one(x, out, window):
    """Maxima, their places and means, window by window."""
    kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, *_ = window.planar()
    height, width = x.shape[2:]
    y, places = np.empty((*x.shape[:2], *out), x.dtype), np.empty((*x.shape[:2], *out), np.int64)
    means, spread = np.empty(y.shape), np.zeros((*out, height, width))
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = i * stride_h - pad_h, j * stride_w - pad_w
            size = min(kernel_h, height + pad_h - top) * min(kernel_w, width + pad_w - left)
            rows = slice(max(top, 0), top + kernel_h)
            columns = slice(max(left, 0), left + kernel_w)
            part = x[..., rows, columns].reshape(*x.shape[:2], -1)
            first = part.argmax(axis=-1)  # NumPy's, too, is the first NaN or else the first of all
            wide = min(left + kernel_w, width) - columns.start
            places[..., i, j] = (rows.start + first // wide) * width + columns.start + first % wide
            y[..., i, j] = np.take_along_axis(part, first[..., None], axis=-1)[..., 0]
            means[..., i, j] = part.sum(axis=-1, dtype=np.float64) / size
            spread[i, j, rows, columns] = 1 / size
    return y, places, means, spread


def guarded(shape, dtype):
    """An array of fives, and the memory that it lies in, full of sevens."""
    memory = np.full(200 + int(np.prod(shape)), 7, dtype)
    memory[100:-100] = 5
    return memory[100:-100].reshape(shape), memory


@pytest.mark.parametrize("case", PLANES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wild", [False, True])
def test_planes_of_any_size_and_nothing_beside_them(case, dtype, wild: bool) -> None:
    planes, height, width, *sizes, floor = case
    window = window_of(*sizes)
    rng, out = np.random.default_rng(0), window.pooled((height, width), floor)
    x, _ = guarded((*planes, height, width), dtype)
    x[...] = rng.integers(-5, 5, x.shape)
    if wild:
        x[rng.random(x.shape) < 0.3] = -np.inf
        x[-1, -1, -2:, -2:] = np.nan
    (y, _), (unplaced, _), (argmax, _), (mean, _), (dx, _) = found = [
        guarded(shape, kind)
        for shape, kind in [((*planes, *out), dtype)] * 2
        + [((*planes, *out), np.int32), ((*planes, *out), dtype), (x.shape, dtype)]
    ]
    dy = rng.standard_normal(y.shape).astype(dtype)
    with np.errstate(all="ignore"):
        pooling.max_pool_forward(x, window, y, argmax)
        pooling.max_pool_forward(x, window, unplaced, argmax[:0])
        pooling.average_pool_forward(x, window, True, mean)
        pooling.average_pool_backward(dy, window, True, dx)
        wanted, places, means, spread = pool_one_by_one(x, out, window)
    for _, memory in found:
        np.testing.assert_array_equal(np.concatenate([memory[:100], memory[-100:]]), 7)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(unplaced, wanted)
    np.testing.assert_array_equal(argmax, places)
    close = {"rtol": 0, "atol": 1e-5 if dtype == np.float32 else 1e-13}
    np.testing.assert_allclose(dx, np.einsum("ncij,ijhw->nchw", dy, spread), **close)
    if not wild:
        np.testing.assert_allclose(mean, means, **close)


@pytest.mark.parametrize("case", PLANES, ids=str)
def test_cutting_the_planes_into_pieces_changes_no_bit(case, monkeypatch) -> None:
    """All planes in one launch, cut into as many pieces, against one launch for each plane."""
    launcher = sys.modules["caffe_lite.kernels.parallel.launcher"]
    monkeypatch.setattr(launcher, "pieces_of", lambda tasks, elements: tasks)
    planes, height, width, *sizes, floor = case
    window = window_of(*sizes)
    shape = (*planes, *window.pooled((height, width), floor))
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(s).astype(np.float32) for s in ((*planes, height, width), shape))

    def run(x, dy):
        y, mean, dx, back = (
            np.empty_like(dy),
            np.empty_like(dy),
            np.empty_like(x),
            np.empty_like(x),
        )
        argmax = np.empty(dy.shape, np.int32)
        pooling.max_pool_forward(x, window, y, argmax)
        pooling.max_pool_backward(dy, argmax, back)
        pooling.average_pool_forward(x, window, True, mean)
        pooling.average_pool_backward(dy, window, True, dx)
        return y, argmax, back, mean, dx

    cut = run(x, dy)
    for i in range(planes[0]):
        for j in range(planes[1]):
            own = slice(i, i + 1), slice(j, j + 1)
            for one, all_of_them in zip(run(x[own].copy(), dy[own].copy()), cut, strict=True):
                np.testing.assert_array_equal(one, all_of_them[own])


def test_infinities_and_nan_have_a_place() -> None:
    x = np.full((1, 1, 4, 6), -np.inf, np.float32)
    x[..., 3:] = np.nan
    y, argmax = np.empty((1, 1, 2, 2), np.float32), np.empty((1, 1, 2, 2), np.int32)
    window = Window((2, 3), (2, 3), (0, 0), (1, 1))
    pooling.max_pool_forward(x, window, y, argmax)
    np.testing.assert_array_equal(y[0, 0], [[-np.inf, np.nan]] * 2)
    assert argmax.min() >= 0
    assert argmax.max() < 24


@pytest.mark.parametrize("size", range(1, 12))
def test_shapes_are_caffes(size: int) -> None:
    for kernel in range(1, size + 1):
        for pad in range(kernel):
            for stride in range(1, kernel + 1):
                for floor in (False, True):
                    window = square(kernel, stride, pad)
                    wanted = oracle.output(size, kernel, pad, stride, floor)
                    assert window.pooled((size, size), floor) == (wanted, wanted)


def stochastic(phase: str) -> Rig:
    return Rig(
        Case(
            "Pooling",
            [(3, 4, 8, 12)],
            "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }",
            draw={0: uniform(0.1, 1)},
            phase=phase,
        )
    )


def test_stochastic_draws_in_proportion() -> None:
    rig = stochastic("TRAIN")
    x = rig.bottom[0].data
    draws = [rig.forward()[0] for _ in range(400)]
    plane = x.reshape(3, 4, -1)
    places = rig.layer.buf.argmax.reshape(3, 4, -1)
    np.testing.assert_array_equal(
        draws[-1].reshape(places.shape), np.take_along_axis(plane, places, 2)
    )
    wanted = oracle.stochastic_mean((2, 2), (0, 0), (2, 2))(x)
    assert np.abs(np.mean(draws, axis=0) - wanted).max() < 0.08
    assert abs((np.mean(draws, axis=0) - wanted).mean()) < 0.004


def test_stochastic_sends_the_gradient_to_the_number_drawn() -> None:
    rig = stochastic("TRAIN")
    (y,) = rig.forward()
    rig.backward()
    assert np.vdot(rig.bottom[0].diff, rig.bottom[0].data) == pytest.approx(
        np.vdot(rig.top[0].diff, y)
    )


def test_stochastic_in_test_phase_has_no_gradient() -> None:
    rig = stochastic("TEST")
    rig.forward()
    with pytest.raises(NotDifferentiable, match="TRAIN only"):
        rig.backward()


def test_stochastic_of_zeros_is_zero() -> None:
    rig = stochastic("TRAIN")
    rig.bottom[0].data[...] = 0
    assert not rig.forward()[0].any()
    rig = stochastic("TEST")
    rig.bottom[0].data[...] = 0
    assert not rig.forward()[0].any()


X = normal(np.random.default_rng(1), (2, 3, 7, 9))
WINDOW = ((3, 4), (1, 2), (2, 3))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.maximum(*WINDOW)(X), oracle.maximum((4, 4), *WINDOW[1:])(X)),
        (oracle.maximum_and_place(*WINDOW)(X)[1], oracle.maximum_and_place(*WINDOW)(-X)[1]),
        (oracle.average(*WINDOW)(X), oracle.average(*WINDOW)(X) * 1.2),
        (oracle.average_inside(*WINDOW)(X), oracle.average(*WINDOW)(X)),
        (
            oracle.stochastic_mean(*WINDOW)(np.abs(X)),
            oracle.average(*WINDOW)(np.abs(X)),
        ),
        (oracle.pyramid(2)(X), oracle.pyramid(2, oracle.average)(X)),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    assert np.abs(right - wrong).max() > 0.05


def test_the_oracle_of_shapes_tells_ceil_from_floor_and_clips() -> None:
    assert oracle.output(10, 3, 0, 2) == 5
    assert oracle.output(10, 3, 0, 2, floor=True) == 4
    assert oracle.output(9, 3, 2, 3) == 4
    assert oracle.output(5, 2, 1, 2) == 3
    assert oracle.output(5, 3, 2, 4) == 2  # the third window would start at 6, in the far padding
