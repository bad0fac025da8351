"""export_onnx of whole nets: names, inputs and outputs, open sizes, the file; what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import caffe_lite
from caffe_lite.errors import CaffeError
from caffe_lite.export import export_onnx, model
from tests.net import source

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

SPREAD = '{ type: "uniform" min: -1 max: 1 }'
HEAD = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } } }
"""
CONV = f"""layer {{ name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param {{
  num_output: 4 kernel_size: 3 weight_filler {SPREAD} bias_filler {SPREAD} }} }}
"""
NORM = """layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
"""
SCALE = f"""layer {{ name: "scale" type: "Scale" bottom: "c" top: "c" scale_param {{
  filler {SPREAD} bias_term: true bias_filler {SPREAD} }} }}
"""
RELU = """layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
"""
DENSE = f"""layer {{ name: "fc" type: "InnerProduct" bottom: "c" top: "y" inner_product_param {{
  num_output: 6 weight_filler {SPREAD} bias_filler {SPREAD} }} }}
"""


def build(content: str) -> caffe_lite.Net:
    """A net for TEST with random weights and statistics."""
    caffe_lite.set_random_seed(5)
    net = caffe_lite.Net(source(content), caffe_lite.TEST)
    draws = np.random.default_rng(1)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for blob in layer.blobs[:2]:
                blob.data[...] = draws.uniform(0.5, 1.5, blob.shape)
            layer.blobs[2].data[...] = 0.5
    return net


def compare(net: caffe_lite.Net, path: Path, **given: tuple[int, ...]) -> None:
    """ONNX Runtime gives the outputs that the net gives for inputs of these shapes."""
    draws = np.random.default_rng(2)
    arrays = {name: draws.standard_normal(shape, np.float32) for name, shape in given.items()}
    session = ort.InferenceSession(str(path))
    names = [each.name for each in session.get_outputs()]
    for name, got in zip(names, session.run(names, arrays), strict=True):
        for blob, array in arrays.items():
            net.blobs[blob].reshape(*array.shape)
        net.reshape()
        for blob, array in arrays.items():
            net.blobs[blob].data[...] = array
        last = len(net.layers) - 1
        net.forward_from_to(0, last)
        want = net.blobs[name].data
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_a_chain_in_place_is_three_nodes_and_keeps_the_blobs_names(tmp_path):
    net, path = build(HEAD + CONV + NORM + SCALE + RELU + DENSE), tmp_path / "net.onnx"
    exported = export_onnx(net, path)
    assert exported.inputs == {"x": ("N", 3, 7, 5)}
    assert exported.outputs == {"y": ("N", 6)}
    assert exported.fixed_by is None
    assert exported.size == path.stat().st_size
    found = onnx.load(path)
    onnx.checker.check_model(found, full_check=True)
    nodes = [(node.op_type, list(node.output)) for node in found.graph.node]
    assert nodes == [
        ("Conv", ["c/conv"]),
        ("BatchNormalization", ["c/scale"]),
        ("Relu", ["c"]),
        ("Flatten", ["fc/Flatten"]),
        ("Gemm", ["y"]),
    ]
    assert {"conv/weight", "conv/bias", "fc/weight", "fc/bias"} <= {
        each.name for each in found.graph.initializer
    }
    assert found.producer_name == "caffe_lite"
    assert found.opset_import[0].version == 17
    for items in 2, 5:
        compare(net, path, x=(items, 3, 7, 5))


def test_a_batch_norm_whose_top_another_layer_reads_stays_as_it_is(tmp_path):
    apart = SCALE.replace('top: "c"', 'top: "s"')
    net = build(HEAD + CONV + NORM + apart + DENSE)
    export_onnx(net, tmp_path / "net.onnx")
    ops = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert ops == ["Conv", "BatchNormalization", "Mul", "Add", "Flatten", "Gemm"]
    compare(net, tmp_path / "net.onnx", x=(3, 3, 7, 5))


