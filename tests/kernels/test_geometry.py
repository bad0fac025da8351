"""How many times a window fits, counted by sliding it."""

from __future__ import annotations

import pytest

from caffe_lite.kernels.geometry import PlanarWindow, Window

WINDOWS = [  # size of the axis, kernel, stride, pad, dilation
    (7, 3, 1, 0, 1),
    (9, 3, 2, 1, 1),
    (10, 2, 3, 0, 2),
    (5, 5, 4, 2, 1),
    (23, 4, 5, 3, 3),
]


def starts(size: int, kernel: int, stride: int, pad: int, dilation: int) -> list[int]:
    """Where windows start that lie within the padded axis."""
    reach = dilation * (kernel - 1) + 1
    return [at for at in range(-pad, size + pad, stride) if at + reach <= size + pad]


@pytest.mark.parametrize("axis", WINDOWS)
def test_output_counts_the_windows_that_fit(axis):
    size, *sizes = axis
    window = Window(*((each,) for each in sizes))
    assert window.output((size,)) == (len(starts(*axis)),)
    assert window.output((size,)) != (len(starts(size + sizes[1], *sizes)),)


def test_padding_after_the_end_is_counted_once():
    window = Window((3, 4), (2, 3), (0, 2), (2, 1), (3, 1))
    assert window.padded((7, 9)) == (10, 12)
    assert window.output((7, 9)) == (3, 3)
    assert window.output(window.input((3, 3))) == (3, 3)
    assert window.pooled((7, 9)) == (4, 4)  # a fifth would begin in the padding below
    assert window._replace(pad_end=None).padded((7, 9)) == (7, 13)


@pytest.mark.parametrize("axis", WINDOWS)
def test_input_is_the_least_that_gives_the_output(axis):
    size, *sizes = axis
    window = Window(*((each,) for each in sizes))
    (least,) = window.input(window.output((size,)))
    assert least <= size
    assert window.output((least,)) == window.output((size,))
    assert window.output((least - 1,)) != window.output((size,))


def test_pooling_counts_windows_that_begin_inside():
    window = Window((3, 2), (2, 2), (0, 0), (1, 1))
    assert window.pooled((8, 5)) == (4, 3)  # the last ones reach over the end
    assert window.pooled((8, 5), floor=True) == (3, 2)
    padded = Window((2, 2), (2, 2), (1, 1), (1, 1))
    assert padded.pooled((4, 5)) == (3, 3)  # one that would begin in the far padding is left out


def test_planar_has_two_axes_height_first():
    assert Window((3,), (2,), (1,), (4,)).planar() == PlanarWindow(1, 3, 1, 2, 0, 1, 1, 4)
    assert Window((3, 5), (2, 1), (1, 0), (4, 6)).planar() == PlanarWindow(3, 5, 2, 1, 1, 0, 4, 6)


def test_flipped_takes_the_output_back():
    window = Window((5, 3), (1, 1), (1, 2), (2, 1))
    assert window.flipped().output(window.output((19, 8))) == (19, 8)
    ended = window._replace(pad_end=(3, 0))
    assert ended.output((19, 8)) != window.output((19, 8))
    assert ended.flipped().output(ended.output((19, 8))) == (19, 8)
