"""Each filler against its definition: moments and bounds of large draws with a fixed seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from caffe_lite import fillers
from caffe_lite.errors import LayerError
from caffe_lite.proto import caffe_pb2

SHAPE = (40, 30, 5, 7)  # count 42000: fan in 1050, fan out 1400, average 1225
FANS = {"FAN_IN": 1050, "FAN_OUT": 1400, "AVERAGE": 1225}


def filled(
    shape: tuple[int, ...],
    filler: str,
    seed: int = 1,
    dtype: npt.DTypeLike = np.float64,
    **settings: Any,
) -> npt.NDArray[Any]:
    array = np.full(shape, np.nan, dtype)
    rng = np.random.default_rng(seed)
    fillers.fill(array, caffe_pb2.FillerParameter(type=filler, **settings), rng)
    return array


def fan(norm: str) -> int:
    return int(caffe_pb2.FillerParameter.VarianceNorm.Value(norm))


def test_the_default_is_zeros() -> None:
    array = np.full((3, 4), np.nan)
    fillers.fill(array, caffe_pb2.FillerParameter(), np.random.default_rng(1))
    assert (array == 0).all()


def test_constant() -> None:
    assert (filled((3, 4), "constant", value=-2.5) == -2.5).all()


def test_uniform_reaches_from_min_to_max() -> None:
    x = filled(SHAPE, "uniform", min=-1, max=3)
    assert x.min() == pytest.approx(-1, abs=1e-3)
    assert x.max() == pytest.approx(3, abs=1e-3)
    assert x.mean() == pytest.approx(1, abs=0.02)
    assert x.std() == pytest.approx(4 / math.sqrt(12), rel=0.01)


def test_gaussian_takes_std_for_the_standard_deviation() -> None:
    x = filled(SHAPE, "gaussian", mean=5, std=0.2)  # as a variance it would give 0.447
    assert x.mean() == pytest.approx(5, abs=0.005)
    assert x.std() == pytest.approx(0.2, rel=0.01)
    assert abs(x - 5).max() > 0.6  # a uniform of that deviation ends at 0.346


def test_gaussian_with_std_zero_is_its_mean() -> None:
    assert (filled((3, 4), "gaussian", mean=2, std=0) == 2).all()


def test_sparse_is_counted_along_the_outputs() -> None:
    x = filled((50, 800), "gaussian", sparse=10)
    kept = (x != 0).mean()
    assert kept == pytest.approx(10 / 50, abs=0.01)  # of the inputs it would be 10 / 800
    assert x[x != 0].std() == pytest.approx(1, rel=0.03)


def test_sparse_zero_keeps_nothing() -> None:
    assert (filled((3, 4), "gaussian", sparse=0) == 0).all()


def test_positive_unitball_sums_to_one_for_each_output() -> None:
    x = filled((4, 3, 5), "positive_unitball")
    np.testing.assert_allclose(x.sum(axis=(1, 2)), 1)
    assert x.min() >= 0
    assert abs(x.sum(axis=0) - 4 / 15).max() > 0.01  # and not along another axis


@pytest.mark.parametrize("norm", FANS)
def test_xavier(norm: str) -> None:
    x = filled(SHAPE, "xavier", variance_norm=fan(norm))
    bound = math.sqrt(3 / FANS[norm])  # neighbours among the fans differ by 7 %
    assert abs(x).max() == pytest.approx(bound, rel=1e-3)
    assert x.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize("norm", FANS)
def test_msra(norm: str) -> None:
    x = filled(SHAPE, "msra", variance_norm=fan(norm))
    assert x.std() == pytest.approx(math.sqrt(2 / FANS[norm]), rel=0.01)
    assert abs(x).max() > 3.5 * x.std()


@pytest.mark.parametrize(("shape", "n"), [((6000,), 1), ((), 1), ((60, 100), 100)])
def test_fan_in_of_few_axes(shape: tuple[int, ...], n: int) -> None:
    x = filled(shape, "xavier")
    bound = math.sqrt(3 / n)
    assert abs(x).max() <= bound
    if x.size > 1:
        assert abs(x).max() == pytest.approx(bound, rel=1e-3)


def test_fan_out_of_one_axis_is_its_size() -> None:
    x = filled((6000,), "xavier", variance_norm=fan("FAN_OUT"))
    assert abs(x).max() == pytest.approx(math.sqrt(3 / 6000), rel=1e-3)


@pytest.mark.parametrize(
    ("size", "ramp"), [(1, [1.0]), (3, [0.5, 1, 0.5]), (4, [0.25, 0.75, 0.75, 0.25])]
)
def test_bilinear(size: int, ramp: list[float]) -> None:
    x = filled((2, 3, size, size), "bilinear")
    for plane in x.reshape(-1, size, size):
        np.testing.assert_allclose(plane, np.outer(ramp, ramp))


@pytest.mark.parametrize("filler", fillers.FILLERS)
def test_a_float32_net_starts_from_the_same_values(filler: str) -> None:
    wide = filled((4, 3, 5, 5), filler)
    narrow = filled((4, 3, 5, 5), filler, dtype=np.float32)
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, rtol=1e-6)


@pytest.mark.parametrize("filler", ["uniform", "gaussian", "positive_unitball", "xavier", "msra"])
def test_seeds_decide(filler: str) -> None:
    assert (filled((3, 4), filler, seed=1) == filled((3, 4), filler, seed=1)).all()
    assert (filled((3, 4), filler, seed=1) != filled((3, 4), filler, seed=2)).any()


def test_a_large_array_is_drawn_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = filled((30, 20), "gaussian", sparse=7)
    monkeypatch.setattr(fillers, "BLOCK", 64)
    assert (filled((30, 20), "gaussian", sparse=7) == whole).all()


@pytest.mark.parametrize("filler", fillers.FILLERS)
def test_an_empty_array_needs_nothing(filler: str) -> None:
    assert filled((0, 3, 2, 2), filler).size == 0


@pytest.mark.parametrize(
    ("shape", "settings", "field", "says"),
    [
        ((2, 3), {"filler": "Xavier"}, "type", 'unknown filler type "Xavier".*"xavier"'),
        ((2, 3), {"filler": "guassian"}, "type", 'did you mean "gaussian"'),
        ((2, 3), {"filler": ""}, "type", "unknown filler type"),
        ((2, 3), {"filler": "xavier", "sparse": 2}, "sparse", 'only for filler type "gaussian"'),
        ((2, 3), {"filler": "gaussian", "std": -1}, "std", "0 or more, not -1"),
        ((2, 3), {"filler": "gaussian", "std": math.nan}, "std", "0 or more, not nan"),
        ((2, 3), {"filler": "gaussian", "sparse": 3}, "sparse", "0 to 2, .* not 3"),
        ((2, 3), {"filler": "gaussian", "sparse": -2}, "sparse", "0 to 2, .* not -2"),
        ((2, 3), {"filler": "uniform", "min": 2, "max": 1}, "min", "min 2 .* above max 1"),
        ((2, 3), {"filler": "uniform", "max": math.inf}, "min", "finite"),
        ((2, 3, 4), {"filler": "bilinear"}, "type", r"square kernels.*\(2, 3, 4\)"),
        ((2, 3, 4, 5), {"filler": "bilinear"}, "type", r"square.*\(2, 3, 4, 5\)"),
    ],
)
def test_refusals(shape: tuple[int, ...], settings: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(LayerError, match=says) as caught:
        filled(shape, **settings)
    assert caught.value.field == field
