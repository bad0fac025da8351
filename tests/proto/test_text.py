from __future__ import annotations

import random

import pytest
from google.protobuf import descriptor_pb2, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from caffe_lite.errors import PrototxtError
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.proto.where import Where


def read(prototxt: str) -> tuple[caffe_pb2.NetParameter, Where]:
    net = caffe_pb2.NetParameter()
    return net, text.parse(prototxt, net, "net.prototxt")


# What protobuf's own parser reads, it must read to the same message.
SAME = [
    "",
    "# only a comment",
    "name: 'single' force_backward: true",
    'name: "one" "two" \'three\'',
    'name: # a comment\n"one" # another\n"two"',
    'name: "x"\r\nforce_backward: true\r\n',
    'name: "x";force_backward: true, input: "y"',
    'name: "x"force_backward:true',
    r'name: "\a\b\f\n\r\t\v\\\'\" \101\x42"',
    'name: "\u00e9\u4e2d\u6587"',
    'layer: { name: "x" } layer < name: "y" > layer: < >',
    'layer [ { name: "x" }, < name: "y" > ]',
    'layer: [ ] layer: [ { name: "x" } ]',
    'layer { bottom: ["a", "b" "c"] top: [] bottom: "d" }',
    "input_dim: 0x10 input_dim: 010 input_dim: -5 input_dim: -0x1F input_dim: 0",
    "layer { loss_weight: [1, 2.5, 2.5f, 1e5, 1E-5, .5, 1., -3, inf, -inf, Infinity] }",
    "layer { propagate_down: [true, t, True, 1, false, f, False, 0] }",
    "layer { pooling_param { pool: AVE } } layer { pooling_param { pool: 1 } }",
    "layer { dummy_data_param { num: 4294967295 } }",
    "layer { input_param { shape { dim: [1, -9223372036854775808, 9223372036854775807] } } }",
]


@pytest.mark.parametrize("prototxt", SAME)
def test_reads_what_protobuf_reads(prototxt: str) -> None:
    expected = text_format.Parse(prototxt, caffe_pb2.NetParameter())
    assert read(prototxt)[0] == expected


def test_reads_what_only_the_protobuf_of_caffe_reads() -> None:
    net, _ = read('\ufeffname: "\\?\\X43\\u00e9\\U0001F600"')
    assert net.name == "?C\u00e9\U0001f600"
    net, _ = read("layer { loss_weight: - 3 loss_weight: -#minus\n 4 loss_weight: 1F }")
    assert list(net.layer[0].loss_weight) == [-3, -4, 1]


def test_not_a_number_is_a_number() -> None:
    net, _ = read("layer { loss_weight: [nan, -nan, NaN] }")
    assert all(weight != weight for weight in net.layer[0].loss_weight)


def test_foreign_bytes_in_comments_do_no_harm() -> None:
    prototxt = b'# \xd6\xd0\xce\xc4\nname: "x" # \xff'.decode("utf-8", "surrogateescape")
    assert read(prototxt)[0].name == "x"


def test_bytes_fields() -> None:
    datum = caffe_pb2.Datum()
    text.parse(r'data: "\377\000a\xfe"', datum, "datum")
    assert datum.data == b"\xff\0a\xfe"


