from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite import coord_map as cm
from caffe_lite import layers as L  # noqa: N812
from caffe_lite import params as P  # noqa: N812


def coordinates(fn: Any, x: float) -> float:
    """The coordinate in the top of what a layer sees centred at x of its bottom."""
    axis, a, b = cm.coord_map(fn)
    assert axis in (None, 1)
    return float(np.ravel(a)[0] * x + np.ravel(b)[0])


def test_a_convolution_by_hand() -> None:
    data = L.Input()
    # windows of 5 every 2 from -3 on are centred at -1, 1, 3, ...
    fn = L.Convolution(data, kernel_size=5, stride=2, pad=3).fn
    assert [coordinates(fn, x) for x in (-1, 1, 5)] == [0, 1, 3]
    # with dilation 3, a kernel of 3 spans 7: from -3 on, the first centre is 0
    fn = L.Convolution(data, convolution_param={"kernel_size": 3, "dilation": 3, "pad": 3}).fn
    assert coordinates(fn, 4) == 4
    fn = L.Pooling(data, kernel_size=2, stride=2, pool=P.Pooling.MAX).fn
    assert coordinates(fn, 2.5) == 1


def test_a_deconvolution_is_the_way_back() -> None:
    fields = {"kernel_size": 4, "stride": 3, "pad": 1}
    there = L.Convolution(L.Input(), convolution_param=fields).fn
    back = L.Deconvolution(L.Input(), convolution_param=fields).fn
    for x in (0.0, 1.0, 7.5):
        assert coordinates(back, coordinates(there, x)) == pytest.approx(x)
    axis, a, b = cm.inverse(cm.coord_map(there))
    assert (axis, float(a[0]), float(b[0])) == (1, 3, 0.5)


def test_a_crop_moves() -> None:
    fn = L.Crop(L.Input(), L.Input(), crop_param={"axis": 2, "offset": [3, 5]}).fn
    axis, a, b = cm.coord_map(fn)
    assert (axis, a) == (1, 1)
    assert b.tolist() == [-3, -5]
    assert cm.crop_params(L.Crop(L.Input(), L.Input()).fn)[0] == 2


def test_pycaffes_layers_are_all_passed_through() -> None:
    pycaffes = [
        "AbsVal",
        "BNLL",
        "BatchNorm",
        "Bias",
        "Dropout",
        "ELU",
        "Eltwise",
        "Exp",
        "LRN",
        "Log",
        "MVN",
        "PReLU",
        "Power",
        "ReLU",
        "Scale",
        "Sigmoid",
        "Split",
        "TanH",
        "Threshold",
    ]
    assert set(pycaffes) <= set(cm.PASS_THROUGH_LAYERS)
    assert {"BN", "Clip", "ReLU6"} <= set(cm.PASS_THROUGH_LAYERS)
    assert not {"Convolution", "Interp", "Softmax"} & set(cm.PASS_THROUGH_LAYERS)


@pytest.mark.parametrize("name", cm.PASS_THROUGH_LAYERS)
def test_layers_that_keep_their_place(name: str) -> None:
    assert name in caffe.layer_type_list()
    assert cm.coord_map(getattr(L, name)(L.Input()).fn) == (None, 1, 0)


def test_what_has_no_map() -> None:
    with pytest.raises(cm.UndefinedMapException, match="InnerProduct"):
        cm.coord_map(L.InnerProduct(L.Input(), num_output=3).fn)


def test_rectangles_give_one_number_for_each_axis() -> None:
    fn = L.Convolution(L.Input(), kernel_size=[3, 5], stride=[1, 2], pad=[0, 2]).fn
    axis, stride, kernel, pad = cm.conv_params(fn)
    assert (axis, stride.tolist(), kernel.tolist(), pad.tolist()) == (1, [1, 2], [3, 5], [0, 2])
    _, a, b = cm.coord_map(fn)
    np.testing.assert_allclose(a, [1, 0.5])
    np.testing.assert_allclose(b, [-1, 0])


@pytest.mark.parametrize("fields", [{"kernel_h": 3, "kernel_w": 3}, {}])
def test_convolutions_it_cannot_read(fields: dict[str, int]) -> None:
    with pytest.raises(AssertionError, match="kernel_"):
        cm.conv_params(L.Convolution(L.Input(), **fields).fn)


