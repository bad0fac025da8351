"""Layer types of a program: registered, trained, saved, loaded, and refused where they are not."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import caffe_lite as caffe
from caffe_lite import cli, registration, testing
from caffe_lite.arguments import ArgumentError
from caffe_lite.errors import CaffeError, LayerError, PrototxtError
from caffe_lite.layers.declarations import Param
from caffe_lite.proto import caffe_pb2, files, private_fields, text
from caffe_lite.proto.tree import Tree, Word
from tests.net import source

PROTO = """\
syntax = "proto2";
message Filler {
  optional string type = 1 [default = "constant"];
  optional float value = 2 [default = 0];
}
message GateParameter {
  enum Mode { SOFT = 0; HARD = 1; }
  optional float gain = 1 [default = 0.5];
  optional Mode mode = 2 [default = SOFT];
  repeated int32 size = 3;
  optional Filler slope_filler = 4;
}
"""
NET = """\
name: "private"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 dim: 2 } } }
layer {
  name: "gate"
  type: "Gate"
  bottom: "x"
  top: "y"
  gate_param {
    gain: 2.5
    mode: HARD  # the harder one
    size: 1 size: 2
    slope_filler { type: "constant" value: 3 }
  }
}
layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1
  reduction_param { operation: SUMSQ } }
"""


class Gate(caffe.Layer):
    """y = gain slope x, with a learned slope for each channel."""

    config_field = "gate_param"

    def check(self, *bottom):
        gain = getattr(self.config, "gain", 0.5)
        self.require(gain > 0, "gain", f"gain must be above 0, not {gain:g}")
        sizes = list(self.config["size"] if isinstance(self.config, Tree) else self.config.size)
        self.require(len(sizes) < 3, "size[2]", f"{len(sizes)} sizes, but only 2 are used")
        self.gain = gain

    def params(self, *bottom):
        return [Param("slope", (bottom[0][1],), "slope_filler")]

    def top_shapes(self, *bottom):
        return list(bottom)

    def forward(self, bottom, top):
        top[0].data[...] = self.gain * self.slope.data[:, None] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        dy = self.gain * top[0].diff
        if propagate_down[0]:
            bottom[0].diff[...] = dy * self.slope.data[:, None]
        self.slope.diff[...] += (dy * bottom[0].data).sum(axis=(0, 2))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with the net; no registered type and no log of a command afterwards."""
    logger = logging.getLogger("caffe_lite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "gate.proto").write_text(PROTO)
    yield tmp_path
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
    for name in list(registration._fields):  # also those of a test that was skipped half-way
        caffe.unregister(name)
    assert not private_fields.is_registered("gate_param")


def generated():
    """The message class of gate_param as protoc's Python has it."""
    return message_factory.GetMessageClass(descriptor().message_types_by_name["GateParameter"])


def descriptor():
    pool = descriptor_pool.DescriptorPool()
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled()).file
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def compiled():
    """What ``protoc -o`` makes of gate.proto."""
    pytest.importorskip("grpc_tools")
    command = ["-m", "grpc_tools.protoc", "-I.", "-ogate.binpb", "gate.proto"]
    subprocess.run([sys.executable, *command], check=True)
    with open("gate.binpb", "rb") as file:
        return file.read()


def by_tree():
    return {}


def by_proto():
    pytest.importorskip("grpc_tools")
    return {"proto": "gate.proto"}


def by_descriptor():
    compiled()
    return {"proto": "gate.binpb", "message": "GateParameter"}


def by_class():
    return {"message": generated()}


WAYS = pytest.mark.parametrize("way", [by_tree, by_proto, by_descriptor, by_class])


# -- all the way ---------------------------------------------------------------------------


