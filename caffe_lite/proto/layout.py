"""Messages written as prototxt, those fields included that the schema does not know."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from caffe_lite.errors import PrototxtError
from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.tree import Tree, TreeReader
from caffe_lite.proto.where import Where

HELD = "unknown_field"
"""The field of a message that keeps, as text, the fields that the schema does not know."""

_PATH = re.compile(r"[A-Za-z_]\w*(?:\[\d+\])?(?:\.[A-Za-z_]\w*(?:\[\d+\])?)*\Z", re.ASCII)
_Held = Sequence[tuple[str, str]]  # paths of fields below a message, and their texts


def format(message: Message) -> str:  # noqa: A001  (called as text.format)
    """The prototxt of a message in Caffe's layout: one field a line, indented by two spaces.

    Fields that the schema does not know are written as they were read, at the end of their
    message.  One whose text is no value, as it can be in a binary file, is written as a string.
    """
    if not _holds(message):
        return str(text_format.MessageToString(message, as_utf8=True))
    out = io.StringIO()
    _write(message, out, 0, ())
    return out.getvalue()


def read_held(name: str, written: str, tree: Tree) -> None:
    """Add a field to a tree of its message, from the path and the text that are kept of it.

    Raises PrototxtError for a text that is no value.
    """
    reader = TreeReader(written, f"the text of {name}")
    reader.start()
    step = name.rpartition(".")[2]
    if not _PATH.match(name):
        raise PrototxtError(f"an unknown field has the name {name!r}, which no field can have")
    reader.read_into(tree, Where(reader.source, 0), step, reader.take(":"), 0)
    if reader.pos < len(written):
        reader.fail(f"expected the end of the field, found {reader.found()}", reader.pos)


def _holds(message: Message) -> bool:
    for field, value in message.ListFields():
        if field.name == HELD:
            return True
        is_message = field.message_type and field.message_type.name != "BlobProto"
        if is_message and any(map(_holds, value if is_repeated(field) else [value])):
            return True
    return False


def _write(message: Message, out: io.StringIO, indent: int, held: _Held) -> None:
    """Write a message's fields, and the unknown ones in it that it or `held` keeps."""
    kept = [each for each in getattr(message, HELD, ()) if _has_place(message, each)]
    held = [*held, *((each.name, each.text) for each in kept)]
    for field, value in message.ListFields():
        for index, item in enumerate(value if is_repeated(field) else [value]):
            if field.name == HELD and item in kept:
                continue
            step = f"{field.name}[{index}]." if is_repeated(field) else f"{field.name}."
            inside = [(path[len(step) :], text) for path, text in held if path.startswith(step)]
            if field.message_type is None or not (inside or _holds(item)):
                text_format.PrintField(field, item, out, indent=indent, as_utf8=True)
                continue
            out.write(f"{' ' * indent}{field.name} {{\n")
            _write(item, out, indent + 2, inside)
            out.write(f"{' ' * indent}}}\n")
    for path, text in held:
        if "." not in path:
            out.write(_indented(f"{path}{text}", indent))


def _has_place(message: Message, kept: Any) -> bool:
    """Whether a field that a message keeps is one, and in a message that is there."""
    try:
        read_held(kept.name, kept.text, Tree())
    except PrototxtError:
        return False
    for step in kept.name.split(".")[:-1]:
        name, _, index = step.rstrip("]").partition("[")
        field: Any = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None or field.message_type is None or is_repeated(field) != bool(index):
            return False
        inside = getattr(message, name)
        if int(index) >= len(inside) if index else not message.HasField(name):
            return False
        message = inside[int(index)] if index else inside
    return True


def _indented(written: str, indent: int) -> str:
    """The lines of a field, the first of them indented like this, the others as far from it.

    Lines end with a line feed only: `textwrap` would also find ends inside of strings.
    """
    first, *rest = written.split("\n")
    margin = min((len(line) - len(line.lstrip(" \t")) for line in rest if line.strip()), default=0)
    lines = [first, *(line[margin:] for line in rest)]
    return "".join(f"{' ' * indent}{line}\n" if line else "\n" for line in lines)
