"""Conversion of prototxt tokens to field values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z", re.ASCII)
_FLOAT = re.compile(
    r"-?(?:(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?[fF]?|(?i:inf|infinity|nan))\Z",
    re.ASCII,
)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_ESCAPE = re.compile(
    rb"\\(?:([abfnrtv\\'\"?])|([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})"
    rb"|U([0-9a-fA-F]{8})|(.?))",
    re.DOTALL,
)
_CONTROL = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))
_BOOLS = dict.fromkeys(("true", "True", "t"), True) | dict.fromkeys(("false", "False", "f"), False)
_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: ("uint32", 0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: ("uint64", 0, 2**64 - 1),
}


def converter(field: FieldDescriptor) -> Callable[[str], Any]:
    """The function that converts a token to a field's value; it raises ValueError if it cannot.

    A string's token is the text between the quotes, with escapes resolved.  Bytes that are not
    UTF-8 appear in it as lone surrogates (Python's ``surrogateescape``).
    """
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _bytes if field.type == FieldDescriptor.TYPE_BYTES else _text
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _bool
    if field.cpp_type in _BOUNDS:
        return _integer(*_BOUNDS[field.cpp_type])
    return _float


def plain_value(token: str) -> int | float | bool | str:
    """The value of a token whose field is not known: a number, true or false, or else the word.

    Raises ValueError for a token that is neither.
    """
    if token in ("true", "True", "false", "False"):
        return _BOOLS[token]
    if _INTEGER.match(token):
        return _number(token)
    if _FLOAT.match(token):
        return _float(token)
    if not _IDENTIFIER.match(token):
        raise ValueError(f"expects a number or a word, not {shown(token)}")
    return token


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, ignoring case; None if none is close."""
    lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.65)
    return lower[matches[0]] if matches else None


def shown(token: str) -> str:
    """A token as messages quote it: printable characters only, cut to 60."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in token[:61])
    return printable if len(printable) <= 60 else f"{printable[:57]}..."


def unescape(raw: str) -> str:
    """Resolve the escapes in the text between quotes.  Raises ValueError for an invalid escape."""
    if "\\" not in raw:
        return raw
    encoded = raw.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_character, encoded).decode("utf-8", "surrogateescape")


def _character(match: re.Match[bytes]) -> bytes:
    single, octal, hexadecimal, short, long, unknown = match.groups()
    if single is not None:
        return bytes([_CONTROL.get(single[0], single[0])])
    if octal is not None or hexadecimal is not None:
        value = int(octal, 8) if octal is not None else int(hexadecimal, 16)
        if value > 255:
            raise ValueError(f"escape \\{octal.decode()} does not fit in a byte")
        return bytes([value])
    if unknown is not None:
        letter = unknown.decode("utf-8", "replace")
        raise ValueError(f'unknown escape "\\{letter}"; write \\\\ for a backslash')
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError(f"U+{code:04X} is not a character")
    return chr(code).encode()


def _text(token: str) -> str:
    if not token.isascii():
        try:
            token.encode()
        except UnicodeEncodeError as error:
            byte = ord(token[error.start]) & 0xFF
            raise ValueError(
                f"has byte 0x{byte:02x}, which is not UTF-8; save the file as UTF-8"
            ) from None
    return token


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogateescape")


def _bool(token: str) -> bool:
    value = _BOOLS.get(token)
    if value is None:
        if not _INTEGER.match(token) or (number := _number(token)) not in (0, 1):
            raise ValueError(f"expects true or false, not {shown(token)}")
        value = bool(number)
    return value


def _float(token: str) -> float:
    if not _FLOAT.match(token):
        raise ValueError(f"expects a number, not {shown(token)}")
    return float(token.rstrip("fF") if token[-1] in "fF" and token[-2:-1] not in "nN" else token)


def _integer(kind: str, low: int, high: int) -> Callable[[str], int]:
    def convert(token: str) -> int:
        if not _INTEGER.match(token):
            raise ValueError(f"expects an integer ({kind}), not {shown(token)}")
        value = _number(token)
        if not low <= value <= high:
            raise ValueError(f"is out of range: {shown(token)}; {kind} is {low} to {high}")
        return value

    return convert


def _number(token: str) -> int:
    digits = token.lstrip("-")
    if digits[:2] in ("0x", "0X"):
        return int(token, 16)
    return int(token, 8 if digits[0] == "0" else 10)


def _enum(descriptor: EnumDescriptor) -> Callable[[str], int]:
    numbers = {value.name: int(value.number) for value in descriptor.values}

    def convert(token: str) -> int:
        if token in numbers:
            return numbers[token]
        if _INTEGER.match(token) and (number := _number(token)) in numbers.values():
            return number
        raise ValueError(_no_such_value(token, numbers))

    return convert


def _no_such_value(token: str, names: Iterable[str]) -> str:
    near = nearest(token, names)
    token = shown(token)
    if near:
        return f'has no value {token}; did you mean "{near}"?'
    return f"has no value {token}; use one of {', '.join(names)}"
