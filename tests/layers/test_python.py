from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.blob import Blob
from caffe_lite.errors import LayerError
from caffe_lite.layers import python
from tests.net import source

MODULE = """
import numpy as np
import caffe_lite as caffe


class EuclideanLossLayer(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("Need two inputs to compute distance.")

    def reshape(self, bottom, top):
        self.difference = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.difference[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.difference / bottom[i].num


class Scaled(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = float(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data[0] + self.phase

    def backward(self, top, propagate_down, bottom):
        pass


class Own(Scaled):
    # the names of fusion, and of the copy of a bottom, for things of its own
    takes_back = bottom_copy = epilogue_params = "its own"

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.epilogue = self.forward_with = self.epilogue_axis = self.bottom_data = 3


class Regions(caffe.Layer):
    # as Fast R-CNN's layers do: everything is shaped in setup, and anew in forward

    def setup(self, bottom, top):
        self._settings = dict(pair.split(": ") for pair in self.param_str_.split(", "))
        self._names = ["rois", "labels", "targets", "inside", "outside"]
        for index, width in enumerate((5, 1, 8, 8, 8)):
            top[index].reshape(1, width)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        count = int(self._settings[str(self.phase)]) + int(bottom[1].data[0, 0])
        blobs = {
            "rois": np.arange(5 * count).reshape(count, 5) % 4,
            "labels": np.arange(count) % 2,
            "targets": np.linspace(-1, 1, 8 * count).reshape(count, 8),
            "inside": np.ones((count, 8)),
            "outside": np.full((count, 8), 0.5),
        }
        blobs["rois"][:, 0] = 0
        for name, blob in blobs.items():
            index = self._names.index(name)
            top[index].reshape(*blob.shape)
            top[index].data[...] = blob.astype(np.float32, copy=False)

    def backward(self, top, propagate_down, bottom):
        pass


not_a_layer = 3
Builtin = caffe.layers.neuron.ReLU


def __getattr__(name):
    if name == "Trap":
        raise SystemError("code of this module was run")
    raise AttributeError(name)
"""

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 } } }
layer { name: "p" type: "Python" bottom: "x" top: "y"
  python_param { module: "user_layers" layer: "Scaled" param_str: "2.5" } }
"""


@pytest.fixture(autouse=True)
def user_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "user_layers", raising=False)
    monkeypatch.setattr(python, "_registered", {})
    monkeypatch.setattr(python, "_all_allowed", False)


def test_it_is_refused_until_allowed_and_says_how() -> None:
    with pytest.raises(
        LayerError, match=r'^net:4:\d+: layer "p" \(Python\): would import'
    ) as told:
        caffe.Net(source(NET), caffe.TEST)
    assert "python_layers=True" in str(told.value)
    assert "user_layers" not in sys.modules


def test_it_runs_when_allowed() -> None:
    net = caffe.Net(source(NET), caffe.TEST, python_layers=True)
    net.blobs["x"].data[...] = [[1, 2], [3, 4], [5, 6]]
    assert net.layers[1].type == "Python"
    np.testing.assert_allclose(net.forward()["y"], net.blobs["x"].data * 2.5 + caffe.TEST)
    net.blobs["x"].reshape(1, 2)
    assert net.forward()["y"].shape == (1, 2)
    assert net.params["p"][0].data.shape == (1,)


OWN = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: 1 } } }
layer { name: "p" type: "Python" bottom: "ip" top: "TOP"
  python_param { module: "user_layers" layer: "Own" param_str: "2.5" } }
layer { name: "relu" type: "ReLU" bottom: "TOP" top: "TOP" }
"""


@pytest.mark.parametrize("top", ["ip", "own"])
def test_names_that_only_some_layers_have_are_free(top: str) -> None:
    """Even between a layer that takes an epilogue and one that is one."""
    net = caffe.Net(source(OWN.replace("TOP", top)), caffe.TEST, python_layers=True)
    net.blobs["x"].data[...] = [[1, 2], [3, 4], [-5, -6]]
    product = np.array([[3, 3], [7, 7], [-11, -11]])
    expected = np.maximum(product * 2.5 + caffe.TEST, 0)
    np.testing.assert_allclose(net.forward()[top], expected)