def test_a_batch_norm_takes_all_the_scales_after_it(tmp_path):
    """The shift that it has by then is multiplied, too."""
    bias = f"""layer {{ name: "bias" type: "Bias" bottom: "c" top: "c"
      bias_param {{ filler {SPREAD} }} }}
    """
    net = build(HEAD + CONV + NORM + bias + SCALE + DENSE)
    export_onnx(net, tmp_path / "net.onnx")
    ops = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert ops == ["Conv", "BatchNormalization", "Flatten", "Gemm"]
    compare(net, tmp_path / "net.onnx", x=(3, 3, 7, 5))


@pytest.mark.parametrize("count", [1, 2])
def test_of_equal_scores_the_later_is_the_largest(tmp_path, count):
    net = build(
        HEAD
        + f"""layer {{ name: "best" type: "ArgMax" bottom: "x" top: "y"
      argmax_param {{ axis: 1 top_k: {count} }} }}"""
    )
    export_onnx(net, tmp_path / "net.onnx")
    session = ort.InferenceSession(str(tmp_path / "net.onnx"))
    x = np.zeros((1, 3, 7, 5), np.float32)
    (got,) = session.run(None, {"x": x})
    assert [np.unique(each) for each in got[0]] == [2, 1][:count]
    np.testing.assert_array_equal(got, net(x)["y"])


def test_a_flow_of_zeros_moves_nothing_not_even_at_the_borders(tmp_path):
    net = build(HEAD.replace('top: "x"', 'top: "x" top: "flow"').replace(
        "dim: 5 } }", "dim: 5 } shape { dim: 2 dim: 2 dim: 7 dim: 5 } }"
    ) + 'layer { name: "w" type: "FlowWarp" bottom: "x" bottom: "flow" top: "y" }')  # fmt: skip
    export_onnx(net, tmp_path / "net.onnx")
    session = ort.InferenceSession(str(tmp_path / "net.onnx"))
    x = np.random.default_rng(6).standard_normal((2, 3, 7, 5), np.float32)
    (got,) = session.run(None, {"x": x, "flow": np.zeros((2, 2, 7, 5), np.float32)})
    np.testing.assert_allclose(got, x, atol=1e-5)


def test_shared_parameters_are_stored_once(tmp_path):
    twins = "".join(
        f"""layer {{ name: "conv{i}" type: "Convolution" bottom: "x" top: "c{i}"
          param {{ name: "w" }} convolution_param {{ num_output: 4 kernel_size: 3
          bias_term: false weight_filler {SPREAD} }} }}
        """
        for i in range(2)
    )
    net = build(HEAD + twins)
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.weights == 4 * 3 * 3 * 3
    compare(net, tmp_path / "net.onnx", x=(2, 3, 7, 5))


HEADS = (
    HEAD.replace('top: "x"', 'top: "x" top: "labels"').replace(
        "dim: 5 } }", "dim: 5 } shape { dim: 2 dim: 5 dim: 3 } }"
    )
    + CONV
    + RELU
    + """layer { name: "loc" type: "Flatten" bottom: "c" top: "loc" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 } }
layer { name: "prior" type: "PriorBox" bottom: "c" bottom: "x" top: "prior"
  prior_box_param { min_size: 3 } }
layer { name: "conf" type: "Flatten" bottom: "p" top: "conf" }
layer { name: "found" type: "SegAccuracy" bottom: "c" bottom: "labels" top: "f" }
"""
)


def test_a_type_that_onnx_lacks_is_refused_with_the_layer_to_cut_at(tmp_path):
    net, path = build(HEADS), tmp_path / "net.onnx"
    with pytest.raises(CaffeError) as caught:
        export_onnx(net, path)
    assert str(caught.value) == (
        'net:11:29: layer "found" (SegAccuracy): is not exported to ONNX: a measure, which '
        'compares with labels; export the layers before it, until "conf"'
    )
    assert not path.exists()
    exported = export_onnx(net, path, until="conf")
    assert exported.inputs == {"x": ("N", 3, 7, 5)}
    # c, which the layer that is left out would read, is an output by its own name
    assert exported.outputs == {
        "c": ("N", 4, 5, 3), "conf": ("N", 32), "loc": ("N", 60), "prior": (1, 2, 60),
    }  # fmt: skip
    compare(net, path, x=(2, 3, 7, 5))
    assert export_onnx(net, path, until="loc").outputs == {"c": ("N", 4, 5, 3), "loc": ("N", 60)}


