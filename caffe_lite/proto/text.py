"""The prototxt parser, which records the line and column of every field; and the writer.

The grammar is protobuf's text format; the message's descriptor defines the fields.  Most lines are
``name: value``, which one regular expression matches in a single step.  All other input, and every
error, is handled token by token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from caffe_lite.errors import PrototxtError
from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.literals import converter, nearest, shown, unescape
from caffe_lite.proto.where import Source, Where

MAX_DEPTH = 100  # levels of nested messages

# Space and comments.  A comment includes its line's end, so that there is only one way to match.
_SPACE = r"[ \t\r\n\v\f]*(?:#[^\n]*(?:\n[ \t\r\n\v\f]*|\Z))*"
_SKIP = re.compile(_SPACE)
_USUAL = re.compile(
    rf"""([A-Za-z_]\w*){_SPACE}:{_SPACE}(?:"([^"\\\n]*)"|(-?[.\w][-+.\w]*)){_SPACE}""", re.ASCII
)
_NAME = re.compile(rf"([A-Za-z_]\w*){_SPACE}(:?){_SPACE}", re.ASCII)
_STRING = re.compile(rf"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'){_SPACE}""")
_WORD = re.compile(rf"(-?)(?:(?<=-){_SPACE})?([.\w][-+.\w]*){_SPACE}", re.ASCII)
_REST_OF_NAME = re.compile(r"-?\w+", re.ASCII)

_CLOSING = {"{": "}", "<": ">"}
_QUOTES = ('"', "'")
_LOOKALIKES = {
    "\xa0": "a no-break space",
    "\u3000": "an ideographic space",
    "\u200b": "a zero-width space",
    "\ufeff": "a byte order mark",
    "\u201c": "a typographic quote",
    "\u201d": "a typographic quote",
    "\u2018": "a typographic quote",
    "\u2019": "a typographic quote",
    "\uff1a": "a full-width colon",
}


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


def parse(text: str, message: Message, file: str) -> Where:
    """Fill `message` from prototxt; returns the positions of its fields.

    `file` is the file's name in positions.  Bytes that are not UTF-8 may be in `text` as lone
    surrogates, which comments may contain.  Raises PrototxtError, with a position, for anything
    that protobuf's text format does not allow; `message` then has the fields read so far.
    """
    return _Parser(text, file).parse(message)


def format(message: Message) -> str:  # noqa: A001  (called as text.format)
    """The prototxt of a message in Caffe's layout: one field a line, indented by two spaces."""
    return str(text_format.MessageToString(message, as_utf8=True))