@WAYS
def test_a_private_net_is_trained_saved_and_loaded_again(way, caplog):
    caffe.register("Gate", **way())(Gate)
    param = caffe_pb2.SolverParameter(
        net="net.prototxt", base_lr=0.01, lr_policy="fixed", snapshot_prefix="run", max_iter=3
    )
    with caffe.get_solver(param) as solver:
        assert solver.net.params["gate"][0].data.tolist() == [3] * 4, "the filler's"
        solver.net.blobs["x"].data[...] = np.linspace(-1, 1, 24).reshape(3, 4, 2)
        losses = [float(solver.net.forward()["loss"])]
        solver.step(3)
        losses.append(float(solver.net.forward()["loss"]))
        assert losses[1] < 0.8 * losses[0]
        solver.net.save("net.caffemodel")
        solver.net.save_hdf5("net.caffemodel.h5")
        solver.snapshot()
        slopes = solver.net.params["gate"][0].data.copy()
    for weights in ("net.caffemodel", "net.caffemodel.h5", "run_iter_3.caffemodel"):
        net = caffe.Net("net.prototxt", caffe.TEST, weights=weights)
        np.testing.assert_array_equal(net.params["gate"][0].data, slopes)
    alone = caffe.Net(files.read_weights("net.caffemodel"), caffe.TEST)
    np.testing.assert_array_equal(alone.params["gate"][0].data, slopes)
    assert alone.layer_dict["gate"].gain == 2.5
    again = caffe.get_solver(param)
    again.restore("run_iter_3.solverstate")
    np.testing.assert_array_equal(again.net.params["gate"][0].data, slopes)
    assert [record for record in caplog.records if "gate_param" in record.getMessage()] == []


@WAYS
def test_the_parameter_message_is_written_as_it_was(way):
    caffe.register("Gate", **way())(Gate)
    net = caffe.Net("net.prototxt", caffe.TEST)
    for message in (files.read_net("net.prototxt").to_message(), net.to_proto()):
        written = text.format(message)
        assert "    mode: HARD  # the harder one\n    size: 1 size: 2\n" in written
        again = caffe.Net(source(written), caffe.TEST)
        assert again.layer_dict["gate"].config == net.layer_dict["gate"].config
    assert cli.main(["upgrade_net_proto_text", "net.prototxt", "new.prototxt"]) == 0
    with open("new.prototxt") as file:
        assert "gate_param {\n    gain: 2.5\n    mode: HARD  # the harder one\n" in file.read()


def test_plain_values():
    caffe.register("Gate")(Gate)
    config = caffe.Net("net.prototxt", caffe.TEST).layer_dict["gate"].config
    assert (config.gain, config.mode, config.size) == (2.5, "HARD", [1, 2])
    assert config.slope_filler.value == 3


@pytest.mark.parametrize("way", [by_proto, by_class])
def test_a_message_has_defaults_and_numbers_for_words(way):
    caffe.register("Gate", **way())(Gate)
    config = caffe.Net("net.prototxt", caffe.TEST).layer_dict["gate"].config
    assert (config.gain, config.mode, list(config.size)) == (2.5, 1, [1, 2])
    empty = NET.replace("gain: 2.5", "").replace("mode: HARD", "")
    assert caffe.Net(source(empty), caffe.TEST).layer_dict["gate"].gain == 0.5


@WAYS
def test_a_message_that_is_not_written_is_empty(way):
    caffe.register("Gate", **way())(Gate)
    start = NET.index("  gate_param")
    bare = NET[:start] + NET[NET.index("\n}\nlayer", start) + 1 :]
    net = caffe.Net(source(bare), caffe.TEST)
    assert net.layer_dict["gate"].gain == 0.5
    assert net.params["gate"][0].data.tolist() == [0] * 4, "the filler's default"


# -- errors with their positions -----------------------------------------------------------


@WAYS
@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("gain: 2.5", "gain: -1", "9:11", "gain must be above 0, not -1"),
        ("size: 2", "size: 2 size: 7", "11:27", "3 sizes, but only 2 are used"),
        ("size: 2", "size: [2, 7]", "11:23", "3 sizes, but only 2 are used"),
        ("constant", "konstant", "12:26", 'unknown filler type "konstant"'),
    ],
)
def test_a_layers_own_errors_say_where(way, old, new, place, says):
    caffe.register("Gate", **way())(Gate)
    with pytest.raises(LayerError) as caught:
        caffe.Net(source(NET.replace(old, new)), caffe.TEST)
    assert str(caught.value).startswith(f'net:{place}: layer "gate" (Gate): {says}')


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("gain:", "gian:", "9:5", 'GateParameter has no field "gian"; did you mean "gain"?'),
        ("2.5", '"2.5"', "9:11", '"gain" takes a value without quotes'),
        ("HARD", "HARDER", "10:11", '"mode" has no value HARDER; did you mean "HARD"?'),
        ("mode: HARD", "gain: 1", "10:5", '"gain" is set twice; first on line 9'),
        ("  gate_param", "  gate_param { }\n  gate_param", "9:3", '"gate_param" is set twice'),
    ],
)
@pytest.mark.parametrize("allow", [False, True])
def test_a_message_checks_what_is_written(old, new, place, says, allow):
    caffe.register("Gate", **by_proto())(Gate)
    with pytest.raises(PrototxtError) as caught:
        text.parse(NET.replace(old, new, 1), caffe_pb2.NetParameter(), "net", allow)
    assert str(caught.value).startswith(f"net:{place}: {says}")
    assert "allow" not in str(caught.value)


