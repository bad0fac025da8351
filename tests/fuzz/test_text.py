"""Prototxt: in any layout it is read as protobuf reads it; damaged, it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from caffe_lite.errors import CaffeError, PrototxtError
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.nodes import from_message
from tools.fuzz.mutate import TOKENS
from tools.fuzz.targets.text import BRANCHED

ROOTS = (caffe_pb2.NetParameter, caffe_pb2.SolverParameter, caffe_pb2.LabelMap)

SPACE = st.sampled_from(["", " ", "\n", "\t", "  \r\n", " # a comment: {\n", "#\n"])
GAP = st.sampled_from([" ", "\n", " # \" ' }\n", "\t \v\f"])
END = st.sampled_from(["", "", "", ",", ";"])
STRINGS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\n\r\t\\\"'\x1b\x7f{}#"),
    max_size=12,
)
EDGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


@st.composite
def prototxt(draw: Any, descriptor: Descriptor, depth: int = 3) -> str:
    """A valid text of a message, in a layout that no writer would choose."""
    fields = draw(
        st.lists(
            st.sampled_from([f for f in descriptor.fields if depth or not f.message_type]),
            max_size=4,
            unique_by=lambda field: field.name if not is_repeated(field) else object(),
        )
        if depth or any(not f.message_type for f in descriptor.fields)
        else st.just([])
    )
    return draw(SPACE) + "".join(draw(one_field(field, depth)) for field in fields)


@st.composite
def one_field(draw: Any, field: FieldDescriptor, depth: int) -> str:
    if field.message_type is not None:
        inside = draw(prototxt(field.message_type, depth - 1))
        opening, closing = draw(st.sampled_from(["{}", "<>"]))
        colon = draw(st.sampled_from(["", ":", " :"]))
        value = f"{colon}{draw(SPACE)}{opening}{inside}{draw(SPACE)}{closing}"
    elif is_repeated(field) and draw(st.booleans()):
        items = draw(st.lists(scalar(field), max_size=3))
        value = f":{draw(SPACE)}[{(draw(SPACE) + ',' + draw(SPACE)).join(items)}]"
    else:
        value = f"{draw(SPACE)}:{draw(SPACE)}{draw(scalar(field))}"
    return f"{field.name}{value}{draw(END)}{draw(GAP)}"


def scalar(field: FieldDescriptor) -> st.SearchStrategy[str]:
    """A token for a value of the field."""
    if field.enum_type is not None:
        return st.sampled_from([value.name for value in field.enum_type.values])
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        whole = field.type == FieldDescriptor.TYPE_STRING
        return st.lists(STRINGS.flatmap(lambda s: quoted(s, whole)), min_size=1, max_size=2).map(
            " ".join
        )
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.sampled_from(["true", "false", "True", "False", "t", "f", "0", "1"])
    if kind in EDGES:
        low, high = EDGES[kind]
        numbers = st.integers(low, high) | st.sampled_from([low, high])
        return numbers.flatmap(
            lambda n: st.sampled_from([str(n), f"-0x{-n:x}" if n < 0 else f"0x{n:X}"])
        )
    return st.floats(width=32).map(repr).flatmap(
        lambda n: st.sampled_from([n, n + "f"] if n[-1].isdigit() else [n])
    ) | st.sampled_from(["-.5", "1.", "1e9", "2E-3", "-inf", "1e400", "7"])


def quoted(value: str, whole: bool) -> st.SearchStrategy[str]:
    """A string in quotes, some of its characters as escapes, some of its bytes as numbers."""

    def shown(quote: str, octal: bool) -> str:
        pieces = []
        for letter in value:
            if letter in "\\\n" + quote or (octal and not letter.isalnum()):
                pieces.append("".join(f"\\{byte:03o}" for byte in letter.encode()))
            else:
                pieces.append(letter)
        return quote + "".join(pieces) + quote

    return st.builds(shown, st.sampled_from(["'", '"']), st.booleans())


def ours(source: str, message: Message) -> Message | None:
    """The message, or None if the text is refused, with a position in it, in one line."""
    try:
        text.parse(source, message, "net.prototxt")
    except PrototxtError as error:
        line = int(str(error).split(":")[1])
        assert 1 <= line <= source.count("\n") + 1
        return None
    return message


def theirs(source: str, message: Message) -> Message | None:
    try:
        return text_format.Parse(source, message)
    except (text_format.ParseError, UnicodeDecodeError):
        return None


def same(one: Message, other: Message) -> bool:
    """Equal, with NaN equal to itself."""
    return one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


@given(
    st.sampled_from(ROOTS).flatmap(
        lambda root: st.tuples(st.just(root), prototxt(root.DESCRIPTOR))
    )
)
def test_every_layout_is_read_as_protobuf_reads_it(drawn: tuple[type[Message], str]) -> None:
    root, source = drawn
    read, expected = ours(source, root()), theirs(source, root())
    assert expected is not None
    assert read is not None
    assert same(read, expected)
    again = ours(text.format(read), root())
    assert again is not None
    assert same(again, read)


SOUP = st.lists(
    st.sampled_from(
        [token.decode("utf-8", "surrogateescape") for token in TOKENS if len(token) < 99]
    )
    | st.sampled_from(BRANCHED.decode().split())
    | st.text(max_size=3),
    max_size=30,
).map(" ".join)


@given(SOUP)
def test_tokens_in_any_order_are_read_as_protobuf_reads_them_or_refused(source: str) -> None:
    read = ours(source, caffe_pb2.NetParameter())
    if read is not None and source.isprintable():
        expected = theirs(source, caffe_pb2.NetParameter())
        assert expected is not None
        assert same(read, expected)


@given(st.sampled_from(ROOTS), st.binary(max_size=80))
def test_any_bytes_are_refused_at_a_position(root: type[Message], content: bytes) -> None:
    ours(content.decode("utf-8", "surrogateescape"), root())


@given(prototxt(caffe_pb2.NetParameter.DESCRIPTOR, 4))
def test_any_net_is_upgraded_or_refused(source: str) -> None:
    net = caffe_pb2.NetParameter()
    where = text.parse(source, net, "net.prototxt")
    refusal = ""
    try:
        from_message(net, where, "net.prototxt").to_message()
    except CaffeError as error:
        refusal = str(error)
    assert refusal == "" or refusal.startswith("net.prototxt:")


@pytest.mark.parametrize("opening", ["layer {", "layer <", "net_param {", "layer: [", "{", "["])
@pytest.mark.parametrize("depth", [101, 3_000, 100_000])
def test_depth_is_refused(opening: str, depth: int) -> None:
    message = caffe_pb2.SolverParameter() if "net" in opening else caffe_pb2.NetParameter()
    assert ours(opening * depth, message) is None
