"""Fields that the schema does not know: refused, or kept, read and written back as they were."""

from __future__ import annotations

import copy
import math

import pytest

from caffe_lite.errors import LayerError, PrototxtError
from caffe_lite.proto import caffe_pb2, files, nodes, private_fields, text, unknown, upgrade
from caffe_lite.proto.tree import NotSetError, Tree, Word, value_text

PRIVATE = """\
name: "n"
net_wide: 3
layer {
  name: "g"
  type: "Gate"
  gate_param {
    gain: 2.5  # a comment
    mode: FAST
    names: ["a", 'b' "c"]
    inner < offset: 0x10 offset: 010 >
  }
  convolution_param { num_output: 3 gain: 4 }
  param { lr_mult: 1 }
  param { lr_mult: 2 slope: 5 }
}
layer { name: "h" gate_param: { gain: 1 } }
"""


def read(content, allow=True, kind=caffe_pb2.NetParameter):
    message = kind()
    where = text.parse(content, message, "net", allow)
    return message, where


def tree_of(fields):
    net, _ = read(f"layer {{ gate_param {{ {fields} }} }}")
    return unknown.unknown_of(net.layer[0]).gate_param


# ---- allowed or not


def test_an_unknown_field_is_refused_and_the_flag_named():
    with pytest.raises(PrototxtError) as caught:
        read("layer { gate_param { gain: 2 } }", allow=False)
    assert str(caught.value) == (
        'net:1:9: LayerParameter has no field "gate_param"; did you mean "tree_param"?; to read '
        "the rest of the file: --allow-unknown-fields (in Python: allow_unknown_fields=True)"
    )


def test_each_unknown_field_is_reported_once_with_its_first_position(caplog):
    read(PRIVATE)
    assert [record.getMessage() for record in caplog.records] == [
        'net:2:1: NetParameter has no field "net_wide"; it has no effect',
        'net:6:3: LayerParameter has no field "gate_param" (did you mean "tree_param"?); it '
        "has no effect (written 2 times)",
        'net:12:37: ConvolutionParameter has no field "gain"; it has no effect',
        'net:14:22: ParamSpec has no field "slope"; it has no effect',
    ]


def test_a_whole_process_can_allow_them(tmp_path):
    (tmp_path / "net.prototxt").write_text(PRIVATE)
    private_fields.allow_unknown_fields()
    try:
        assert len(files.read_net(tmp_path / "net.prototxt").nodes) == 2
    finally:
        private_fields.allow_unknown_fields(False)
    with pytest.raises(PrototxtError):
        files.read_net(tmp_path / "net.prototxt")


def test_a_solver_for_a_net_is_still_refused():
    with pytest.raises(PrototxtError, match="this is a solver"):
        read("base_lr: 0.1")


def test_a_file_without_a_place_for_them_does_not_name_the_flag():
    with pytest.raises(
        PrototxtError, match=r'LabelMap has no field "items"; did you mean "item"\?$'
    ):
        read("items { }", allow=True, kind=caffe_pb2.LabelMap)


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        ("layer { foo: 1.2.3 }", "1:14", '"foo" expects a number or a word, not 1.2.3'),
        ("layer { foo }", "1:13", 'expected ":" or "{" after "foo", found "}"'),
        ("layer { foo { a: } }", "1:18", 'expected a value for "a", found "}"'),
        ("layer { foo: [1 2] }", "1:17", 'expected "," or "]" in the list on line 1, found "2"'),
        ("layer { foo { a: 1", "1:13", 'the "{" of "foo" is never closed'),
        ("layer { foo { a: 1 > }", "1:20", 'expected "}" to close "foo" of line 1, found ">"'),
        ('layer { foo: "x }', "1:14", 'the string has no closing " on its line'),
        ("layer { foo: @ }", "1:14", 'expected a value for "foo", found "@"'),
        ("layer { foo: ] }", "1:14", 'expected a value for "foo", found "]"'),
        ("layer { foo [1] }", "1:14", 'expected ":" or "{" after "foo", found "1"'),
        ("layer { dropout _param { } }", "1:9", 'did you mean "dropout_param"?'),
        ("x { " * 101, "1:403", "messages are nested more than 100 deep"),
    ],
)
def test_the_syntax_must_be_right_all_the_same(content, place, says):
    with pytest.raises(PrototxtError) as caught:
        read(content)
    assert f"net:{place}: " in str(caught.value)
    assert says in str(caught.value)


