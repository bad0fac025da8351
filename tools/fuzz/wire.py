"""Mutations of protobuf's wire format that keep its structure: lengths stay those of their fields.

Bytes changed at random mostly give a message that cannot be parsed.  These give messages that can,
with values, types, orders and depths that no program writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tools.fuzz.mutate import NUMBERS, TOKENS, bytes_mutation

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
_SIZES = {FIXED64: 8, FIXED32: 4}
DEEPEST = 6
"""Levels to which contents are taken for messages; bytes of an image may look like one."""


@dataclass
class Field:
    """A field: a number, bytes, or the fields of a message."""

    number: int
    kind: int
    value: int | bytes | list[Field]


def wire_mutation(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes of fields, at any depth; or of bytes, in one case of five."""
    fields = decode(content)
    if fields is None or rng.random() < 0.2:
        return bytes_mutation(rng, content, others)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(_CHANGES)(rng, fields, others)
    return encode(fields)


def decode(content: bytes, depth: int = 0) -> list[Field] | None:
    """The fields of a message; None if it is none."""
    fields: list[Field] = []
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, kind = tag >> 3, tag & 7
        value: int | bytes | list[Field]
        if not 0 < number < 2**29:
            return None
        if kind == VARINT:
            value, at = _varint(content, at)
        elif kind == DELIMITED:
            size, at = _varint(content, at)
            value = content[at : at + size]
            if len(value) != size:
                return None
            at += size
            inner = decode(value, depth + 1) if value and depth < DEEPEST else None
            value = value if inner is None else inner
        elif kind in _SIZES:
            value = content[at : at + _SIZES[kind]]
            if len(value) != _SIZES[kind]:
                return None
            at += _SIZES[kind]
        else:
            return None
        if at > len(content):
            return None
        fields.append(Field(number, kind, value))
    return fields


def encode(fields: Sequence[Field]) -> bytes:
    """The message of these fields."""
    parts = []
    for field in fields:
        parts.append(_digits(field.number << 3 | field.kind))
        if isinstance(field.value, int):
            parts.append(_digits(field.value))
            continue
        value = encode(field.value) if isinstance(field.value, list) else field.value
        parts.append(_digits(len(value)) + value if field.kind == DELIMITED else value)
    return b"".join(parts)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, len(content) + 1  # no end: no message


def _digits(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _somewhere(rng: Random, fields: list[Field]) -> list[Field]:
    """The fields of the message, or of one inside it."""
    while True:
        inside = [each.value for each in fields if isinstance(each.value, list)]
        if not inside or rng.random() < 0.4:
            return fields
        fields = rng.choice(inside)


def _change_value(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    fields = _somewhere(rng, fields)
    if not fields:
        return
    field = rng.choice(fields)
    if isinstance(field.value, int):
        field.value = rng.choice(NUMBERS)
    elif field.kind in _SIZES:
        field.value = rng.choice(
            (b"\0" * 8, b"\xff" * 8, b"\0\0\x80\x7f\0\0\xf0\x7f", b"\0\0\xc0\x7f\0\0\xf8\x7f")
        )[: _SIZES[field.kind]]
    elif isinstance(field.value, bytes) and rng.random() < 0.7:
        field.value = bytes_mutation(rng, field.value, others)
    else:
        field.value = rng.choice((b"", rng.choice(TOKENS).strip(b'"'), rng.randbytes(9)))


def _change_number(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    fields = _somewhere(rng, fields)
    if fields:
        rng.choice(fields).number = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 131, 2**29 - 1))


def _change_kind(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    fields = _somewhere(rng, fields)
    if fields:
        field = rng.choice(fields)
        kind = rng.choice((VARINT, FIXED64, DELIMITED, FIXED32))
        value: int | bytes = rng.choice(NUMBERS) % 2**64
        if kind != VARINT:
            value = rng.randbytes(_SIZES.get(kind, 5))
        field.kind, field.value = kind, value


def _remove(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    fields = _somewhere(rng, fields)
    if fields:
        del fields[rng.randrange(len(fields))]


def _repeat(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    fields = _somewhere(rng, fields)
    if fields:
        fields[:0] = [rng.choice(fields)] * rng.choice((1, 2, 100))


def _reorder(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    rng.shuffle(_somewhere(rng, fields))


def _add(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    number = rng.choice((1, 2, 3, 4, 5, 7, 12, 100, 133, 999))
    field = (
        Field(number, VARINT, rng.choice(NUMBERS) % 2**64)
        if rng.random() < 0.5
        else Field(number, DELIMITED, rng.choice((b"", b"\x08\x01", b"\xff\xfe", b"x" * 3000)))
    )
    _somewhere(rng, fields).append(field)


def _nest(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    fields = _somewhere(rng, fields)
    number = rng.choice((1, 2, 7, 100))
    content = encode(fields[:2])[:256]
    for _ in range(rng.choice((1, 5, 50, 101, 300))):
        content = _digits(number << 3 | DELIMITED) + _digits(len(content)) + content
    fields.append(Field(number, DELIMITED, content))


def _splice(rng: Random, fields: list[Field], others: Sequence[bytes]) -> None:
    other = decode(rng.choice(others)) if others else None
    if other:
        _somewhere(rng, fields).append(rng.choice(_somewhere(rng, other) or other))


_CHANGES = (
    _change_value, _change_value, _change_value, _change_number, _change_kind, _remove, _repeat,
    _reorder, _add, _nest, _splice,
)  # fmt: skip