def test_plain_values_that_are_not_set_are_an_error_at_the_message():
    class Strict(Gate):
        def check(self, *bottom):
            self.gain = self.config.gain

    caffe.register("Gate")(Strict)
    with pytest.raises(LayerError, match=r'^net:8:3: layer "gate" \(Gate\): "gain" is not set$'):
        caffe.Net(source(NET.replace("gain", "other")), caffe.TEST)


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("gate_param: 3", "gate_param must be a message in braces"),
        ("gate_param { } gate_param { }", "gate_param is set 2 times; set it once"),
    ],
)
def test_plain_values_must_be_one_message(new, says):
    caffe.register("Gate")(Gate)
    start = NET.index("gate_param")
    content = NET[:start] + new + NET[NET.index("\n}\nlayer", start) :]
    with pytest.raises(LayerError, match=rf'^net:8:\d+: layer "gate" \(Gate\): {says}'):
        caffe.Net(source(content), caffe.TEST)


def test_a_required_field_must_be_set(folder):
    (folder / "gate.proto").write_text(PROTO.replace("optional float gain", "required float gain"))
    caffe.register("Gate", **by_proto())(Gate)
    with pytest.raises(PrototxtError, match=r'^net:8:3: "gate_param" must set gain$'):
        caffe.Net(source(NET.replace("gain: 2.5", "")), caffe.TEST)


def test_a_message_of_a_binary_file_is_checked_too():
    caffe.register("Gate", **by_proto())(Gate)
    net = source(NET).to_message()
    net.layer[1].unknown_field[0].text = " { gain: HIGH }"
    with pytest.raises(
        LayerError, match=r'layer "gate" \(Gate\): gate_param cannot be read: "gain"'
    ):
        caffe.Net(net, caffe.TEST)


# -- without the class ---------------------------------------------------------------------


def test_without_its_class_the_net_is_read_and_shown_but_not_run(capsys):
    assert cli.main(["summarize", "net.prototxt"]) == 1
    assert "net.prototxt:8:3: LayerParameter has no field" in capsys.readouterr().err
    assert cli.main(["summarize", "--allow-unknown-fields", "net.prototxt"]) == 0
    assert "gate   Gate       ?" in capsys.readouterr().out
    assert cli.main(["draw_net", "--allow-unknown-fields", "net.prototxt", "net.svg"]) == 0
    with open("net.svg") as file:
        assert "(Gate)" in file.read()
    with pytest.raises(LayerError) as caught:
        caffe.Net("net.prototxt", caffe.TEST, allow_unknown_fields=True)
    assert str(caught.value).startswith(
        'net.prototxt:5:9: layer "gate" (Gate): unknown layer type "Gate"; '
    )
    assert "caffe_lite.register" in str(caught.value)


