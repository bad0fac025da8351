"""Net against OpenCV's, on nets with names, branches and layers in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe_lite import dnn
from caffe_lite.errors import CaffeError
from tests.dnn import nets

cv2 = pytest.importorskip("cv2")

RNG = np.random.default_rng(8)
WEIGHTS = nets.weights(nets.BRANCHES)
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def buffers(prototxt: str, weights: bytes | None) -> list[np.ndarray]:
    parts = [prototxt.encode(), *([] if weights is None else [weights])]
    return [np.frombuffer(part, np.uint8) for part in parts]


def both(prototxt: str = nets.BRANCHES, weights: bytes | None = WEIGHTS) -> tuple[Any, Any]:
    """The net as OpenCV reads it and as we do."""
    given = buffers(prototxt, weights)
    return cv2.dnn.readNetFromCaffe(*given), dnn.readNetFromCaffe(*given)


def data(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_what_it_says_of_itself() -> None:
    theirs, ours = both()
    for question in (
        "empty",
        "getLayerNames",
        "getLayerTypes",
        "getUnconnectedOutLayersNames",
    ):
        assert getattr(ours, question)() == getattr(theirs, question)(), question
    found = ours.getUnconnectedOutLayers()
    np.testing.assert_array_equal(found, theirs.getUnconnectedOutLayers())
    assert found.dtype == np.int32
    for name in ("conv1", "halves", "data", "prob", "nobody", "_input", ""):
        assert ours.getLayerId(name) == theirs.getLayerId(name), name
    assert ours.getLayersCount("Convolution") == theirs.getLayersCount("Convolution") == 1


def test_layers_and_their_weights() -> None:
    theirs, ours = both()
    for number, name in enumerate(("_input", *ours.getLayerNames())):
        by_number, by_name = ours.getLayer(number), ours.getLayer(name)
        wanted = theirs.getLayer(number)
        assert (by_number.name, by_number.type) == (wanted.name, wanted.type)
        assert by_name.name == by_number.name
        for one, other in zip(by_number.blobs, wanted.blobs, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.shape == other.shape
    np.testing.assert_array_equal(ours.getParam("fc", 1), theirs.getParam("fc", 1))
    np.testing.assert_array_equal(ours.getParam(1), theirs.getParam(1))


def test_every_layer_as_opencv_computes_it_one_by_one() -> None:
    """OpenCV joins a BatchNorm to the convolution, whose name then gives something else."""
    x = data(4, 3, 20, 17)  # more than the file says
    _, ours = both()
    ours.setInput(x)
    for name in (*ours.getLayerNames(), "", None):
        theirs, _ = both()
        theirs.enableFusion(False)
        theirs.setInput(x)
        wanted, found = theirs.forward(name), ours.forward(name)
        assert found.shape == wanted.shape, name
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, **CLOSE, err_msg=str(name))


def test_the_ways_to_call_forward() -> None:
    x = data(1, 3, 20, 17)
    theirs, ours = both()
    for net in (theirs, ours):
        net.enableFusion(False)
        net.setInput(x)
    for arguments, named in (
        ((), {}),
        (("fc",), {}),
        ((), {"outputName": "fc"}),
        ((["fc", "scores"],), {}),
        ((("prelu", "fc"),), {}),
        ((), {"outBlobNames": ["halves"]}),
        ((["fc"], None), {}),
        (([],), {}),
        (([], "halves"), {}),
        ((None, "halves"), {}),
        ((), {"outputBlobs": None, "outputName": "halves"}),
        ((), {"outputBlobs": None}),
    ):
        assert_alike(ours.forward(*arguments, **named), theirs.forward(*arguments, **named))
    names = ["halves", "fc"]
    assert_alike(ours.forwardAndRetrieve(names), theirs.forwardAndRetrieve(names))


def assert_alike(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_alike(one, other)
        return
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, **CLOSE)


def test_a_layer_in_place_hides_nothing() -> None:
    _, ours = both()
    ours.setInput(data(1, 3, 20, 17))
    convolved, rectified, last = ours.forward(["conv1", "relu1", "scores"])
    assert convolved.min() < 0
    assert rectified.min() == 0
    np.testing.assert_allclose(ours.forward("conv1"), convolved, **CLOSE)
    np.testing.assert_allclose(ours.forward(), last, **CLOSE)


def test_what_forward_gave_stays() -> None:
    _, ours = both()
    ours.setInput(data(1, 3, 20, 17))
    first = ours.forward()
    before = first.copy()
    ours.setInput(data(1, 3, 20, 17))
    assert not np.array_equal(ours.forward(), before)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"name": "data"},
        {"name": None, "scalefactor": None, "mean": None},
        {"scalefactor": 0.017},
        {"mean": (1.1, 2.2, 3.3)},
        {"mean": 7.0},
        {"mean": (2.5, 2.5, 2.5, 2.5), "scalefactor": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32, np.float16])
def test_inputs(dtype: type, settings: dict[str, Any]) -> None:
    x = RNG.integers(0, 99, (1, 3, 20, 17)).astype(dtype)
    theirs, ours = both()
    for net in (theirs, ours):
        net.setInput(x, **settings)
    x[...] = 0  # they are copied
    np.testing.assert_allclose(ours.forward("fc"), theirs.forward("fc"), rtol=1e-4, atol=1e-3)


def test_inputs_by_name() -> None:
    prototxt = """
    input: "a" input: "b"
    layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum"
      eltwise_param { coeff: 1 coeff: -2 } }"""
    theirs, ours = both(prototxt, None)
    a, b = data(1, 2, 3, 4), data(1, 2, 3, 4)
    for net in (theirs, ours):  # the file has no shapes: they come with the values
        net.setInput(a)
        net.setInput(b, "b")
    assert_alike(ours.forward(), theirs.forward())
    for net in (theirs, ours):
        net.setInputsNames(["x", "y"])
        net.setInput(a, "y")
    assert_alike(ours.forward(), theirs.forward())
    for net, error in ((theirs, cv2.error), (ours, CaffeError)):
        with pytest.raises(error):
            net.setInput(a, "a")
    assert ours.getLayerNames() == ("sum",)


def test_shapes_of_inputs() -> None:
    prototxt = """
    layer { name: "in" type: "Input" top: "x" }
    layer { name: "flat" type: "Flatten" bottom: "x" top: "flat" }"""
    for shape in ((2, 3, 4), (5, 2, 1, 1, 3)):
        theirs, ours = both(prototxt, None)
        for net in (theirs, ours):
            net.setInputShape("x", shape)
            net.setInput(np.ones(shape, np.float32))
        assert_alike(ours.forward(), theirs.forward())
    _, ours = both()
    with pytest.raises(CaffeError, match="has the shape"):
        ours.setInputShape("data", (1, 3, 4, 4))


@pytest.mark.parametrize("threshold", [0.05, 0.95, 0.9999])
def test_detections(threshold: float) -> None:
    """As many rows as `keep_top_k` says for each image, and 0 in those that are left over."""
    prototxt = nets.DETECTOR.replace("THRESHOLD", str(threshold))
    theirs, ours = both(prototxt, nets.weights(prototxt, 1))
    x = data(2, 3, 24, 32) * 3
    for net in (theirs, ours):
        net.setInput(x)
    wanted, found = theirs.forward(), ours.forward()
    assert found.shape == wanted.shape == (1, 1, 40, 7)
    assert (wanted[..., 2] > 0).any() == (threshold < 0.99)
    np.testing.assert_allclose(found, wanted, **CLOSE)
    for name in ("priors", "lrn"):
        np.testing.assert_allclose(ours.forward(name), both_forward(prototxt, x, name), **CLOSE)


def both_forward(prototxt: str, x: np.ndarray, name: str) -> np.ndarray:
    theirs, _ = both(prototxt, nets.weights(prototxt, 1))
    theirs.setInput(x)
    answer: np.ndarray = theirs.forward(name)
    return answer


def test_the_profile() -> None:
    _, ours = both()
    assert ours.getPerfProfile()[0] == 0
    ours.setInput(data(1, 3, 20, 17))
    ours.forward()
    total, times = ours.getPerfProfile()
    assert isinstance(total, int)
    assert times.shape == (len(ours.getLayerNames()),)
    assert total >= times.sum() > 0
    ours.forward("conv1")
    assert np.flatnonzero(ours.getPerfProfile()[1]).tolist() == [0]


def test_weights_can_be_set() -> None:
    """As colorization programs do: they keep some of a net's weights elsewhere."""
    x, kernel = data(1, 3, 20, 17), data(4, 3, 3, 3)
    theirs, ours = both()
    for net in (theirs, ours):
        net.getLayer(net.getLayerId("conv1")).blobs = [kernel]
        net.setInput(x)
    assert_alike(ours.forward("scores"), theirs.forward("scores"))
    assert (ours.getParam("conv1", 1) == 0).all()
    theirs, ours = both()
    for net in (theirs, ours):
        net.setParam("prelu", 0, np.full((4, 1), -2.5, np.float32))
        net.setInput(x - 3)
    assert_alike(ours.forward("prelu"), theirs.forward("prelu"))
    bias = np.full((1, 6), 2.5, np.float32)  # this one OpenCV shows, and does not use
    before = ours.forward("fc") - ours.getParam("fc", 1)
    ours.setParam("fc", 1, bias)
    np.testing.assert_array_equal(ours.getParam("fc", 1), bias)
    np.testing.assert_allclose(ours.forward("fc"), before + bias, **CLOSE)
    with pytest.raises(CaffeError, match="does not fill"):
        ours.setParam("fc", 1, bias[:, :5])
    with pytest.raises(CaffeError, match="has 2 weight blobs"):
        ours.setParam("fc", 2, bias)


