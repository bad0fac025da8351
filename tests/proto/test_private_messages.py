"""Which message of a private schema a field has."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from caffe_lite.arguments import ArgumentError
from caffe_lite.errors import PrototxtError
from caffe_lite.proto import private_messages

NUMBER, MESSAGE = 5, 11  # int32, and a message, in a FieldDescriptorProto


def schema(folder: Path, *messages: str, layer: dict[str, str] | None = None) -> str:
    """A compiled schema of messages with one field each, which has the message's name."""
    imported = FileDescriptorProto(name="other.proto", package="fork")
    imported.message_type.add(name="GateParameter").field.add(
        name="imported", number=1, type=NUMBER, label=1
    )
    file = FileDescriptorProto(name="fork.proto", package="fork")
    for name in messages:
        file.message_type.add(name=name).field.add(
            name=name.lower(), number=1, type=NUMBER, label=1
        )
    if layer is not None:
        param = file.message_type.add(name="LayerParameter")
        for number, (field, type_) in enumerate(layer.items(), 1):
            param.field.add(
                name=field, number=number, type=MESSAGE, type_name=f".fork.{type_}", label=1
            )
    imported.package = "other"
    path = folder / "fork.pb"
    path.write_bytes(FileDescriptorSet(file=[imported, file]).SerializeToString())
    return str(path)


def found(path: str, field: str, message: str | None = None) -> str:
    """The name of the message."""
    return str(private_messages.load(path, field, message).DESCRIPTOR.name)


@pytest.mark.parametrize(
    ("messages", "layer", "field", "wanted"),
    [
        (["GateParameter", "Other"], None, "gate_param", "GateParameter"),
        (["Other", "GATEParameter"], None, "gate_param", "GATEParameter"),
        (["GateDataParameter", "GateParameter"], None, "gate_data_param", "GateDataParameter"),
        (["Only"], None, "gate_param", "Only"),
        (["GateParameter", "Other"], {"gate_param": "Other"}, "gate_param", "Other"),
        (["GateParameter", "Other"], {"else_param": "Other"}, "gate_param", "GateParameter"),
        (["GateParameter"], {}, "gate_param", "GateParameter"),
        (["GateParameter", "Other"], None, "gate", "GateParameter"),
    ],
)
def test_the_message_of_a_field(tmp_path: Path, messages, layer, field, wanted) -> None:
    assert found(schema(tmp_path, *messages, layer=layer), field) == wanted


def test_a_message_that_is_named(tmp_path: Path) -> None:
    path = schema(tmp_path, "GateParameter", "Other", layer={"gate_param": "Other"})
    assert found(path, "gate_param", "GateParameter") == "GateParameter"
    assert found(path, "gate_param", "Other") == "Other"
    with pytest.raises(
        ArgumentError,
        match=r"fork\.pb has no message Gone; it has GateParameter, Other, LayerParameter: give",
    ):
        found(path, "gate_param", "Gone")


@pytest.mark.parametrize("messages", [["A", "B"], ["A", "B", "Gate"]])
def test_none_of_several(tmp_path: Path, messages: list[str]) -> None:
    path = schema(tmp_path, *messages)
    says = f"has no message GateParameter; it has {', '.join(messages)}: give the name as message"
    with pytest.raises(ArgumentError, match=says):
        found(path, "gate_param")


def test_files_that_are_no_schema(tmp_path: Path) -> None:
    path = tmp_path / "fork.pb"
    for content in (b"", b"\xff\xff", b"message A { }"):
        path.write_bytes(content)
        with pytest.raises(PrototxtError, match=r"is neither a \.proto file nor what protoc -o"):
            found(str(path), "gate_param")
    with pytest.raises(PrototxtError, match=r"gone\.pb: cannot be read: No such file"):
        found(str(tmp_path / "gone.pb"), "gate_param")
    file = FileDescriptorProto(name="a.proto", dependency=["gone.proto"])
    path.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    with pytest.raises(PrototxtError, match=r"fork\.pb: "):
        found(str(path), "gate_param")
