"""The prototxt parser, which records the line and column of every field.

The grammar is protobuf's text format; the message's descriptor defines the fields.  Most lines are
``name: value``, which one regular expression matches in a single step.  All other input, and every
error, is handled token by token.

A field that the schema does not know is an error, unless `private_fields` has its name or the
caller allows it.  Then it is kept as text in the nearest message that has a field for that
(`HELD`), and its positions are recorded as those of any other field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from caffe_lite import glog
from caffe_lite.errors import Location
from caffe_lite.proto import private_fields
from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.layout import HELD, format  # noqa: A004  (called as text.format)
from caffe_lite.proto.literals import converter, nearest, shown
from caffe_lite.proto.tokens import MAX_DEPTH, NAME, QUOTES, SPACE
from caffe_lite.proto.tree import Tree, TreeReader
from caffe_lite.proto.where import Where

__all__ = ["MAX_DEPTH", "format", "parse", "parse_value"]

_USUAL = re.compile(
    rf"""([A-Za-z_]\w*){SPACE}:{SPACE}(?:"([^"\\\n]*)"|(-?[.\w][-+.\w]*)){SPACE}""", re.ASCII
)
_REST_OF_NAME = re.compile(r"-?\w+", re.ASCII)
_HOW_TO_ALLOW = (
    "to read the rest of the file: --allow-unknown-fields (in Python: allow_unknown_fields=True)"
)

_log = glog.logger("caffe_lite.proto")


_FILES = {
    "NetParameter": ("a net", "a solver"),
    "SolverParameter": ("a solver", "a net"),
}
"""What is expected, and what is often given, by the message that a file is read into."""
_OTHER = {"NetParameter": "SolverParameter", "SolverParameter": "NetParameter"}


@dataclass(frozen=True, slots=True)
class _Field:
    """The properties of a field that the parser needs, cached for each message type."""

    name: str
    repeated: bool
    message: bool
    string: bool
    convert: Callable[[str], Any]


_Fields = dict[str, _Field]


def _fields_of_the_other(message: Message) -> Container[str]:
    """The names of a solver's fields, for a net; of a net's, for a solver; else none."""
    other = _OTHER.get(message.DESCRIPTOR.name)
    return message.DESCRIPTOR.file.message_types_by_name[other].fields_by_name if other else ()


@cache
def _fields(descriptor: Descriptor) -> _Fields:
    return {
        field.name: _Field(
            field.name,
            is_repeated(field),
            field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE,
            field.cpp_type == FieldDescriptor.CPPTYPE_STRING,
            converter(field),
        )
        for field in descriptor.fields
    }


@dataclass(slots=True)
class UnknownField:
    """A field that the schema does not know and that is allowed."""

    location: Location
    """Where it is first."""
    message: str
    """That there is none of its name, and the nearest name."""
    count: int = 1
    """How often it is there."""


def parse(
    text: str,
    message: Message,
    file: str,
    allow_unknown_fields: bool = False,
    unknown: list[UnknownField] | None = None,
) -> Where:
    """Fill `message` from prototxt; returns the positions of its fields.

    `file` is the file's name in positions.  Bytes that are not UTF-8 may be in `text` as lone
    surrogates, which comments may contain.  `allow_unknown_fields` keeps fields that the schema
    does not know, and warns of each; a list `unknown` gets them instead of the log.  Raises
    PrototxtError, with a position, for anything that protobuf's text format does not allow;
    `message` then has the fields read so far.
    """
    parser = _Parser(text, file, allow_unknown_fields or unknown is not None)
    try:
        where = parser.parse(message)
    finally:
        if unknown is not None:
            unknown.extend(parser.unknown.values())
    if unknown is None:
        parser.warn()
    return where


def parse_value(text: str, message: Message, file: str) -> None:
    """Fill `message` from what follows its name: ``{ gain: 2 }``, with a colon before it or not.

    Raises PrototxtError for anything else.
    """
    parser = _Parser(text, file, allow_unknown=False)
    parser.start()
    parser.take(":")
    parser.fill(message, Where(parser.source, 0), str(message.DESCRIPTOR.name))


