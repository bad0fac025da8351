"""Any fields of any layer type, on bottoms of any shape: it builds, or says where it does not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_lite.errors import CaffeError
from caffe_lite.layers.registry import layer_class, layer_types
from caffe_lite.limits import set_memory_limit
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.fields import is_repeated

INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
SMALL = st.integers(-3, 9)
REALS = st.sampled_from(
    [0.0, -0.0, 0.5, 1.0, -1.0, 2.0, 1e-40, 1e-5, 1e30, -1e30, math.inf, -math.inf, math.nan]
)
NAMES = st.sampled_from(
    ["", "x", "constant", "xavier", "msra", "bilinear", "VOC", "a\nb", "\x1b[31m", "é", "n" * 3000]
)
PHASES = (caffe_pb2.TRAIN, caffe_pb2.TEST)
OUTSIDE = {"Python"}
"""Types that run what they name; without permission they are refused."""


@st.composite
def filled(draw: Any, descriptor: Descriptor, depth: int = 2) -> dict[str, Any]:
    """Values for some fields, as a message's constructor takes them."""
    fields = [f for f in descriptor.fields if depth or f.message_type is None]
    count = draw(st.integers(0, min(5, len(fields))))
    chosen = (
        draw(st.lists(st.sampled_from(fields), min_size=count, max_size=count)) if fields else []
    )
    values: dict[str, Any] = {}
    for field in chosen:
        one = (
            filled(field.message_type, depth - 1)
            if field.message_type is not None
            else scalar(field)
        )
        values[field.name] = draw(st.lists(one, max_size=4) if is_repeated(field) else one)
    return values


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """A value of the field: small, or at an end of its range."""
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.cpp_type in INTEGERS:
        low, high = INTEGERS[field.cpp_type]
        return SMALL.map(lambda n: max(n, low)) | st.sampled_from([low, high, 2**16, 5 * 10**7])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return NAMES if field.type == FieldDescriptor.TYPE_STRING else st.binary(max_size=3)
    return REALS | st.floats(width=32)


SHAPES = st.lists(
    st.lists(st.integers(0, 7) | st.sampled_from([1, 2, 300]), max_size=5), max_size=5
)


@st.composite
def nets(draw: Any, kind: str) -> caffe_pb2.NetParameter:
    """An Input with some tops, and a layer of this type on them."""
    net = caffe_pb2.NetParameter(name="random")
    shapes = draw(SHAPES)
    tops = [f"b{index}" for index in range(len(shapes))]
    if shapes:
        source = net.layer.add(name="in", type="Input", top=tops)
        for shape in shapes:
            source.input_param.shape.add(dim=shape)
    layer = net.layer.add(name="x", type=kind, bottom=tops)
    layer.top.extend(draw(st.lists(st.sampled_from(["t0", "t1", "t2", *tops]), max_size=4)))
    for name in {layer_class(kind).config_field, *draw(EXTRA)} - {None}:
        field = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[name]
        assign(layer, name, draw(filled(field.message_type)))
    return net


EXTRA = st.lists(st.sampled_from(["loss_param", "transform_param", "param"]), max_size=1)


def assign(layer: Message, name: str, values: dict[str, Any]) -> None:
    """Set a parameter message, or add one to a list of them."""
    target = getattr(layer, name)
    if hasattr(target, "add"):
        target.add(**values)
    else:
        target.SetInParent()
        target.MergeFrom(type(target)(**values))


@pytest.mark.parametrize("kind", sorted(set(layer_types()) - OUTSIDE))
@settings(max_examples=max(settings.default.max_examples // 20, 1))
@given(data=st.data())
def test_it_builds_or_says_where_it_does_not(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    net = data.draw(nets(kind))
    path = tmp_path / "net.prototxt"
    path.write_text(text_format.MessageToString(net), encoding="utf-8")
    set_memory_limit(64 << 20)
    try:
        for phase in PHASES:
            try:
                Net(path, phase).close()
            except CaffeError as error:
                message = str(error)
                assert message.startswith(f"{path}:"), message
                assert message.isprintable(), message
    finally:
        set_memory_limit(None)
