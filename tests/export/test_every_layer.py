"""Every case of every type that is exported: ONNX Runtime gives what the case expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite
from caffe_lite.blob import Array, Shape
from caffe_lite.errors import LayerError
from caffe_lite.export import Exported, export_onnx
from caffe_lite.export.registry import exported_types
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.testing import Case, Rig
from tests.every_case import CASES, label

TOLERANCE = 1e-4
EXPORTED = [case for case in CASES if case.type in exported_types() and not case.files]
# What a type that is exported cannot be, by a word of the case's configuration.
REFUSALS = {
    "DummyData": ("gaussian", "draws gaussian numbers anew"),
    "Dropout": ("sample_weights_test", "draws random numbers"),
    "Input": ("", "nothing to export"),
    "LabelSpecificRescale": ("rescale_test", "needs labels"),
    "Silence": ("", "nothing to export"),
}
# What they do in TEST is not what these cases expect: there the net itself says what is right.
TRAIN_DIFFERS = {
    "BN", "BatchNorm", "DenseBlock", "Dropout", "LabelSpecificAdd", "LabelSpecificRescale",
    "SeLuDropout",
}  # fmt: skip


def net_of(case: Case, rig: Rig) -> caffe_lite.Net:
    """A net of the case's layer alone, with inputs for its bottoms, for TEST."""
    message = caffe_pb2.NetParameter(name="case")
    for index, blob in enumerate(rig.bottom):
        layer = message.layer.add(name=f"in{index}", type="Input", top=[f"bottom{index}"])
        layer.input_param.shape.add(dim=blob.shape)
    layer = message.layer.add()
    text.parse(case.config, layer, "case")
    layer.name, layer.type = "layer", case.type
    layer.ClearField("phase")
    del layer.bottom[:], layer.top[:]
    layer.bottom.extend(f"bottom{index}" for index in range(len(rig.bottom)))
    layer.top.extend(f"top{index}" for index in range(len(rig.top)))
    net = caffe_lite.Net(message, caffe_lite.TEST)
    for blob, given in zip(net.layers[-1].blobs, rig.layer.blobs, strict=True):
        blob.data[...] = given.data
    return net


def run(ort: Any, path: Path, exported: Exported, rig: Rig) -> list[Array]:
    """The tops that ONNX Runtime computes; states begin as zeros."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), settings)
    given = {}
    for name in exported.inputs:
        if name.startswith("bottom"):
            given[name] = rig.bottom[int(name[6:])].data.astype(np.float32)
        else:
            streams = rig.bottom[0].shape[1]
            given[name] = np.zeros((1, streams, exported.inputs[name][2]), np.float32)
    tops = [f"top{index}" for index in range(len(rig.top))]
    return list(session.run(tops, given))


def answers_of(net: caffe_lite.Net, rig: Rig) -> list[Array]:
    """The tops that the net computes."""
    answers = net(**{f"bottom{index}": blob.data for index, blob in enumerate(rig.bottom)})
    return [answers[f"top{index}"] for index in range(len(rig.top))]


def wanted(
    case: Case, rig: Rig, net: caffe_lite.Net, params: list[Array], got: list[Array]
) -> list[Array]:
    """What the tops must be: as the case expects, unless that is for TRAIN or another batch."""
    if (case.type in TRAIN_DIFFERS and case.phase == "TRAIN") or case.random:
        return answers_of(net, rig)
    assert case.expect is not None
    try:
        found = case.expect(*[blob.data.astype(np.float64) for blob in rig.bottom], *params)
    except ValueError:  # an answer for the case's own shape
        return answers_of(net, rig)
    found = list(found) if isinstance(found, (list, tuple)) else [found]
    same = [np.shape(one) for one in found] == [one.shape for one in got]
    return found if same else answers_of(net, rig)


def compare(got: list[Array], want: list[Array]) -> None:
    for one, other in zip(got, want, strict=True):
        assert one.shape == np.shape(other)
        finite = np.isfinite(other)
        np.testing.assert_array_equal(np.isfinite(one), finite)
        scale = np.abs(np.where(finite, other, 0)).max(initial=1e-3)
        error = np.abs(np.where(finite, one, 0) - np.where(finite, other, 0)).max(initial=0)
        assert error <= TOLERANCE * scale, f"{error / scale:.2e}"


def larger(case: Case, exported: Exported) -> list[Shape] | None:
    """The case's bottoms with two more items where the model lets them be any number."""
    shapes = []
    for index, shape in enumerate(case.bottoms):
        sizes = exported.inputs.get(f"bottom{index}", shape)
        shapes.append(
            tuple(
                size if isinstance(name, int) else size + 2
                for size, name in zip(shape, sizes, strict=True)
            )
        )
    return None if shapes == [tuple(shape) for shape in case.bottoms] else shapes


@pytest.mark.parametrize("case", EXPORTED, ids=label)
def test_onnx_runtime_gives_what_the_case_expects(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    rig = Rig(case, np.float32, tmp_path)
    params = [blob.data.astype(np.float64) for blob in rig.layer.blobs]
    net = net_of(case, rig)
    path = tmp_path / "case.onnx"
    word, says = REFUSALS.get(case.type, ("", ""))
    if says and word in case.config:
        with pytest.raises(caffe_lite.CaffeError, match=says):
            export_onnx(net, path)
        assert not path.exists()
        return
    exported = export_onnx(net, path)
    got = run(ort, path, exported, rig)
    compare(got, wanted(case, rig, net, params, got))
    shapes = larger(case, exported)
    if shapes is None:
        return
    try:
        other = Rig(case, np.float32, tmp_path, bottoms=shapes)
    except (LayerError, ValueError):  # values that are given for one shape alone
        return
    got = run(ort, path, exported, other)
    compare(got, wanted(case, other, net, params, got))