class _Parser(TreeReader):
    """Parses one text; `pos` is always at a token, never at space or a comment."""

    def __init__(self, text: str, file: str, allow_unknown: bool) -> None:
        super().__init__(text, file)
        self.allow_unknown = allow_unknown or private_fields.all_allowed()
        self.outer: list[_Fields] = []  # the fields of the messages around the current one
        # the messages that are open, each with its step from the one before; None if registered
        self.path: list[tuple[Message, str | None]] = []
        self.unknown: dict[tuple[str, str], UnknownField] = {}

    def parse(self, message: Message) -> Where:
        self.start()
        where = Where(self.source, 0)
        self.path.append((message, ""))
        self.read_message(message, where, "")
        return where

    def warn(self) -> None:
        """Warn of each unknown field, once."""
        for found in self.unknown.values():
            _log.warning(
                "%s: %s; it has no effect%s",
                found.location,
                found.message,
                f" (written {found.count} times)" if found.count > 1 else "",
            )

    # -- the grammar -----------------------------------------------------------------------

    def read_message(self, message: Message, where: Where, closing: str) -> None:
        """Read fields up to and including `closing`; if it is empty, up to the end of the text."""
        text, positions = self.text, where.fields
        known = _fields(message.DESCRIPTOR)
        while text[self.pos : self.pos + 1] != closing:
            match = _USUAL.match(text, self.pos)
            field = known.get(match[1]) if match else None
            if match is None or field is None or (field.name in positions and not field.repeated):
                self.read_field(message, where, known)
            elif match[2] is None and not (field.string or field.message):
                self.pos = match.end()
                self.assign(message, where, field, match[3], match.start(3))
            elif (
                match[2] is not None
                and field.string
                and text[match.end() : match.end() + 1] not in QUOTES
            ):
                self.pos = match.end()
                self.assign(message, where, field, match[2], match.start(2) - 1)
            else:
                self.read_field(message, where, known)
            if not self.take(","):
                self.take(";")
        self.take(closing)

    def read_field(self, message: Message, where: Where, known: _Fields) -> None:
        """Read one field of any kind, or raise the error that describes it."""
        start = self.pos
        match = NAME.match(self.text, start)
        if match is None:
            self.refuse_start()
        name, colon = match[1], match[2]
        field = known.get(name)
        self.pos = match.end()
        if field is None:
            self.read_unknown(message, where, match, known)
            return
        if field.name in where.fields and not field.repeated:
            first = where.at(name)
            self.fail(f'"{name}" is set twice; first on line {first.line}', start)
        if not colon and not field.message:
            self.refuse_missing_colon(name, known)
        if field.repeated and self.take("["):
            self.read_list(message, where, field)
        elif field.message:
            self.read_submessage(message, where, field, start)
        else:
            self.read_scalar(message, where, field)

    def read_list(self, message: Message, where: Where, field: _Field) -> None:
        """Read the rest of ``[value, value]`` after its opening bracket."""
        start = self.pos
        if self.take("]"):
            return
        while True:
            if field.message:
                self.read_submessage(message, where, field, self.pos)
            else:
                self.read_scalar(message, where, field)
            if not self.goes_on(start):
                return

    def read_submessage(self, message: Message, where: Where, field: _Field, start: int) -> None:
        target = getattr(message, field.name)
        step = f"{field.name}[{len(target)}]" if field.repeated else field.name
        inside = target.add() if field.repeated else target
        inside.SetInParent()
        inner = Where(self.source, start)
        where.fields.setdefault(field.name, []).append(inner)
        self.outer.append(_fields(message.DESCRIPTOR))
        self.fill(inside, inner, field.name, step)
        self.outer.pop()

    def fill(self, inside: Message, where: Where, name: str, step: str | None = None) -> None:
        """Read the braces of the message `name`, and what is between them."""
        closing = self.open_brace(name)
        self.path.append((inside, step))
        self.read_message(inside, where, closing)
        self.path.pop()
        self.braces.pop()

    def read_scalar(self, message: Message, where: Where, field: _Field) -> None:
        start = self.pos
        quoted = self.text[start : start + 1] in QUOTES
        token = self.read_string() if quoted else self.read_word()
        if token is None:
            self.fail(f'expected a value for "{field.name}", found {self.found()}', start)
        if quoted and not field.string:
            self.fail(f'"{field.name}" takes a value without quotes, not "{shown(token)}"', start)
        if field.string and not quoted:
            self.fail(f'"{field.name}" takes a string in quotes: "{shown(token)}"', start)
        self.assign(message, where, field, token, start)

    def assign(
        self, message: Message, where: Where, field: _Field, token: str, offset: int
    ) -> None:
        try:
            value = field.convert(token)
        except ValueError as error:
            self.fail(f'"{field.name}" {error}', offset)
        if field.repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
        where.fields.setdefault(field.name, []).append(offset)

    # -- fields that the schema does not know --------------------------------------------------

    def read_unknown(
        self, message: Message, where: Where, match: re.Match[str], known: _Fields
    ) -> None:
        """Keep a field as text where it is registered or allowed; else raise its error."""
        name, start = match[1], match.start()
        holder, path = self.holder(name)
        in_layer = holder is not None and holder.DESCRIPTOR.name == "LayerParameter"
        registered = in_layer and private_fields.is_registered(path)
        if holder is None or not (self.allow_unknown or registered):
            self.refuse_name(message, name, start, known, holder is not None)
        other_file = name in _fields_of_the_other(message)
        if other_file or self.whole_name(name, known):
            self.refuse_name(message, name, start, known, allowable=False)
        cls = private_fields.message_class(path) if registered else None
        if cls is not None:
            self.read_registered(cls(), where, name, start)
        else:
            self.read_into(Tree(), where, name, bool(match[2]), start)
        if not registered:
            self.note(message, name, start, known)
        written = self.text[match.end(1) : self.end]
        # bytes that are not UTF-8, which a protobuf string cannot hold, become escapes
        encoded = "".join(
            f"\\{ord(letter) & 0xFF:03o}" if "\udc80" <= letter <= "\udcff" else letter
            for letter in written
        )
        getattr(holder, HELD).add(name=path, text=encoded)

    def read_registered(self, inside: Any, where: Where, name: str, start: int) -> None:
        if name in where.fields:
            first = where.at(name)
            self.fail(f'"{name}" is set twice; first on line {first.line}', start)
        inner = Where(self.source, start)
        where.fields[name] = [inner]
        self.outer.append({})
        self.fill(inside, inner, name)
        self.outer.pop()
        if not inside.IsInitialized():
            missing = ", ".join(inside.FindInitializationErrors())
            self.fail(f'"{name}" must set {missing}', start)

    def holder(self, name: str) -> tuple[Any, str]:
        """The message that keeps an unknown field of the current one, and the path from it."""
        path = name
        for message, step in reversed(self.path):
            if HELD in _fields(message.DESCRIPTOR):
                return message, path
            if step is None:  # it is kept whole
                break
            path = f"{step}.{path}"
        return None, path

    def note(self, message: Message, name: str, start: int, known: _Fields) -> None:
        kind = str(message.DESCRIPTOR.name)
        found = self.unknown.get((kind, name))
        if found is not None:
            found.count += 1
            return
        near = nearest(name, known)
        hint = f' (did you mean "{near}"?)' if near else ""
        self.unknown[kind, name] = UnknownField(
            self.source.location(start), f'{kind} has no field "{name}"{hint}'
        )

    # -- what is wrong ---------------------------------------------------------------------

    def refuse_name(
        self, message: Message, name: str, start: int, known: _Fields, allowable: bool
    ) -> NoReturn:
        kind = message.DESCRIPTOR.name
        whole = self.whole_name(name, known)
        if whole:
            self.fail(f'{kind} has no field "{name}"; did you mean "{whole}"?', start)
        around = zip(self.braces, self.outer, strict=True)
        for (outer, brace), outer_fields in reversed(list(around)):
            if name in outer_fields:
                line = self.source.location(brace).line
                self.fail(
                    f'{kind} has no field "{name}"; is a "}}" missing for the "{outer}" of line '
                    f"{line}?",
                    start,
                )
        if name in _fields_of_the_other(message):
            wanted, given = _FILES[kind]
            self.fail(f'this is {given}, as it has "{name}", where {wanted} is expected', start)
        near = nearest(name, known)
        hint = f'; did you mean "{near}"?' if near else ""
        allow = f"; {_HOW_TO_ALLOW}" if allowable else ""
        self.fail(f'{kind} has no field "{shown(name)}"{hint}{allow}', start)

    def refuse_missing_colon(self, name: str, known: _Fields) -> NoReturn:
        whole = self.whole_name(name, known)
        if whole:
            self.fail(f'expected ":" after "{name}"; did you mean "{whole}"?', self.pos)
        self.fail(f'expected ":" after "{name}", found {self.found()}', self.pos)

    def whole_name(self, name: str, known: _Fields) -> str | None:
        """The known field whose name is split here, as in ``dropout _ratio``; None if none is."""
        rest = _REST_OF_NAME.match(self.text, self.pos)
        if rest is None:
            return None
        tail = rest[0].replace("-", "_")
        return next((whole for whole in (name + tail, f"{name}_{tail}") if whole in known), None)