def test_without_a_layer_before_it_the_deploy_prototxt_is_advised(tmp_path):
    labels = HEAD.replace('top: "x"', 'top: "x" top: "labels"')
    net = build(
        labels
        + """layer { name: "found" type: "EuclideanLoss" bottom: "x" bottom: "labels"
      top: "loss" }"""
    )
    with pytest.raises(
        CaffeError, match=r"compares with labels; export the net's deploy prototxt"
    ):
        export_onnx(net, tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("reshape", "shape", "fixed"),
    [
        ("dim: 0 dim: -1", ("N", 105), None),
        ("dim: -1 dim: 35", ("3*N", 35), None),
        ("dim: 0 dim: 5 dim: 7 dim: 3", ("N", 5, 7, 3), None),
        ("dim: 6 dim: -1", (6, "r_0_1"), None),
        ("dim: 2 dim: 105", (2, 105), "r"),
    ],
)
def test_a_reshape_leaves_the_batch_open_if_it_can(tmp_path, reshape, shape, fixed):
    net = build(f"""{HEAD}layer {{ name: "r" type: "Reshape" bottom: "x" top: "y"
      reshape_param {{ shape {{ {reshape} }} }} }}""")
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.outputs == {"y": shape}
    assert exported.fixed_by == fixed
    assert exported.inputs == {"x": (2 if fixed else "N", 3, 7, 5)}
    assert ("fixed batch" in str(exported)) == bool(fixed)
    compare(net, tmp_path / "net.onnx", x=(2, 3, 7, 5))
    if not fixed:
        compare(net, tmp_path / "net.onnx", x=(4, 3, 7, 5))


def test_independent_inputs_have_sizes_of_their_own(tmp_path):
    inputs = """layer { name: "in" type: "Input" top: "a" top: "b" top: "d"
      input_param { shape { dim: 2 dim: 3 } shape { dim: 4 dim: 3 } shape { dim: 2 dim: 3 } } }
    """
    sums = 'layer { name: "s" type: "Eltwise" bottom: "a" bottom: "d" top: "s" }'
    power = 'layer { name: "p" type: "Power" bottom: "b" top: "p" power_param { scale: 2 } }'
    net = build(inputs + sums + power)
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.inputs == {"a": ("N_a", 3), "b": ("N", 3), "d": ("N_a", 3)}
    compare(net, tmp_path / "net.onnx", a=(5, 3), b=(1, 3), d=(5, 3))


def test_a_recurrent_net_goes_on_from_the_states_that_it_gave(tmp_path):
    net = build(f"""layer {{ name: "in" type: "Input" top: "x" top: "cont"
      input_param {{ shape {{ dim: 4 dim: 2 dim: 3 }} shape {{ dim: 4 dim: 2 }} }} }}
    layer {{ name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param {{
      num_output: 5 weight_filler {SPREAD} bias_filler {SPREAD} }} }}""")
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.inputs == {
        "x": ("T", "N", 3), "cont": ("T", "N"), "lstm/h": (1, "N", 5), "lstm/c": (1, "N", 5),
    }  # fmt: skip
    assert list(exported.outputs) == ["h", "lstm/h_next", "lstm/c_next"]
    session = ort.InferenceSession(str(tmp_path / "net.onnx"))
    draws = np.random.default_rng(4)
    x = draws.standard_normal((7, 3, 3), np.float32)
    cont = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]])
    states = {name: np.zeros((1, 3, 5), np.float32) for name in ("lstm/h", "lstm/c")}
    found = []
    for part in slice(0, 3), slice(3, 7):
        given = {"x": x[part], "cont": cont[part].astype(np.float32), **states}
        h, *last = session.run(["h", "lstm/h_next", "lstm/c_next"], given)
        found.append(h)
        states = dict(zip(states, last, strict=True))
    wanted = net(x=x, cont=cont)["h"]
    np.testing.assert_allclose(np.concatenate(found), wanted, atol=1e-5)