@pytest.mark.parametrize("by_layer", [False, True])
def test_weights_that_are_set_after_runs_are_heeded(by_layer: bool) -> None:
    """Until then what depends on them alone was kept from run to run."""
    x, kernel = data(1, 3, 20, 17), data(4, 3, 3, 3)
    theirs, ours = both()
    for net, runs in ((theirs, 0), (ours, 4)):  # OpenCV heeds them before its first run only
        net.setInput(x)
        for _ in range(runs):
            net.forward()
        if by_layer:
            bias = net.getParam("conv1", 1).reshape(-1)
            net.getLayer(net.getLayerId("conv1")).blobs = [kernel, bias]
        else:
            net.setParam("conv1", 0, kernel)
    for _ in range(3):
        assert_alike(ours.forward(), theirs.forward())


def test_without_weights_it_shows_layers_and_does_not_run() -> None:
    theirs, ours = both(nets.BRANCHES, None)
    assert ours.getLayerNames() == theirs.getLayerNames()
    assert ours.getLayer("conv1").blobs == theirs.getLayer("conv1").blobs == ()
    for net, error in ((theirs, cv2.error), (ours, CaffeError)):
        net.setInput(data(1, 3, 20, 17))
        with pytest.raises(error):
            net.forward()
    with pytest.raises(CaffeError, match='"conv1" and 4 others have no weights'):
        ours.forward()