def test_a_solver_allows_them_in_its_nets_and_reports_them_once(caplog):
    with open("net.prototxt", "w") as file:
        file.write(NET.replace('type: "Gate"', 'type: "AbsVal"'))
    with open("solver.prototxt", "w") as file:
        file.write('net: "net.prototxt" base_lr: 1 lr_policy: "fixed" test_iter: 1 '
                   "test_interval: 5 my_policy: 3")  # fmt: skip
    with pytest.raises(PrototxtError, match="my_policy"):
        caffe.get_solver("solver.prototxt")
    for make in (caffe.get_solver, caffe.SGDSolver):
        caplog.clear()
        with make("solver.prototxt", allow_unknown_fields=True) as solver:
            assert solver.test_nets
        told = [
            each.getMessage() for each in caplog.records if "has no field" in each.getMessage()
        ]
        assert [line.split('"')[1] for line in told] == ["my_policy", "gate_param"]


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_the_commands_that_read_a_prototxt_have_the_flag(command):
    reads = {
        "check", "classify", "compile", "detect", "draw_net", "export_onnx", "extract_features",
        "merge_bn", "segment", "summarize", "test", "time", "train", "upgrade_net_proto_text",
        "upgrade_solver_proto_text",
    }  # fmt: skip
    parser, _ = cli.parser_of(command)
    flags = {flag for action in parser._actions for flag in action.option_strings}
    assert ("--allow-unknown-fields" in flags) == (command in reads)


@WAYS
def test_a_net_written_in_python_has_the_message_too(way):
    caffe.register("Gate", **way())(Gate)
    spec = caffe.NetSpec()
    spec.x = caffe.layers.Input(shape={"dim": [3, 4, 2]})
    spec.y = caffe.layers.Gate(
        spec.x,
        gate_param={
            "gain": np.float32(1.5),
            "mode": Word("HARD"),
            "size": [1, 2],
            "slope_filler": {"type": "constant", "value": 2},
        },
    )
    written = text.format(spec.to_proto())
    net = caffe.Net(source(written), caffe.TEST)
    assert net.layer_dict["y"].gain == 1.5
    assert net.params["y"][0].data.tolist() == [2] * 4
    assert net.layer_dict["y"].config.mode in ("HARD", 1)
    with pytest.raises(CaffeError, match=r"gate_param"):
        caffe.layers.Gate(spec.x, gate_param=object()).to_proto()
    with pytest.raises(CaffeError, match='layer type Gate has no field "gain"'):
        caffe.layers.Gate(spec.x, gain=2).to_proto()


@WAYS
def test_the_battery_of_the_built_in_types_checks_a_layer_of_a_program(way, tmp_path):
    caffe.register("Gate", **way())(Gate)
    case = testing.Case(
        "Gate",
        [(3, 4, 2)],
        "gate_param { gain: 1.5 }",
        expect=lambda x, slope: 1.5 * slope[:, None] * x,
    )
    testing.check_layer(case, tmp_path)
    wrong = replace(case, expect=lambda x, slope: 1.5 * x)
    with pytest.raises(AssertionError):
        testing.check_layer(wrong, tmp_path)


# -- other fields --------------------------------------------------------------------------


def test_fields_that_a_class_heeds_are_known(caplog):
    class Wide(caffe.layers.convolution.Convolution):
        heeds = frozenset({"convolution_param.gain", "my_number"})

        def setup(self, bottom, top):
            super().setup(bottom, top)
            self.gains = (
                self.unknown_fields.convolution_param.gain,
                self.unknown_fields.my_number,
            )

    caffe.register("Gate")(Wide)
    layer = """layer {{ name: "c" type: "{}" bottom: "x" top: "z" my_number: 7
        convolution_param {{ num_output: 2 kernel_size: 1 gain: 0.5 }} }}"""
    head = NET[: NET.index("layer {\n")]
    net = caffe.Net(source(head + layer.format("Gate")), caffe.TEST)
    assert net.layer_dict["c"].gains == (0.5, 7)
    assert "no effect" not in caplog.text
    caffe.Net(source(head + layer.format("Convolution")), caffe.TEST)
    assert 'layer "c" (Convolution): convolution_param.gain has no effect here' in caplog.text


def test_a_class_with_a_message_of_caffes():
    class Power(Gate):
        config_field = "power_param"

    with pytest.raises(
        ArgumentError, match="takes no message: Caffe's power_param is its message"
    ):
        caffe.register("Gate", proto="gate.proto")(Power)
    assert caffe.register("Gate")(Power) is Power


# -- what cannot be registered -------------------------------------------------------------