def test_places_that_a_pooling_tells_lead_back(tmp_path):
    net = build(
        HEAD.replace("dim: 7 dim: 5", "dim: 8 dim: 6")
        + """
    layer { name: "pool" type: "Pooling" bottom: "x" top: "p" top: "places"
      pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "up" type: "Upsample" bottom: "p" bottom: "places" top: "y" }"""
    )
    export_onnx(net, tmp_path / "net.onnx")
    compare(net, tmp_path / "net.onnx", x=(3, 3, 8, 6))


def test_names_that_clash_or_that_a_terminal_cannot_show(tmp_path):
    """An input that is overwritten in place; a layer called as a blob; a control character."""
    net = build(
        HEAD
        + """layer { name: "x" type: "Power" bottom: "x" top: "x"
      power_param { scale: 2 } }
    layer { name: "t" type: "TanH" bottom: "x" top: "x/x" }
    layer { name: "u" type: "Sigmoid" bottom: "x/x" top: "x/x" }
    layer { name: "odd" type: "AbsVal" bottom: "x/x" top: "a\\033b" }"""
    )
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert list(exported.inputs) == ["x"]
    assert list(exported.outputs) == ["a\\x1bb"]
    session = ort.InferenceSession(str(tmp_path / "net.onnx"))
    x = np.linspace(-1, 1, 2 * 3 * 7 * 5, dtype=np.float32).reshape(2, 3, 7, 5)
    (got,) = session.run(None, {"x": x})
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-np.tanh(2 * x))), rtol=1e-5)


def test_an_output_that_is_another_blob_too_has_its_own_name(tmp_path):
    net = build(HEAD + 'layer { name: "d" type: "Dropout" bottom: "x" top: "y" }')
    assert export_onnx(net, tmp_path / "net.onnx").outputs == {"y": ("N", 3, 7, 5)}
    compare(net, tmp_path / "net.onnx", x=(2, 3, 7, 5))


def test_nets_and_arguments_that_are_refused(tmp_path):
    path = tmp_path / "net.onnx"
    net = build(HEAD + CONV)
    for given, until, says in (
        ("net.prototxt", None, "net must be a Net, not 'net.prototxt'"),
        (net, "conc", 'the net has no layer "conc"'),
        (net, 3, "the net has no layer 3 .int."),
        (net, "in", "nothing to export"),
        (caffe_lite.Net(source(HEAD + CONV), caffe_lite.TRAIN), None, "build it for TEST"),
    ):
        with pytest.raises(CaffeError, match=says):
            export_onnx(given, path, until=until)
    with pytest.raises(CaffeError, match="there is no folder"):
        export_onnx(net, tmp_path / "absent" / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_would_be_too_large_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(model, "LARGEST", 1000)
    with pytest.raises(CaffeError, match=r"net\.onnx: would take .* more than the 2 GB"):
        export_onnx(build(HEAD + CONV + DENSE), path)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]


def test_without_the_package_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CaffeError, match=r"pip install 'caffe_lite\[onnx\]'"):
        export_onnx(build(HEAD + CONV), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_exporting_leaves_the_net_as_it_was(tmp_path):
    net = build(HEAD + CONV + NORM + SCALE + RELU + DENSE)
    net.blobs["x"].data[...] = 0.5
    before = net.forward()["y"].copy()
    export_onnx(net, tmp_path / "net.onnx")
    assert np.array_equal(net.blobs["x"].data, np.full((2, 3, 7, 5), 0.5, np.float32))
    assert np.array_equal(net.forward()["y"], before)


def test_a_net_in_float64_becomes_float32(tmp_path):
    net = caffe_lite.Net(source(HEAD + CONV), caffe_lite.TEST, dtype=np.float64)
    export_onnx(net, tmp_path / "net.onnx")
    compare(net, tmp_path / "net.onnx", x=(2, 3, 7, 5))