def test_backends(caplog: pytest.LogCaptureFixture) -> None:
    _, ours = both()
    for number in (dnn.DNN_BACKEND_DEFAULT, dnn.DNN_BACKEND_OPENCV, None):
        ours.setPreferableBackend(number)
    ours.setPreferableTarget(dnn.DNN_TARGET_CPU)
    assert not caplog.records
    ours.setPreferableBackend(cv2.dnn.DNN_BACKEND_CUDA)
    ours.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)
    assert [record.getMessage() for record in caplog.records] == [
        "DNN_BACKEND_CUDA is not available: the net runs on the CPU",
        "DNN_TARGET_CUDA is not available: the net runs on the CPU",
    ]
    with pytest.raises(CaffeError, match="no backend 99"):
        ours.setPreferableBackend(99)
    for name in dnn.__all__:
        if name.startswith("DNN_") and hasattr(cv2.dnn, name):
            assert getattr(dnn, name) == getattr(cv2.dnn, name), name


def test_an_empty_net() -> None:
    theirs, ours = cv2.dnn.Net(), dnn.Net()
    assert ours.empty()
    assert theirs.empty()
    assert ours.getLayerNames() == theirs.getLayerNames() == ()
    with pytest.raises(CaffeError, match="empty"):
        ours.forward()


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda net: net.forward(), "has no values: call setInput first"),
        (lambda net: net.forward("nobody"), 'no layer "nobody"'),
        (lambda net: net.forward(["conv1", "nobody"]), 'no layer "nobody"'),
        (lambda net: net.forward("data"), 'no layer "data"'),
        (lambda net: net.forward(3), "the name of a layer or a list"),
        (lambda net: net.forward(name="fc"), "forward takes outputName"),
        (lambda net: net.getLayer(99), "0 to 10"),
        (lambda net: net.getLayer("nobody"), 'no layer "nobody"'),
        (lambda net: net.getParam("pool1"), "has 0 weight blobs"),
        (lambda net: net.setInput([1, 2]), "blob must be an array"),
        (lambda net: net.setInput(np.zeros((0, 3, 4, 4))), "a blob must be an array of numbers"),
        (lambda net: net.setInput(np.zeros((1, 3, 4, 4)), "nobody"), 'no input "nobody"; its'),
        (lambda net: net.setInput(np.zeros((1, 5, 4, 4)), mean=(1, 2)), "the blob 5 channels"),
        (lambda net: net.setInput(np.zeros((1, 3, 4, 4)), mean=(1, 2, 3, 4, 5)), "up to 4"),
        (lambda net: net.enableFusion("a"), "fusion must be"),
    ],
)
def test_what_is_refused(call: Any, why: str) -> None:
    theirs, ours = both()
    with pytest.raises(CaffeError) as refused:
        call(ours)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    if "zeros" not in why and "5 channels" not in why and "of numbers" not in why:
        with pytest.raises((cv2.error, TypeError)):
            call(theirs)


def test_an_input_that_does_not_fit_is_an_error_at_the_layer() -> None:
    _, ours = both()
    ours.setInput(data(1, 4, 20, 17))
    with pytest.raises(CaffeError, match=r'^<prototxt>:4:.*layer "conv1" \(Convolution\): '):
        ours.forward()
    ours.setInput(data(1, 3, 20, 17))
    assert ours.forward().shape == (1, 4)
