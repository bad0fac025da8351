"""Mutations of bytes, of text and of protobuf's wire format, drawn from a seeded generator.

A mutation is ``f(rng, content, others)``: a damaged copy of `content`, perhaps with parts of one
of `others`.  The same generator state gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random

Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]

LONGEST = 1 << 16
"""Bytes after which a mutated file is cut: a fuzzer that only grows its files learns nothing."""

NUMBERS = (
    0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 257, 1000, 4095, 4096,
    32767, 32768, 65535, 65536, 10**6, 2**24, 10**9, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53,
    10**18, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip

_TOKEN = re.compile(rb"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[\w.+-]+|[ \t]+|\s|.", re.DOTALL)

TOKENS = (
    *(str(number).encode() for number in NUMBERS),
    *(b"-%d" % number for number in NUMBERS if number),
    b"0x10", b"0777", b"08", b"1e400", b"-1e400", b"1e-400", b"nan", b"-nan", b"inf", b"-inf",
    b"1.", b".5", b"1..2", b"--1", b"+1", b"1f", b"0.1.2", b"9" * 400, b"1e" + b"9" * 40,
    b"{", b"}", b"<", b">", b"[", b"]", b":", b";", b",", b"#", b"#\n", b"\n", b"\r", b"\r\n",
    b'"', b"'", b"\\", b'""', b"''", b'"\\', b'"\\x', b'"\\777"', b'"\\xff"', b'"\\u0000"',
    b'"\\"',
    b'"\x1b]0;title\x07"', b'"\x1b[2J"', b'"\\033[31m"', b'"\\n"', b'"\\r"', b'"a\\nb"',
    b'"\\000"',
    b'"\xe2\x80\xae"', b'"\xc2\x9b31m"', b'"\xe2\x80\xa8"', b"\xff", b"\x00", b"\xef\xbb\xbf",
    b"\xc2\xa0", b"\xe2\x80\x9c", b'"' + b"n" * 5000 + b'"', b"n" * 5000, b"\x1b[2J", b"\x7f",
    b"true", b"false", b"True", b"maybe", b"TRAIN", b"TEST", b"MAX", b"AVE", b"STOCHASTIC",
    b"layer", b"layers", b"name", b"type", b"bottom", b"top", b"param", b"input", b"input_dim",
    b"layer {", b"layers {", b"shape {", b"dim:", b"blobs {", b"include {", b"- ", b" ",
    b'"data"', b'"../seed"', b'"/proc/self/status"', b'"."', b'"/"', b'"pipe"',
    b"Infinity", b"NaN",
)  # fmt: skip


def bytes_mutation(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to six changes of any bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_CHANGES)(rng, data, others)
    del data[LONGEST if len(content) <= LONGEST else len(content) :]
    return bytes(data)


def text_mutation(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to eight changes of tokens: numbers, names, strings, brackets, space."""
    if rng.random() < 0.15:
        return bytes_mutation(rng, content, others)
    tokens = list(_tokens(content))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_TOKEN_CHANGES)(rng, tokens, others)
        tokens = tokens or [b""]
    return b"".join(tokens)[:LONGEST]


# -- bytes -----------------------------------------------------------------------------------


def _place(rng: Random, data: Sequence[object]) -> int:
    return rng.randrange(len(data)) if data else 0


def _span(rng: Random, data: Sequence[object]) -> slice:
    start = _place(rng, data)
    return slice(start, min(start + rng.choice((1, 2, 4, 8, 16, 64, 1024)), len(data)))


def _flip(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _number(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    size = rng.choice((2, 4, 8))
    value = rng.choice(NUMBERS) % (1 << 8 * size)
    start = _place(rng, data) & ~(rng.choice((1, 4, 8)) - 1)  # fields of files are often aligned
    data[start : start + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _remove(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_span(rng, data)]


def _cut(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_place(rng, data) :]


def _repeat(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    piece = data[_span(rng, data)]
    at = _place(rng, data)
    data[at:at] = piece * rng.choice((1, 2, 20))


def _insert(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))


def _clear(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    span = _span(rng, data)
    data[span] = bytes([rng.choice((0, 255))]) * (span.stop - span.start)


def _splice(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others) if others else bytes(data)
    at = _place(rng, data)
    if rng.random() < 0.5:  # the beginning of one, the end of another
        data[at:] = other[_place(rng, other) :]
    else:
        data[at:at] = other[_span(rng, other)]


_CHANGES = (_flip, _flip, _set, _number, _number, _remove, _cut, _repeat, _insert, _clear, _splice)


# -- tokens ----------------------------------------------------------------------------------


@lru_cache(1000)  # the seeds come again and again
def _tokens(content: bytes) -> tuple[bytes, ...]:
    return tuple(_TOKEN.findall(content)) or (b"",)


def _words(tokens: list[bytes]) -> list[int]:
    """The indices of tokens that are not space."""
    return [index for index, token in enumerate(tokens) if not token.isspace()] or [0]


def _replace(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    tokens[rng.choice(_words(tokens))] = rng.choice(TOKENS)


def _replace_number(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    numbers = [i for i in _words(tokens) if tokens[i][:1].isdigit() or tokens[i][:1] in b"-."]
    if numbers:
        tokens[rng.choice(numbers)] = rng.choice(TOKENS[: 2 * len(NUMBERS) + 20])


def _move(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    words = _words(tokens)
    a, b = rng.choice(words), rng.choice(words)
    tokens[a], tokens[b] = tokens[b], tokens[a]


def _remove_tokens(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    del tokens[_span(rng, tokens)]


def _cut_tokens(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    del tokens[_place(rng, tokens) :]


def _insert_token(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    tokens.insert(_place(rng, tokens), rng.choice((b" %b ", b"%b")) % rng.choice(TOKENS))


def _repeat_tokens(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    piece = tokens[_span(rng, tokens)]
    at = _place(rng, tokens)
    tokens[at:at] = piece * rng.choice((1, 2, 50))


def _splice_tokens(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    if others:
        other = _tokens(rng.choice(others))
        at = _place(rng, tokens)
        tokens[at:at] = other[_span(rng, other)]


def _nest(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    start = rng.choice((b"layer {", b"<", b"[", b"{", b"net_param {", b"a:", b"shape<"))
    tokens.insert(_place(rng, tokens), start * rng.choice((2, 20, 99, 101, 3000)))


def _lengthen(rng: Random, tokens: list[bytes], others: Sequence[bytes]) -> None:
    at = rng.choice(_words(tokens))
    tokens[at] = tokens[at][:1] + tokens[at][1:-1] * rng.choice((2, 100)) + tokens[at][-1:]


_TOKEN_CHANGES = (
    _replace, _replace, _replace_number, _replace_number, _move, _remove_tokens, _cut_tokens,
    _insert_token, _insert_token, _repeat_tokens, _splice_tokens, _nest, _lengthen,
)  # fmt: skip