def test_a_registered_class_needs_no_leave() -> None:
    import user_layers  # type: ignore[import-not-found]

    caffe.register_python_layer(user_layers.Scaled)
    net = caffe.Net(source(NET), caffe.TRAIN)
    net.blobs["x"].data[...] = 2
    assert (net.forward()["y"] == 5).all()


def test_a_class_that_the_program_has_imported_needs_no_leave() -> None:
    importlib.import_module("user_layers")
    net = caffe.Net(source(NET), caffe.TRAIN)
    net.blobs["x"].data[...] = 2
    assert (net.forward()["y"] == 5).all()


def test_a_class_of_the_program_itself_needs_no_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    main = importlib.import_module("user_layers")
    monkeypatch.delitem(sys.modules, "user_layers")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert type(caffe.Net(source(NET), caffe.TEST).layers[1]).__base__ is main.Scaled
    assert "user_layers" not in sys.modules
    with pytest.raises(LayerError, match="would import and run"):
        caffe.Net(source(NET.replace("user_layers", "other")), caffe.TEST)


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("user_layers", "Trap"),
        ("user_layers", "not_a_layer"),
        ("user_layers", "Builtin"),
        ("caffe_lite.layers.data", "HDF5Output"),
        ("os", "system"),
    ],
)
def test_nothing_else_of_what_is_imported_is_used(module: str, layer: str) -> None:
    importlib.import_module("user_layers")
    net = NET.replace('"user_layers"', f'"{module}"').replace('"Scaled"', f'"{layer}"')
    with pytest.raises(LayerError, match="would import and run"):
        caffe.Net(source(net), caffe.TEST)


def test_all_nets_may_be_allowed_at_once() -> None:
    caffe.allow_python_layers()
    assert "y" in caffe.Net(source(NET), caffe.TEST).blobs
    del sys.modules["user_layers"]
    caffe.allow_python_layers(False)
    with pytest.raises(LayerError, match="would import"):
        caffe.Net(source(NET), caffe.TEST)


def test_a_layer_may_have_its_own_use_for_names() -> None:
    module = importlib.import_module("user_layers")

    class Own(module.Scaled):  # type: ignore[misc, name-defined]
        def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
            self.params = self.check = self.buffers = self.top_shapes = {"mine": 1}
            self.name, self.type, self.phase = "mine", "mine", 7
            assert self.param_str_ == self.param_str

        def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
            top[0].data[...] = self.phase

    caffe.register_python_layer(Own, "user_layers")
    net = caffe.Net(source(NET.replace('"Scaled"', '"Own"')), caffe.TEST)
    assert (net.forward()["y"] == 7).all()
    net.blobs["x"].reshape(4, 5)
    assert net.forward()["y"].shape == (4, 5)
    assert net.layers[1].params == {"mine": 1}


def test_a_python_loss_passes_its_gradient_down() -> None:
    net = caffe.Net(
        source(
            """
            force_backward: true
            layer { name: "in" type: "Input" top: "x" top: "t"
              input_param { shape { dim: 3 dim: 2 } } }
            layer { name: "loss" type: "Python" bottom: "x" bottom: "t" top: "loss" loss_weight: 1
              python_param { module: "user_layers" layer: "EuclideanLossLayer" } }
            """
        ),
        caffe.TRAIN,
        python_layers=True,
    )
    x, t = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    net.blobs["x"].data[...], net.blobs["t"].data[...] = x, t
    np.testing.assert_allclose(net.compute_loss(), ((x - t) ** 2).sum() / 6, rtol=1e-6)
    net.compute_gradients()
    np.testing.assert_allclose(net.blobs["x"].diff, (x - t) / 3, rtol=1e-6)
    np.testing.assert_allclose(net.blobs["t"].diff, (t - x) / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "layer", "says"),
    [
        ("no_such_module", "X", 'no module "no_such_module"'),
        ("user_layers", "Missing", 'module "user_layers" has no "Missing"'),
        ("user_layers", "not_a_layer", "not a class derived from caffe_lite.Layer"),
    ],
)
def test_what_it_cannot_import_it_names(module: str, layer: str, says: str) -> None:
    net = NET.replace('"user_layers"', f'"{module}"').replace('"Scaled"', f'"{layer}"')
    with pytest.raises(LayerError, match=says):
        caffe.Net(source(net), caffe.TEST, python_layers=True)