REFUSED = [
    # as copied from web pages
    ('name: "a"\nLayer { }', "2:1", 'NetParameter has no field "Layer"; did you mean "layer"?'),
    ('layer { Top: "x" }', "1:9", 'no field "Top"; did you mean "top"?'),
    ("layer { param { Decay_mult: 1 } }", "1:17", 'did you mean "decay_mult"?'),
    ("layer { dropout_param { dropout _ratio: 0.5 } }", "1:25", 'did you mean "dropout_ratio"?'),
    ("layer { convolution_param { kernel-size: 3 } }", "1:29", 'did you mean "kernel_size"?'),
    ("layer { pooling_param { pool _size: 3 } }", "1:30", 'expected ":" after "pool"'),
    ('name:\xa0"a"', "1:6", "a no-break space (U+00A0)"),
    ("name: \u201ca\u201d", "1:7", "a typographic quote (U+201C)"),
    # names
    ("flavour: 1", "1:1", 'NetParameter has no field "flavour"'),
    (
        'name: "a"\nlayer { name: "b"\n  name: "c" }',
        "3:3",
        '"name" is set twice; first on line 2',
    ),
    ("state { } state { }", "1:11", '"state" is set twice'),
    ("[a.b]: 3", "1:1", 'expected a field\'s name, found "["'),
    ('name "x"', "1:6", 'expected ":" after "name", found a string'),
    # values
    (
        "layer { convolution_param { num_output: 96.5 } }",
        "1:41",
        "expects an integer (uint32), not 96.5",
    ),
    ('layer { convolution_param { num_output: "96" } }', "1:41", 'without quotes, not "96"'),
    ("layer { type: Convolution }", "1:15", 'takes a string in quotes: "Convolution"'),
    ("layer { pooling_param { pool: max } }", "1:31", 'no value max; did you mean "MAX"?'),
    ('layer { pooling_param { pool: "MAX" } }', "1:31", 'without quotes, not "MAX"'),
    ("state { phase: 7 }", "1:16", "no value 7; use one of TRAIN, TEST"),
    ("state { phase: TRIAN }", "1:16", 'did you mean "TRAIN"?'),
    ("force_backward: yes", "1:17", "expects true or false, not yes"),
    ("force_backward: 2", "1:17", "expects true or false, not 2"),
    ("layer { loss_weight: 1e }", "1:22", "expects a number, not 1e"),
    ("layer { loss_weight: +1 }", "1:22", 'found "+"'),
    ("layer { loss_weight: 0x10 }", "1:22", "expects a number, not 0x10"),
    ("input_dim: 09", "1:12", "expects an integer (int32), not 09"),
    ("input_dim: 2147483648", "1:12", "2147483648; int32 is -2147483648 to 2147483647"),
    ("layer { dummy_data_param { num: -1 } }", "1:33", "-1; uint32 is 0 to 4294967295"),
    ("layer: 3", "1:8", '"layer" is a message: expected "{", found "3"'),
    ("layer { name: }", "1:15", 'expected a value for "name", found "}"'),
    ("name:", "1:6", "found the end of the file"),
    (r'input_dim: "1\n2"', "1:12", 'without quotes, not "1?2"'),
    ("x" * 1000, "1:1", 'no field "' + "x" * 57 + '..."'),
    ("input_dim: " + "9" * 1000, "1:12", "9" * 57 + "..."),
    ("input_dim: " + "9" * 61, "1:12", "range: " + "9" * 57 + "...;"),
    ("input_dim: " + "9" * 60, "1:12", "range: " + "9" * 60 + ";"),
    # strings
    ('name: "abc\nlayer { }', "1:7", 'the string has no closing " on its line'),
    (r'name: "a\q"', "1:7", r'unknown escape "\q"'),
    (r'name: "\400"', "1:7", "does not fit in a byte"),
    (r'name: "\ud800"', "1:7", "U+D800 is not a character"),
    (r'name: "\xff"', "1:7", "byte 0xff, which is not UTF-8"),
    ('name: "\udcff"', "1:7", "byte 0xff, which is not UTF-8"),
    # braces, brackets, separators
    ('layer {\n  name: "a"\n', "1:7", 'the "{" of "layer" is never closed'),
    ('layer {\n\n  name: "a"\nlayer { }', "4:1", 'is a "}" missing for the "layer" of line 1?'),
    ("layer { } }", "1:11", '"}" has no opening counterpart'),
    ("layer <\n }", "2:2", 'expected ">" to close "layer" of line 1, found "}"'),
    ('layer { bottom: ["a"; "b"] }', "1:21", 'expected "," or "]" in the list on line 1'),
    ('layer { bottom: ["a", ] }', "1:23", 'expected a value for "bottom", found "]"'),
    ('layer { name: ["a"] }', "1:15", 'expected a value for "name", found "["'),
    ('name: "a";;', "1:11", 'expected a field\'s name, found ";"'),
    # not text
    ("\0\1\2", "1:1", "byte 0x00; is this a text file?"),
    ('name: "a"\n \udcc3', "2:2", "byte 0xc3, which is not UTF-8"),
]


