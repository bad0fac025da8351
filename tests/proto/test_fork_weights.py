"""A private fork's binary weights: the fields that a program registers have their values."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, text_format

import caffe_lite as caffe
from caffe_lite.errors import WeightsError
from caffe_lite.layers.declarations import Param
from caffe_lite.proto import caffe_pb2, files, text
from caffe_lite.proto.schema import message_class

NUMBERS = {"gate_param": 23456}
COLLIDING = {"gate_param": caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["lrn_param"].number}
SCHEMA = """
name: "fork.proto" syntax: "proto2"
message_type { name: "NetParameter"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "layer" number: 100 type: TYPE_MESSAGE type_name: "LayerParameter"
          label: LABEL_REPEATED } }
message_type { name: "LayerParameter"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "type" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "bottom" number: 3 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "top" number: 4 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "param" number: 6 type: TYPE_MESSAGE type_name: "Spec" label: LABEL_REPEATED }
  field { name: "blobs" number: 7 type: TYPE_MESSAGE type_name: "Blob" label: LABEL_REPEATED }
  field { name: "gate_param" number: %d type: TYPE_MESSAGE type_name: "Gate"
          label: LABEL_OPTIONAL }
  field { name: "speed" number: 30000 type: TYPE_FLOAT label: LABEL_OPTIONAL } }
message_type { name: "Spec"
  field { name: "lr_mult" number: 3 type: TYPE_FLOAT label: LABEL_OPTIONAL }
  field { name: "slope" number: 30000 type: TYPE_INT32 label: LABEL_OPTIONAL } }
message_type { name: "Blob"
  field { name: "data" number: 5 type: TYPE_FLOAT label: LABEL_REPEATED }
  field { name: "shape" number: 7 type: TYPE_MESSAGE type_name: "Shape" label: LABEL_OPTIONAL } }
message_type { name: "Shape"
  field { name: "dim" number: 1 type: TYPE_INT64 label: LABEL_REPEATED } }
message_type { name: "Gate"
  field { name: "gain" number: 1 type: TYPE_FLOAT label: LABEL_OPTIONAL }
  field { name: "words" number: 2 type: TYPE_STRING label: LABEL_REPEATED } }
"""


def fork(numbers=NUMBERS):
    """The message classes of a fork."""
    pool = descriptor_pool.DescriptorPool()
    file = text_format.Parse(SCHEMA % numbers["gate_param"], descriptor_pb2.FileDescriptorProto())
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindFileByName("fork.proto").message_types_by_name
    return {name: message_class(found[name]) for name in ("NetParameter", "Gate")}


class Gate(caffe.Layer):
    """y = gain slope x + shift."""

    config_field = "gate_param"
    heeds = frozenset({"speed", "param.slope"})

    def params(self, *bottom):
        return [Param(name, bottom[0][1:2], None) for name in ("slope", "shift")]

    def top_shapes(self, *bottom):
        return list(bottom)

    def forward(self, bottom, top):
        slope = self.config.gain * self.slope.data
        top[0].data[...] = slope[:, None] * bottom[0].data + self.shift.data[:, None]


@pytest.fixture(autouse=True)
def forgotten():
    yield
    if "Gate" in caffe.registration._fields:
        caffe.unregister("Gate")


def weights(tmp_path, classes):
    """The path of a .caffemodel of the fork."""
    net = classes["NetParameter"](name="n")
    net.layer.add(name="g", type="Gate", bottom=["x"], top=["y"], speed=1.5)
    layer = net.layer[0]
    layer.gate_param.gain = 2.5
    layer.gate_param.words.extend(["a b", 'c"\u00e9'])
    layer.param.add(lr_mult=1)
    layer.param.add(slope=-4)
    for values in ([1, 2, 3], [0.5, 0, -0.5]):
        layer.blobs.add(data=values).shape.dim.append(3)
    path = tmp_path / "fork.caffemodel"
    path.write_bytes(net.SerializeToString())
    return path


@pytest.mark.parametrize("numbers", [NUMBERS, COLLIDING], ids=["free", "taken"])
def test_fields_are_named_and_written_as_text(tmp_path, numbers):
    classes = fork(numbers)
    path = weights(tmp_path, classes)
    caffe.register("Gate", message=classes["Gate"])(Gate)
    (layer,) = files.read_weights(path).layer
    kept = {each.name: each.text for each in layer.unknown_field}
    assert kept == {
        "gate_param": ' {\n  gain: 2.5\n  words: "a b"\n  words: "c\\"\u00e9"\n}',
        "param[1].slope": ": -4",
        "speed": ": 1.5",
    }
    assert not layer.HasField("lrn_param")
    assert list(layer.blobs[0].data) == [1, 2, 3]
    layer.ClearField("blobs")
    assert "param {\n  slope: -4\n}" in text.format(layer)


def test_a_net_is_built_from_the_forks_binary_file(tmp_path):
    classes = fork()
    path = weights(tmp_path, classes)
    caffe.register("Gate", message=classes["Gate"])(Gate)
    read = files.read_weights(path)
    whole = caffe_pb2.NetParameter()
    data = whole.layer.add(name="in", type="Input", top=["x"])
    data.input_param.shape.add(dim=[2, 3, 4])
    whole.layer.extend(read.layer)
    net = caffe.Net(whole, caffe.TEST, weights=str(path))
    net.blobs["x"].data[...] = 2
    assert net.forward()["y"][1, :, 3].tolist() == [5.5, 10, 14.5]
    assert net.layer_dict["g"].unknown_fields.speed == 1.5


def test_our_own_files_of_it_are_read_as_they_are(tmp_path):
    """What is written has the names and the fork's numbers; nothing is there twice."""
    classes = fork()
    path = weights(tmp_path, classes)
    caffe.register("Gate", message=classes["Gate"])(Gate)
    read = files.read_weights(path)
    again = tmp_path / "again.caffemodel"
    files.write_message(again, read)
    assert files.read_weights(again) == read
    theirs = classes["NetParameter"].FromString(again.read_bytes())
    assert theirs.layer[0].gate_param.gain == 2.5


def test_numbers_that_nothing_names_stay_with_the_layer(tmp_path):
    classes = fork()
    path = weights(tmp_path, classes)
    read = files.read_weights(path)
    assert not read.layer[0].unknown_field
    again = tmp_path / "again.caffemodel"
    files.write_message(again, read)
    theirs = classes["NetParameter"].FromString(again.read_bytes())
    assert theirs == classes["NetParameter"].FromString(path.read_bytes())


def test_a_layer_that_is_not_the_forks_is_refused(tmp_path):
    """Where the fork has a message, the file has bytes that are none."""
    classes = fork()
    caffe.register("Gate", message=classes["Gate"])(Gate)
    path = weights(tmp_path, classes)
    content = path.read_bytes()
    words = b"\x12\x03a b"  # the second field of a Gate: 3 bytes
    assert content.count(words) == 1
    path.write_bytes(content.replace(words, b"\x12\x7fa b"))
    with pytest.raises(WeightsError, match=r'fork.caffemodel: layer "g" \(Gate\) is not one of'):
        files.read_weights(path)
