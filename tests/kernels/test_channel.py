"""Factors of channels and of pixels, and the gradients that ChannelScale is asked to change."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import channel as kernels
from caffe_lite.testing import Case, Rig
from tests.oracles import channel as oracle


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize(
    ("kernel", "back", "definition", "other", "factors"),
    [
        (
            kernels.scale_channels,
            kernels.scale_channels_backward_scale,
            oracle.scale_channels,
            oracle.scale_pixels,
            (4, 3),
        ),
        (
            kernels.scale_pixels,
            kernels.scale_pixels_backward_scale,
            oracle.scale_pixels,
            oracle.scale_channels,
            (4, 3),
        ),
    ],
)
def test_factors_and_their_gradients(rng, kernel, back, definition, other, factors):
    x, dy = rng.standard_normal((2, 4, 3, 3))  # as many pixels as channels: shapes tell nothing
    s = rng.standard_normal(factors)
    y, ds = np.empty_like(x), np.empty_like(s)
    kernel(x, s, y)
    np.testing.assert_allclose(y, definition(x, s))
    assert not np.allclose(y, other(x, s))
    back(x, dy, ds)
    for index in np.ndindex(s.shape):
        one = np.zeros_like(s)
        one[index] = 1
        np.testing.assert_allclose(ds[index], (definition(x, one) * dy).sum())


@pytest.mark.parametrize(
    ("config", "features", "factors"),
    [
        ("", True, True),
        ("do_forward: false", True, True),
        ("global_scale: true", True, True),
        ("do_backward_feature: false", False, True),
        ("do_backward_scale: false", True, False),
    ],
)
def test_the_gradient_is_that_of_the_factors_whatever_forward_did(config, features, factors):
    shapes = [(2, 3, 4, 5), (2, 1, 4, 5)]
    rig = Rig(Case("ChannelScale", shapes, f"channel_scale_param {{ {config} }}"))
    x, s, dy = rig.bottom[0].data, rig.bottom[1].data, rig.top_diffs()[0]
    rig.forward()
    rig.backward([True, True])
    wanted = oracle.scale_pixels(dy, s) if features else dy
    np.testing.assert_allclose(rig.bottom[0].diff, wanted)
    wanted = (x * dy).sum(axis=1, keepdims=True) if factors else np.zeros(s.shape)
    np.testing.assert_allclose(rig.bottom[1].diff, wanted)


def test_a_stored_scale_begins_where_the_fork_s_does():
    first = []
    for more in ("", "init_global_scale: 20"):
        Rig(
            Case(
                "ChannelScale",
                [(2, 3, 4, 5), (2, 1, 4, 5)],
                f"channel_scale_param {{ global_scale: true {more} }}",
                feed=lambda layer: first.append(float(layer.scale.data[0])),
            )
        )
    assert first == [-1.0, 20.0]