@pytest.mark.parametrize(("prototxt", "place", "message"), REFUSED)
def test_refuses(prototxt: str, place: str, message: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        read(prototxt)
    assert str(caught.value).startswith(f"net.prototxt:{place}: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("depth", [100, 101, 100_000])
def test_messages_inside_one_another_have_a_limit(depth: int) -> None:
    message = descriptor_pb2.DescriptorProto()  # may contain itself, as no message of Caffe's does
    nested = "nested_type { " * depth + "} " * depth
    if depth <= text.MAX_DEPTH:
        text.parse(nested, message, "deep")
        return
    with pytest.raises(PrototxtError, match="deep:1:1413: messages are nested more than 100 deep"):
        text.parse(nested, message, "deep")


def test_places_of_fields() -> None:
    _, where = read(
        'name: "net"\n'
        "layer {\n"
        '  name: "conv1"  bottom: ["a",\n'
        '    "b"]\n'
        "  param { lr_mult: 1 }\n"
        "  param { lr_mult: 2 decay_mult: 0 }\n"
        "  convolution_param { kernel_size: 3 kernel_size: 5 }\n"
        "}\n"
    )
    layer = where.child("layer[0]")
    places = {
        "": (2, 1),
        "name": (3, 9),
        "bottom": (3, 27),
        "bottom[1]": (4, 5),
        "param[1].lr_mult": (6, 20),
        "param[1].decay_mult": (6, 34),
        "param[0].decay_mult": (5, 3),  # not written: where it would be
        "param.lr_mult": (5, 20),
        "convolution_param": (7, 3),
        "convolution_param.kernel_size[1]": (7, 51),
        "convolution_param.kernel_size[2]": (7, 51),  # the last there is
        "convolution_param.pad": (7, 3),
        "pooling_param.pad": (2, 1),
        "name.first": (3, 9),
        "?": (2, 1),
    }
    found = {path: (layer.at(path).line, layer.at(path).column) for path in places}
    assert found == places
    assert str(where.location) == "net.prototxt:1:1"
    assert str(where.at("layer.name")) == "net.prototxt:3:9"
    assert layer.child("param[1]").at("lr_mult").line == 6
    assert layer.child("pooling_param").at("kernel_size").line == 2


def test_format_is_read_back() -> None:
    net, _ = read(
        'name: "n\u00e9" layer { name: "x" loss_weight: 0.1 pooling_param { pool: AVE } }'
    )
    written = text.format(net)
    assert written.startswith('name: "n\u00e9"\nlayer {\n  name: "x"\n')
    assert read(written)[0] == net


@pytest.mark.parametrize("seed", range(20))
def test_random_messages_are_read_back(seed: int) -> None:
    message = caffe_pb2.NetParameter()
    fill(message, random.Random(seed), depth=3)
    for written in (
        text.format(message),
        text_format.MessageToString(message, as_one_line=True, use_short_repeated_primitives=True),
        text_format.MessageToString(message, pointy_brackets=True, use_index_order=True),
    ):
        again, _ = read(written)
        assert again.SerializeToString(deterministic=True) == message.SerializeToString(
            deterministic=True
        )


def fill(message: Message, draw: random.Random, depth: int) -> None:
    """Give random fields of a message random values."""
    fields = list(message.DESCRIPTOR.fields)
    for field in draw.sample(fields, min(len(fields), 8)):
        values = [value_of(field, draw) for _ in range(draw.randint(1, 3))]
        target = getattr(message, field.name)
        if field.message_type is not None:
            if depth and hasattr(target, "add"):
                for _ in values:
                    fill(target.add(), draw, depth - 1)
            elif depth:
                fill(target, draw, depth - 1)
        elif hasattr(target, "extend"):
            target.extend(values)
        else:
            setattr(message, field.name, values[0])


def value_of(field: FieldDescriptor, draw: random.Random) -> object:
    kind = field.cpp_type
    if field.enum_type is not None:
        return draw.choice(list(field.enum_type.values)).number
    if kind == FieldDescriptor.CPPTYPE_STRING:
        raw = "".join(draw.choice("a'\"\\\n\t\0\u00e9\u4e2d\U0001f600#{}") for _ in range(5))
        return raw.encode() + b"\xff" if field.type == FieldDescriptor.TYPE_BYTES else raw
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return draw.random() < 0.5
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return draw.choice([0.1, -1e-30, 3.0, float("inf"), float("-inf"), draw.gauss(0, 1)])
    if kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64):
        return draw.choice([0, 7, 2**32 - 1])
    return draw.choice([0, -7, 2**31 - 1, -(2**31)])