# ---- kept


def test_positions_are_those_of_any_field():
    _, where = read(PRIVATE)
    for path, place in {
        "net_wide": "2:11",
        "layer[0].gate_param": "6:3",
        "layer[0].gate_param.gain": "7:11",
        "layer[0].gate_param.names[1]": "9:18",
        "layer[0].gate_param.inner": "10:5",
        "layer[0].gate_param.inner.offset[1]": "10:34",
        "layer[0].convolution_param.gain": "12:43",
        "layer[0].param[1].slope": "14:29",
    }.items():
        assert str(where.at(path)) == f"net:{place}", path


def test_they_are_written_as_they_were_read():
    written = text.format(read(PRIVATE)[0])
    assert (
        """
  gate_param {
    gain: 2.5  # a comment
    mode: FAST
    names: ["a", 'b' "c"]
    inner < offset: 0x10 offset: 010 >
  }
"""
        in written
    )
    assert "    num_output: 3\n    gain: 4\n  }\n" in written
    assert "    lr_mult: 2.0\n    slope: 5\n  }\n" in written
    assert written.endswith("  gate_param: { gain: 1 }\n}\nnet_wide: 3\n")
    again, _ = read(written)
    assert text.format(again) == written


def test_only_line_feeds_end_its_lines():
    content = 'layer { gate { a: "x\\u2028y\\x0bz"\n\t# \\x85\n\n\t  b: 1 } }'
    net, _ = read(content.encode().decode("unicode_escape"))
    written = text.format(net)
    assert written == 'layer {\n  gate { a: "x\u2028y\x0bz"\n  # \x85\n\n    b: 1 }\n}\n'
    assert text.format(read(written)[0]) == written


def test_a_file_is_the_same_where_everything_is_known():
    net, _ = read('name: "n" layer { name: "c" convolution_param { num_output: 3 } }')
    assert text.format(net) == str(net)


def test_they_survive_copies_binary_files_and_upgrades():
    old = (
        'input: "x" input_dim: [1, 2, 3, 4] '
        'layers { name: "c" type: CONVOLUTION gate_param { a: 1 } }'
    )
    upgraded, where = upgrade.upgrade_net(*read(old))
    assert "gate_param { a: 1 }" in text.format(upgraded)
    assert str(where.at("layer[1].gate_param.a")) == f"net:1:{old.index('a: 1') + 4}"
    source = nodes.from_message(*read(PRIVATE))
    encoded = source.to_message().SerializeToString()
    decoded = caffe_pb2.NetParameter.FromString(encoded)
    assert text.format(decoded) == text.format(read(PRIVATE)[0])


def test_a_solver_keeps_them_and_those_of_the_net_in_it():
    content = 'base_lr: 0.1 my_policy { steps: 3 } net_param { layer { name: "g" gate: 1 } }'
    solver, _ = read(content, kind=caffe_pb2.SolverParameter)
    assert "my_policy { steps: 3 }\n" in text.format(solver)
    assert solver.net_param.layer[0].unknown_field[0].name == "gate"


def test_bytes_that_are_not_utf_8_become_escapes():
    net, _ = read('layer { foo { a: "\udcff7" # \udce9\n } }')
    assert unknown.unknown_of(net.layer[0]).foo.a == "\udcff7"
    assert "\\3777" in text.format(net)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("x", " { } } layer { "),
        ("x y", ": 1"),
        ("x", ""),
        ("convolution_param.x", ": 1"),
        ("param[3].x", ": 1"),
        ("name.x", ": 1"),
    ],
)
def test_what_is_no_field_is_written_as_a_string(name, kept):
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a").unknown_field.add(name=name, text=kept)
    again, _ = read(text.format(net), allow=False)
    assert again == net


def test_those_without_a_place_and_those_with_one():
    """In any order, in one message."""
    kept = [("x y", ": 1"), ("x", ": 2"), ("y z", ": 3"), ("y", " { a: 4 }")]
    for names in (kept, kept[::-1], kept[1:] + kept[:1]):
        net = caffe_pb2.NetParameter()
        layer = net.layer.add(name="a")
        for name, content in names:
            layer.unknown_field.add(name=name, text=content)
        again, _ = read(text.format(net))
        found = {(each.name, each.text.strip()) for each in again.layer[0].unknown_field}
        assert found == {(name, content.strip()) for name, content in names}


