"""Arrays of any batch and size go into a net, which takes their shapes; what it says of itself."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.errors import CaffeError, NetError
from caffe_lite.net.net import Net
from caffe_lite.net.summary import summarize
from caffe_lite.proto import caffe_pb2, nodes, text

TEST = caffe_pb2.TEST

# any size of image fits: the pooling is global
PLANES = """
name: "planes"
input: "x" input_shape { dim: 2 dim: %d dim: 5 dim: 6 }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
"""
ROWS = """
input: "a" input_shape { dim: 2 dim: 3 }
input: "b" input_shape { dim: 2 dim: 3 }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
"""


def build(prototxt: str) -> Net:
    message = caffe_pb2.NetParameter()
    text.parse(prototxt, message, "net.prototxt")
    return Net(message, TEST)


def by_hand(net: Net, x: np.ndarray) -> np.ndarray:
    """The net PLANES as sums: x (N, C, H, W), the answer (N, 4)."""
    w, b = (blob.data for blob in net.params["conv"])
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, w).mean((2, 3)) + b


@pytest.fixture
def net() -> Net:
    return build(PLANES % 3)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((4, 3, 7, 9)).astype(np.float32)


def test_a_batch_and_a_size_that_the_prototxt_does_not_have(net: Net, x: np.ndarray) -> None:
    out = net.forward(x=x)["pool"]
    np.testing.assert_allclose(out[:, :, 0, 0], by_hand(net, x), atol=1e-5)
    assert net.blobs["x"].shape == (4, 3, 7, 9)
    out = net.forward(x=x[:1, :, :4])["pool"]
    np.testing.assert_allclose(out[:, :, 0, 0], by_hand(net, x[:1, :, :4]), atol=1e-5)


def test_one_image_is_a_batch_of_one(net: Net, x: np.ndarray) -> None:
    assert net.forward(x=x[2])["pool"].shape == (1, 4, 1, 1)
    np.testing.assert_allclose(net(x[2])["pool"].reshape(1, 4), by_hand(net, x[2:3]), atol=1e-5)
    image = np.stack([x[0], x[1]])  # as many items as the net has: a batch
    assert net(image)["pool"].shape == (2, 4, 1, 1)
    small = build((PLANES % 3).replace("dim: 2 dim: 3", "dim: 3 dim: 3"))
    assert small(x[0])["pool"].shape == (1, 4, 1, 1), "not three times the same image"


def test_a_plane_is_an_image_of_one_channel(x: np.ndarray) -> None:
    net = build(PLANES % 1)
    out = net(x[0, 0])["pool"].reshape(1, 4)
    np.testing.assert_allclose(out, by_hand(net, x[:1, :1]), atol=1e-5)
    with pytest.raises(NetError, match=r'"x" has shape \(7, 9\), .* takes \(N, 3, H, W\)$'):
        build(PLANES % 3)(x[0, 0])


def test_numpy_spreads_one_channel_over_the_same_batch_as_in_pycaffe(net: Net) -> None:
    one = np.random.default_rng(2).standard_normal((2, 1, 5, 6)).astype(np.float32)
    out = net.forward(x=one)["pool"].reshape(2, 4)
    np.testing.assert_allclose(out, by_hand(net, np.repeat(one, 3, axis=1)), atol=1e-5)


def test_a_call_returns_copies_and_takes_inputs_in_order_or_by_name() -> None:
    net = build(ROWS)
    a, b = np.eye(3), np.arange(9).reshape(3, 3)
    first = net(a, b)["sum"]
    np.testing.assert_array_equal(first, a + b)
    np.testing.assert_array_equal(net(a, b=-b)["sum"], a - b)
    np.testing.assert_array_equal(first, a + b)
    np.testing.assert_array_equal(net(a=a[1], b=b[1])["sum"], (a + b)[1:2])
    assert first.flags.owndata


def test_one_number_is_an_input() -> None:
    net = build('input: "x" input_shape { dim: 1 } '
                'layer { name: "twice" type: "Power" bottom: "x" top: "y" '
                'power_param { scale: 2 } }')  # fmt: skip
    assert net(np.array([2.5]))["y"].tolist() == [5]


@pytest.mark.parametrize(
    ("arrays", "named", "says"),
    [
        ([np.ones((2, 3))] * 3, {}, "3 arrays, but the net's inputs are"),
        ([np.ones((2, 3))], {"a": np.ones((2, 3))}, r"the inputs \['a'\] are given twice"),
        ([np.ones((2, 3))], {}, r"\['a'\] are not the net's inputs"),
        ([np.ones((2, 3)), np.ones((5, 3))], {}, r'layer "sum" \(Eltwise\)'),
        ([np.ones((2, 3)), np.ones((1, 2, 3))], {}, r'"b" has shape \(1, 2, 3\), .* takes 2 axes'),
        ([np.ones((0, 3)), np.ones((2, 3))], {}, r'"a" has shape \(0, 3\), .* takes 2 axes'),
        ([np.ones(5), np.ones(5)], {}, r'"a" has shape \(5,\), .* takes 2 axes'),
    ],
)
def test_refusals_change_nothing(arrays: list, named: dict, says: str) -> None:
    net = build(ROWS)
    net.blobs["a"].data[...] = 5
    with pytest.raises(CaffeError, match=says):
        net(*arrays, **named)
    assert [net.blobs[name].shape for name in ("a", "b", "sum")] == [(2, 3)] * 3
    assert (net.blobs["a"].data == 5).all()
    assert (net.forward()["sum"] == 5).all()


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((2, 5, 6, 3), r"put the channels first: array\.transpose\(0, 3, 1, 2\)"),
        ((5, 6, 3), r"put the channels first: array\.transpose\(2, 0, 1\)"),
        ((2, 4, 5, 6), r"takes \(N, 3, H, W\)$"),
        ((2, 3, 2, 1), r'layer "conv" .*kernel 3x2 is larger'),
    ],
)
def test_an_image_that_does_not_fit(net: Net, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        net(np.ones(shape))
    assert net.blobs["conv"].shape == (2, 4, 3, 5)
    net.forward()


def test_a_net_describes_itself(net: Net, x: np.ndarray) -> None:
    assert repr(net) == (
        '<Net "planes" (TEST): inputs x 2x3x5x6; outputs pool 2x4x1x1; 3 layers, 76 parameters>'
    )
    net(x)
    assert "inputs x 4x3x7x9" in repr(net)
    strange = (PLANES % 3).replace('"planes"', '"\\033[1m"')
    assert r'<Net "\x1b[1m" (TEST)' in repr(build(strange))


def test_the_summary_is_that_of_the_prototxt() -> None:
    shared = ROWS + 'layer { name: "r" type: "ReLU" bottom: "sum" top: "r" }\n'
    shared += 'layer { name: "t" type: "TanH" bottom: "sum" top: "t" }\n'
    message = caffe_pb2.NetParameter()
    text.parse(shared, message, "net.prototxt")
    net = Net(message, TEST)
    assert "sum_sum_0_split" in net.layer_dict
    wanted = summarize(nodes.from_message(message), TEST)
    assert net.summary() == wanted
    assert str(net.summary()) == str(wanted)
    assert str(wanted).splitlines()[-1] == "memory:        120 B for the data of a batch of 2"