def test_a_type_is_registered_once():
    caffe.register("Gate")(Gate)
    with pytest.raises(
        ArgumentError, match=r"registered already, as .*Gate; caffe_lite.unregister"
    ):
        caffe.register("Gate")(Gate)
    caffe.unregister("Gate")
    with pytest.raises(ArgumentError, match="no layer type 'Gate' has been registered"):
        caffe.unregister("Gate")
    with pytest.raises(ArgumentError, match="no layer type 'Convolution' has been registered"):
        caffe.unregister("Convolution")


def test_two_types_can_have_one_message_but_not_two():
    caffe.register("Gate")(Gate)
    caffe.register("Gate2")(Gate)
    with pytest.raises(ArgumentError, match="gate_param is registered already, with another mess"):
        caffe.register("Gate3", **by_proto())(Gate)
    caffe.unregister("Gate2")
    assert caffe.Net("net.prototxt", caffe.TEST), "the field is still known"


@pytest.mark.parametrize(
    ("arguments", "cls", "says"),
    [
        (("Convolution",), Gate, '"Convolution" is a layer type of caffe_lite'),
        (
            ("Gate",),
            int,
            'layer type "Gate" needs a class derived from caffe_lite.Layer, not a type',
        ),
        (("Gate",), Gate.forward, "needs a class derived from caffe_lite.Layer, not a function"),
        (("",), Gate, "a layer type is a name, not ''"),
        ((3,), Gate, "a layer type is a name, not 3"),
    ],
)
def test_what_is_no_type(arguments, cls, says):
    with pytest.raises(ArgumentError) as caught:
        caffe.register(*arguments)(cls)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"message": "GateParameter"}, ArgumentError, "a name needs its file: proto=..."),
        ({"message": int}, ArgumentError, "message is a class that protoc has generated"),
        ({"proto": "nowhere.proto"}, PrototxtError, "nowhere.proto: cannot be read: No such file"),
        ({"proto": 3}, ArgumentError, "proto must be a path"),
        ({"proto": "net.prototxt"}, PrototxtError, "is neither a .proto file nor what protoc -o"),
        (
            {"proto": "gate.proto", "message": "Gaet"},
            ArgumentError,
            "gate.proto has no message Gaet; it has Filler, GateParameter",
        ),
        ({"proto": "bad.proto"}, PrototxtError, "bad.proto:2:"),
        ({"proto": "map.proto"}, ArgumentError, "GateParameter.sizes is a map"),
        ({"proto": "other.proto"}, ArgumentError, "other.proto has no message GateParameter"),
    ],
)
def test_what_is_no_message(folder, settings, error, says):
    pytest.importorskip("grpc_tools")
    syntax = 'syntax = "proto2";\n'
    (folder / "bad.proto").write_text(f"{syntax}message GateParameter {{ optional flot x = 1; }}")
    (folder / "map.proto").write_text(
        f"{syntax}message GateParameter {{ map<string, int32> sizes = 1; }}"
    )
    (folder / "other.proto").write_text(f"{syntax}message A {{ }} message B {{ }}")
    with pytest.raises(error) as caught:
        caffe.register("Gate", **settings)(Gate)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_message_is_that_of_the_forks_own_layer_parameter(folder):
    (folder / "fork.proto").write_text(
        PROTO.replace("GateParameter", "DoorSettings")
        + "message LayerParameter { optional DoorSettings gate_param = 150; }\n"
    )
    pytest.importorskip("grpc_tools")
    caffe.register("Gate", proto="fork.proto")(Gate)
    config = caffe.Net("net.prototxt", caffe.TEST).layer_dict["gate"].config
    assert type(config).__name__ == "DoorSettings"


def test_the_field_is_known_in_layers_only():
    caffe.register("Gate")(Gate)
    with pytest.raises(PrototxtError, match=r'^net:1:1: NetParameter has no field "gate_param"'):
        source("gate_param { gain: 1 }")


def test_what_a_program_prints_of_a_net_is_read_too():
    caffe.register("Gate")(Gate)
    net = caffe.Net("net.prototxt", caffe.TEST)
    printed = str(net.to_proto())
    assert caffe.Net(source(printed), caffe.TEST).layer_dict["gate"].gain == 2.5


def test_without_grpcio_tools_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CaffeError, match=r"needs the package grpcio-tools: pip install"):
        caffe.register("Gate", proto="gate.proto")(Gate)