def test_composition_is_one_after_the_other() -> None:
    first, second = (1, 2.0, 3.0), (1, 0.5, -4.0)
    _, a, b = cm.compose(first, second)
    for x in (0, 1, 10):
        assert a * x + b == 2 * (0.5 * x - 4) + 3
    assert cm.compose((None, 1, 0), second) == second
    assert cm.compose(second, (None, 1, 0)) == second
    with pytest.raises(cm.AxisMismatchException, match="axis 1, the other at axis 2"):
        cm.compose((1, 1, 0), (2, 1, 0))
    axis, a, b = cm.inverse((2, 4.0, 3.0))
    assert (axis, a, b) == (2, 0.25, -0.75)


def strided(pad: int = 0) -> Any:
    """A net that shrinks and grows again: as wide as fcn's, in small."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 40, 40]})
    n.other = L.Input(shape={"dim": [1, 1, 40, 40]})
    n.conv = L.Convolution(n.data, num_output=2, kernel_size=3, pad=pad)
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, kernel_size=2, stride=2)
    n.up = L.Deconvolution(
        n.pool, convolution_param={"num_output": 2, "kernel_size": 4, "stride": 2}
    )
    n.ip = L.InnerProduct(n.pool, num_output=3)
    return n


def test_maps_along_a_net() -> None:
    n = strided()
    # data -> conv: -1; pool: (x - 0.5) / 2; up: 2 x + 1.5
    _, a, b = cm.coord_map_from_to(n.data, n.up)
    assert (float(a[0]), float(b[0])) == (1, 0)
    _, a, b = cm.coord_map_from_to(n.up, n.data)
    assert (float(a[0]), float(b[0])) == (1, 0)
    _, a, b = cm.coord_map_from_to(n.pool, n.data)
    assert (float(a[0]), float(b[0])) == (2, 1.5)
    assert cm.coord_map_from_to(n.relu, n.conv) == (None, 1, 0)


def test_the_crop_takes_what_lies_under_the_data() -> None:
    """The padding of 4 puts pixel 0 of the data on pixel 4 of what was upsampled."""
    n = strided(pad=4)
    n.crop = cm.crop(n.up, n.data)
    layer = n.to_proto().layer[-1]
    assert layer.type == "Crop"
    assert list(layer.bottom) == ["up", "data"]
    assert layer.crop_param.axis == 2
    assert list(layer.crop_param.offset) == [4]
    del n["ip"]
    assert caffe.Net(n.to_proto(), caffe.TEST).forward()["crop"].shape[2:] == (40, 40)


def test_a_crop_of_two_axes() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 20, 30]})
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=[3, 5], pad=[4, 7])
    cropped = cm.crop(n.conv, n.data)
    assert cropped.fn.params["crop_param"] == {"axis": 2, "offset": [3, 5]}


def test_a_map_goes_round_a_crop() -> None:
    n = strided(pad=4)
    n.crop = cm.crop(n.up, n.data)
    _, a, b = cm.coord_map_from_to(n.crop, n.data)
    assert (float(a[0]), float(b[0])) == (1, 0)


@pytest.mark.parametrize("name", ["other", "ip"])
def test_tops_that_nothing_connects(name: str) -> None:
    n = strided()
    with pytest.raises(RuntimeError, match="spatial layers"):
        cm.coord_map_from_to(n[name], n.data)


@pytest.mark.parametrize(
    ("pair", "says"),
    [(("pool", "data"), "scales differ"), (("data", "conv"), "not whole|negative")],
)
def test_what_no_crop_can_do(pair: tuple[str, str], says: str) -> None:
    n = strided(pad=4)
    with pytest.raises(AssertionError, match=says):
        cm.crop(*(n[name] for name in pair))


def test_half_a_pixel_cannot_be_cropped() -> None:
    n = caffe.NetSpec()
    n.data = L.Input()
    n.conv = L.Convolution(n.data, kernel_size=2, pad=3)
    with pytest.raises(AssertionError, match="not whole"):
        cm.crop(n.conv, n.data)