REGIONS = """
layer { name: "in" type: "Input" top: "x" top: "more"
  input_param { shape { dim: 1 dim: 2 dim: 5 dim: 6 } shape { dim: 1 dim: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 2 weight_filler { type: "xavier" } } }
SOURCE
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 1 } }
layer { name: "scores" type: "InnerProduct" bottom: "pool" top: "scores"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "moves" type: "InnerProduct" bottom: "pool" top: "moves"
  inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "class" type: "SoftmaxWithLoss" bottom: "scores" bottom: "labels" top: "class"
  propagate_down: true propagate_down: false }
layer { name: "box" type: "SmoothL1Loss" bottom: "moves" bottom: "targets" bottom: "inside"
  bottom: "outside" top: "box" loss_weight: 1 }
"""

BY_PYTHON = """
layer { name: "regions" type: "Python" bottom: "conv" bottom: "more"
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside"
  python_param { module: "user_layers" layer: "Regions" param_str: "TRAIN: 3, TEST: 7" } }
"""

BY_HAND = """
layer { name: "given" type: "Input" top: "rois" top: "labels" top: "targets" top: "inside"
  top: "outside" input_param { shape { dim: 1 dim: 5 } shape { dim: 1 dim: 1 }
  shape { dim: 1 dim: 8 } shape { dim: 1 dim: 8 } shape { dim: 1 dim: 8 } } }
"""


def regions(text: str, phase: int) -> caffe.Net:
    caffe.set_random_seed(5)
    net = caffe.Net(source(REGIONS.replace("SOURCE", text)), phase, python_layers=True)
    caffe.set_random_seed(-1)
    net.blobs["x"].data[...] = np.random.default_rng(2).standard_normal((1, 2, 5, 6))
    return net


def test_a_layer_may_shape_its_tops_in_forward_alone() -> None:
    for phase, least in ((caffe.TRAIN, 3), (caffe.TEST, 7)):
        net = regions(BY_PYTHON, phase)
        assert net.blobs["rois"].shape == (1, 5)
        for more in (2, 0, 4):
            net.blobs["more"].data[...] = more
            net.forward()
            assert net.blobs["scores"].shape == (least + more, 2)
            assert net.blobs["labels"].shape == (least + more,)


def test_what_a_layer_does_not_pass_down_is_no_gradient() -> None:
    """Regions that come of what learns are taken as given, as Faster R-CNN is trained."""
    net, other = regions(BY_PYTHON, caffe.TRAIN), regions(BY_HAND, caffe.TRAIN)
    for more in (4, 1):
        net.blobs["more"].data[...] = more
        net.forward()
        for name in ("rois", "labels", "targets", "inside", "outside"):
            other.blobs[name].reshape(*net.blobs[name].shape)
            other.blobs[name].data[...] = net.blobs[name].data
        other.forward()
        for one in (net, other):
            one.clear_param_diffs()
            one.backward()
        for mine, theirs in zip(net.params["conv"], other.params["conv"], strict=True):
            assert np.abs(theirs.diff).max() > 0.01
            np.testing.assert_array_equal(mine.diff, theirs.diff)
        assert not net.blobs["rois"].diff.any()
        assert not net.blobs["inside"].diff.any()


def test_the_phase_is_a_number_with_a_name() -> None:
    layer = regions(BY_PYTHON, caffe.TEST).layers[3]
    assert layer.type == "Python"
    assert layer.phase == caffe.TEST
    assert str(layer.phase) == "TEST"
    assert f"{layer.phase:d}" == "1"
