"""Pooling of one method that draws, and which methods have a gradient in TEST."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.errors import NotDifferentiable
from caffe_lite.testing import Case, Rig


def pooled(config: str, phase: str = "TRAIN") -> Rig:
    case = Case(
        "Pooling",
        [(2, 3, 24, 18)],
        f"pooling_param {{ kernel_size: 2 stride: 2 {config} }}",
        draw={0: lambda rng, shape: rng.uniform(0.5, 2, shape)},
        phase=phase,
    )
    rig = Rig(case, np.float64)
    rig.forward()
    return rig


def test_chances_are_uniform_from_0_to_1() -> None:
    rig = pooled("pool: STOCHASTIC")
    chances = np.sort(rig.layer.buf.chance.ravel())
    assert chances[0] >= 0
    assert chances[-1] < 1
    even = (np.arange(chances.size) + 0.5) / chances.size
    assert np.abs(chances - even).max() < 0.07  # Kolmogorov and Smirnov's, of 648 draws
    first = rig.top[0].data.copy()
    rig.forward()
    assert (rig.top[0].data != first).any()


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_methods_that_draw_nothing_have_a_gradient_in_both_phases(method: str, phase: str) -> None:
    rig = pooled(f"pool: {method}", phase)
    rig.top[0].diff[...] = 1
    rig.layer.backward(rig.top, [True], rig.bottom)
    windows = rig.bottom[0].diff.reshape(2, 3, 12, 2, 9, 2).sum((3, 5))
    np.testing.assert_allclose(windows, 1, rtol=1e-12)


def test_the_mean_of_a_stochastic_pooling_has_none() -> None:
    rig = pooled("pool: STOCHASTIC", "TEST")
    with pytest.raises(NotDifferentiable, match="a gradient in TRAIN only"):
        rig.layer.backward(rig.top, [True], rig.bottom)