class _Parser:
    """Parses one text; `pos` is always at a token, never at space or a comment."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.source = Source(file, text)
        self.pos = 0
        self.open: list[tuple[str, int, _Fields]] = []  # name, brace and outer fields of each

    def parse(self, message: Message) -> Where:
        self.pos = int(self.text.startswith("\ufeff"))
        self.skip()
        where = Where(self.source, 0)
        self.read_message(message, where, "")
        return where

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
                and text[match.end() : match.end() + 1] not in _QUOTES
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
        match = _NAME.match(self.text, start)
        if match is None:
            self.refuse_start()
        name, colon = match[1], match[2]
        field = known.get(name)
        self.pos = match.end()
        if field is None:
            self.refuse_name(message, name, start, known)
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
            if self.take("]"):
                return
            if not self.take(","):
                line = self.source.location(start).line
                self.fail(
                    f'expected "," or "]" in the list on line {line}, found {self.found()}',
                    self.pos,
                )

    def read_submessage(self, message: Message, where: Where, field: _Field, start: int) -> None:
        brace, opening = self.pos, self.text[self.pos : self.pos + 1]
        if opening not in _CLOSING:
            self.fail(f'"{field.name}" is a message: expected "{{", found {self.found()}', brace)
        if len(self.open) == MAX_DEPTH:
            self.fail(f"messages are nested more than {MAX_DEPTH} deep", brace)
        self.take(opening)
        if field.repeated:
            inside = getattr(message, field.name).add()
        else:
            inside = getattr(message, field.name)
            inside.SetInParent()
        inner = Where(self.source, start)
        where.fields.setdefault(field.name, []).append(inner)
        self.open.append((field.name, brace, _fields(message.DESCRIPTOR)))
        self.read_message(inside, inner, _CLOSING[opening])
        self.open.pop()

    def read_scalar(self, message: Message, where: Where, field: _Field) -> None:
        start = self.pos
        quoted = self.text[start : start + 1] in _QUOTES
        match = None if quoted else _WORD.match(self.text, start)
        if quoted:
            token = self.read_string()
        elif match is not None:
            token = match[1] + match[2]
            self.pos = match.end()
        else:
            self.fail(f'expected a value for "{field.name}", found {self.found()}', start)
        if quoted and not field.string:
            self.fail(f'"{field.name}" takes a value without quotes, not "{shown(token)}"', start)
        if field.string and not quoted:
            self.fail(f'"{field.name}" takes a string in quotes: "{shown(token)}"', start)
        self.assign(message, where, field, token, start)

    def read_string(self) -> str:
        """Read a string, or adjacent strings, which are concatenated; escapes are resolved."""
        pieces = []
        while self.text[self.pos : self.pos + 1] in _QUOTES:
            match = _STRING.match(self.text, self.pos)
            if match is None:
                self.fail(f"the string has no closing {self.text[self.pos]} on its line", self.pos)
            try:
                pieces.append(unescape(match[1][1:-1]))
            except ValueError as error:
                self.fail(f"{error}", self.pos)
            self.pos = match.end()
        return "".join(pieces)

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

    # -- tokens ----------------------------------------------------------------------------

    def take(self, token: str) -> bool:
        """Skip the next token if it is this character; returns whether it was."""
        if self.text[self.pos : self.pos + 1] != token:
            return False
        self.pos += len(token)
        self.skip()
        return True

    def skip(self) -> None:
        match = _SKIP.match(self.text, self.pos)
        assert match is not None  # the pattern also matches the empty string
        self.pos = match.end()

    def found(self) -> str:
        """The next token, as a message describes it."""
        character = self.text[self.pos : self.pos + 1]
        if not character:
            return "the end of the file"
        if character in _QUOTES:
            return "a string"
        if character in _LOOKALIKES:
            return f"{_LOOKALIKES[character]} (U+{ord(character):04X}); use the plain character"
        if "\udc80" <= character <= "\udcff":
            return f"byte 0x{ord(character) & 0xFF:02x}, which is not UTF-8"
        if not character.isprintable():
            return f"byte 0x{ord(character):02x}; is this a text file?"
        match = _WORD.match(self.text, self.pos)
        return f'"{shown(match[1] + match[2]) if match else character}"'

    # -- what is wrong ---------------------------------------------------------------------

    def fail(self, message: str, offset: int) -> NoReturn:
        raise PrototxtError(message, self.source.location(offset)) from None

    def refuse_start(self) -> NoReturn:
        """Raise the error for a token that is not a field's name."""
        character = self.text[self.pos : self.pos + 1]
        if not character:
            name, brace, _ = self.open[-1]
            self.fail(f'the "{self.text[brace]}" of "{name}" is never closed', brace)
        if character in _CLOSING.values():
            if not self.open:
                self.fail(f'"{character}" has no opening counterpart; remove it', self.pos)
            name, brace, _ = self.open[-1]
            line = self.source.location(brace).line
            self.fail(
                f'expected "{_CLOSING[self.text[brace]]}" to close "{name}" of line '
                f'{line}, found "{character}"',
                self.pos,
            )
        self.fail(f"expected a field's name, found {self.found()}", self.pos)

    def refuse_name(self, message: Message, name: str, start: int, known: _Fields) -> NoReturn:
        kind = message.DESCRIPTOR.name
        whole = self.whole_name(name, known)
        if whole:
            self.fail(f'{kind} has no field "{name}"; did you mean "{whole}"?', start)
        for outer, brace, outer_fields in reversed(self.open):
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
        self.fail(f'{kind} has no field "{shown(name)}"{hint}', start)

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
