"""The permutohedral lattice against its definition, and what a field's weights begin with."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.kernels import meanfield
from caffe_lite.layers.meanfield import _Filter
from caffe_lite.testing import Case, Rig
from tests.net import source
from tests.oracles import meanfield as oracle

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_point_is_the_mean_of_its_vertices_by_their_shares(d: int) -> None:
    features = 3 * RNG.standard_normal((40, d))
    keys, share = np.empty((40, d + 1, d), np.int32), np.empty((40, d + 1))
    meanfield.embed(features, keys, share)
    assert share.min() > -1e-12
    np.testing.assert_allclose(share.sum(axis=1), 1)
    whole = np.concatenate([keys, -keys.sum(axis=2, keepdims=True)], axis=2)
    for k in range(d + 1):
        assert (whole[:, k] % (d + 1) == k).all()
    points = np.array([oracle.elevated(feature) for feature in features])
    np.testing.assert_allclose((share[:, :, None] * whole).sum(axis=1), points, atol=1e-10)


@pytest.mark.parametrize(("d", "points"), [(1, 30), (2, 60), (5, 40)])
def test_filtering_is_that_of_the_dictionary(d: int, points: int) -> None:
    features, x = RNG.standard_normal((points, d)), RNG.standard_normal((points, 3))
    right = oracle.normalized(features, x)
    np.testing.assert_allclose(_Filter(features)(x), right, rtol=1e-9, atol=1e-12)
    assert not np.allclose(right, oracle.normalized(1.1 * features, x), rtol=1e-3)
    assert not np.allclose(right, oracle.exact(features, x), rtol=1e-3)


@pytest.mark.parametrize("d", [1, 2])
def test_filtering_is_nearly_gaussian(d: int) -> None:
    features = np.stack(np.meshgrid(*[np.arange(12) / 3] * d), axis=-1).reshape(-1, d)
    x = RNG.standard_normal((len(features), 2))
    got, exact = _Filter(features)(x), oracle.exact(features, x)
    error = np.sqrt(((got - exact) ** 2).mean() / (exact**2).mean())
    assert error < 0.15
    wider = oracle.exact(features / 1.5, x)
    assert np.sqrt(((got - wider) ** 2).mean() / (wider**2).mean()) > 2 * error


def test_back_is_the_transpose() -> None:
    by = _Filter(RNG.standard_normal((50, 5)))
    x, dy = RNG.standard_normal((2, 50, 3))
    assert np.vdot(by(x), dy) == pytest.approx(np.vdot(x, by.back(dy)))


def test_equal_points_share_their_vertices() -> None:
    features = np.zeros((7, 3))
    x = RNG.standard_normal((7, 2))
    np.testing.assert_allclose(_Filter(features)(x), np.broadcast_to(x.mean(axis=0), x.shape))


CONFIG = "num_iterations: 2 theta_alpha: 3 theta_beta: 2 theta_gamma: 1"


@pytest.mark.parametrize(
    ("config", "spatial", "bilateral"),
    [
        ("", [3, 3], [5, 5]),
        ("spatial_filter_weight: 2 bilateral_filter_weight: 7", [2, 2], [7, 7]),
        (
            'spatial_filter_weights_str: "1 2 9" bilateral_filter_weights_str: "0.5 -4"',
            [1, 2],
            [0.5, -4],
        ),
    ],
)
def test_first_weights(config: str, spatial: list[float], bilateral: list[float]) -> None:
    text = f"""layer {{ name: "x" type: "Input" top: "u" top: "q" top: "i" input_param {{
      shape {{ dim: 1 dim: 2 dim: 3 dim: 4 }} shape {{ dim: 1 dim: 2 dim: 3 dim: 4 }}
      shape {{ dim: 1 dim: 3 dim: 3 dim: 4 }} }} }}
    layer {{ name: "f" type: "MultiStageMeanfield" bottom: "u" bottom: "q" bottom: "i" top: "y"
      multi_stage_meanfield_param {{ {CONFIG} {config} }} }}"""
    with caffe.Net(source(text), caffe.TEST) as net:
        found = [blob.data for blob in net.params["f"]]
        for got, wanted in zip(found, [np.diag(spatial), np.diag(bilateral), -np.eye(2)]):
            np.testing.assert_array_equal(got, wanted[None, None].astype(np.float32))


def test_weights_survive_another_size() -> None:
    shapes = [(1, 2, 3, 4)] * 2 + [(1, 3, 3, 4)]
    config = f"multi_stage_meanfield_param {{ {CONFIG} }}"
    rig = Rig(Case("MultiStageMeanfield", shapes, config))
    before = [blob.data.copy() for blob in rig.layer.blobs]
    for blob in rig.bottom:
        blob.reshape(1, blob.shape[1], 6, 5)
        blob.data[...] = RNG.standard_normal(blob.shape)
    (got,) = rig.forward()
    for blob, values in zip(rig.layer.blobs, before, strict=True):
        np.testing.assert_array_equal(blob.data, values)
    wanted = oracle.meanfield(2, 3, 2, 1)(*(blob.data for blob in rig.bottom), *before)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)


V1 = """input: "u" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4
input: "i" input_dim: 1 input_dim: 3 input_dim: 3 input_dim: 4
layers { name: "split" type: SPLIT bottom: "u" top: "unary" top: "Q0" }
layers { name: "inference" type: MULTI_STAGE_MEANFIELD bottom: "unary" bottom: "Q0" bottom: "i"
  top: "pred" blobs_lr: 0.001 blobs_lr: 0.001 blobs_lr: 0.01
  multi_stage_meanfield_param { num_iterations: 10 compatibility_mode: POTTS threshold: 2
    theta_alpha: 160 theta_beta: 3 theta_gamma: 3
    spatial_filter_weight: 3 bilateral_filter_weight: 5 } }
"""


def test_an_old_file() -> None:
    with caffe.Net(source(V1), caffe.TEST) as net:
        unary, image = RNG.standard_normal((1, 2, 3, 4)), RNG.standard_normal((1, 3, 3, 4))
        net.blobs["u"].data[...], net.blobs["i"].data[...] = unary, image
        got = net.forward()["pred"]
        params = [blob.data for blob in net.params["inference"]]
        wanted = oracle.meanfield(10, 160, 3, 3)(unary, unary, image, *params)
        np.testing.assert_allclose(got, wanted, rtol=1e-4)