def test_positions_in_lists():
    content = "layer { foo { a: [] b: [{ c: 1 }, { c: 2 }] b { c: 3 } } }"
    _, where = read(content)
    for path, found in {
        "a": "[]", "b[0]": "{ c: 1", "b[0].c": "1", "b[1]": "{ c: 2", "b[1].c": "2",
        "b[2]": "b { c: 3", "b[2].c": "3",
    }.items():  # fmt: skip
        column = where.at(f"layer[0].foo.{path}").column
        assert content[column - 1 :].startswith(found), path


# ---- as plain values


def test_values_are_told_apart():
    tree = tree_of(
        'i: 3 h: 0x1f f: -2.5e1 g: 1.5f n: nan on: true off: false s: "true" w: MAX t: [] u: [7]'
    )
    assert (tree.i, tree.h, tree.f, tree.g) == (3, 31, -25.0, 1.5)
    assert [type(value) for value in (tree.i, tree.f, tree.on)] == [int, float, bool]
    assert math.isnan(tree.n)
    assert (tree.on, tree.off) == (True, False)
    assert (tree.s, type(tree.s)) == ("true", str)
    assert (tree.w, type(tree.w)) == ("MAX", Word)
    assert (tree.t, tree.u) == ([], [7])


def test_a_field_that_is_repeated_is_a_list():
    tree = tree_of("size: 1 size: 2 size: [3, 4] one: 5 part { a: 1 } part { a: 2 }")
    assert tree.size == [1, 2, 3, 4]
    assert (tree.one, tree["one"], tree["none"]) == (5, [5], [])
    assert [part.a for part in tree.part] == [1, 2]
    assert list(tree) == ["size", "one", "part"]
    assert len(tree) == 3


def test_values_are_written_as_they_are_read():
    values = {
        "i": -3, "f": 2.5e-7, "n": math.inf, "on": True, "s": 'a"\\\n\u2028é', "w": Word("MAX"),
        "t": [1, 2], "m": {"a": [{"b": 1}, {"b": "x"}]},
    }  # fmt: skip
    tree = tree_of(value_text(values)[1:-1])
    for name in ("i", "f", "n", "on", "s"):
        assert getattr(tree, name) == values[name]
    assert (tree.w, type(tree.w), tree.t) == ("MAX", Word, [1, 2])
    assert [each.b for each in tree.m.a] == [1, "x"]
    with pytest.raises(TypeError, match="not a object"):
        value_text({"a": object()})


def test_a_name_of_any_kind_is_a_field():
    tree = tree_of("text: 1 values: 2 name: 3 _values: 4")
    assert (tree.text, tree.values, tree.name, tree["_values"]) == (1, 2, 3, [4])


def test_what_is_not_set():
    tree = tree_of("inner { a: 1 } part { } part { } part: [{ }, { }, { }]")
    assert "a" in tree.inner
    assert "b" not in tree.inner
    assert getattr(tree.inner, "b", 7) == 7
    assert not hasattr(tree.inner, "b")
    for where, path in (
        (tree, ".gate_param[0].b"),
        (tree.inner, ".gate_param[0].inner[0].b"),
        (tree.part[1], ".gate_param[0].part[1].b"),
        (tree.part[4], ".gate_param[0].part[4].b"),
    ):
        with pytest.raises(NotSetError, match=r'^"b" is not set$') as caught:
            _ = where.b
        assert isinstance(caught.value, LayerError)
        assert caught.value.field == path


def test_trees_are_compared_copied_and_shown():
    tree = tree_of("a: 1 b { c: X }")
    assert tree == copy.deepcopy(tree)
    assert tree != tree_of("a: 1")
    assert repr(tree) == "Tree(a=1, b=Tree(c='X'))"
    assert Tree() == Tree()


def test_fields_in_known_messages_have_their_place():
    net, _ = read(PRIVATE)
    tree = unknown.unknown_of(net.layer[0])
    assert tree.convolution_param.gain == 4
    assert tree.param[1].slope == 5
    assert tree.gate_param.inner.offset == [16, 8]
