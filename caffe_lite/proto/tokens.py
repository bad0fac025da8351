"""The tokens of prototxt: names, strings, words and punctuation, with their positions."""

from __future__ import annotations

import re
from typing import NoReturn

from caffe_lite.errors import PrototxtError
from caffe_lite.proto.literals import shown, unescape
from caffe_lite.proto.where import Source

MAX_DEPTH = 100  # levels of nested messages

# Space and comments.  A comment includes its line's end, so that there is only one way to match.
SPACE = r"[ \t\r\n\v\f]*(?:#[^\n]*(?:\n[ \t\r\n\v\f]*|\Z))*"
NAME = re.compile(rf"([A-Za-z_]\w*){SPACE}(:?){SPACE}", re.ASCII)
_SKIP = re.compile(SPACE)
_STRING = re.compile(rf"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'){SPACE}""")
_WORD = re.compile(rf"(-?)(?:(?<=-){SPACE})?([.\w][-+.\w]*){SPACE}", re.ASCII)

CLOSING = {"{": "}", "<": ">"}
QUOTES = ('"', "'")
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


class Tokens:
    """One text; `pos` is always at a token, never at space or a comment."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.source = Source(file, text)
        self.pos = 0
        self.end = 0
        """The end of the last token that was taken, before space and comments."""
        self.braces: list[tuple[str, int]] = []
        """The name of each message that is open, and the position of its brace."""

    def start(self) -> None:
        """Go to the first token."""
        self.pos = int(self.text.startswith("\ufeff"))
        self.skip()

    def take(self, token: str) -> bool:
        """Skip the next token if it is this character; returns whether it was."""
        if self.text[self.pos : self.pos + 1] != token:
            return False
        self.pos += len(token)
        self.end = self.pos
        self.skip()
        return True

    def skip(self) -> None:
        """Skip space and comments."""
        match = _SKIP.match(self.text, self.pos)
        assert match is not None  # the pattern also matches the empty string
        self.pos = match.end()

    def read_string(self) -> str:
        """Read a string, or adjacent strings, which are concatenated; escapes are resolved."""
        pieces = []
        while self.text[self.pos : self.pos + 1] in QUOTES:
            match = _STRING.match(self.text, self.pos)
            if match is None:
                self.fail(f"the string has no closing {self.text[self.pos]} on its line", self.pos)
            try:
                pieces.append(unescape(match[1][1:-1]))
            except ValueError as error:
                self.fail(f"{error}", self.pos)
            self.pos, self.end = match.end(), match.end(1)
        return "".join(pieces)

    def read_word(self) -> str | None:
        """Read a number or a word; None if the next token is neither."""
        match = _WORD.match(self.text, self.pos)
        if match is None:
            return None
        self.pos, self.end = match.end(), match.end(2)
        return match[1] + match[2]

    def open_brace(self, name: str) -> str:
        """Read the brace that opens the message `name`; returns the one that will close it."""
        brace, opening = self.pos, self.text[self.pos : self.pos + 1]
        if opening not in CLOSING:
            self.fail(f'"{name}" is a message: expected "{{", found {self.found()}', brace)
        if len(self.braces) == MAX_DEPTH:
            self.fail(f"messages are nested more than {MAX_DEPTH} deep", brace)
        self.take(opening)
        self.braces.append((name, brace))
        return CLOSING[opening]

    def goes_on(self, start: int) -> bool:
        """Whether a list, whose bracket is before `start`, has another value: reads "," or "]"."""
        if self.take("]"):
            return False
        if not self.take(","):
            line = self.source.location(start).line
            self.fail(
                f'expected "," or "]" in the list on line {line}, found {self.found()}', self.pos
            )
        return True

    def found(self) -> str:
        """The next token, as a message describes it."""
        character = self.text[self.pos : self.pos + 1]
        if not character:
            return "the end of the file"
        if character in QUOTES:
            return "a string"
        if character in _LOOKALIKES:
            return f"{_LOOKALIKES[character]} (U+{ord(character):04X}); use the plain character"
        if "\udc80" <= character <= "\udcff":
            return f"byte 0x{ord(character) & 0xFF:02x}, which is not UTF-8"
        if not character.isprintable():
            return f"byte 0x{ord(character):02x}; is this a text file?"
        match = _WORD.match(self.text, self.pos)
        return f'"{shown(match[1] + match[2]) if match else character}"'

    def fail(self, message: str, offset: int) -> NoReturn:
        """Raise PrototxtError with the position of `offset`."""
        raise PrototxtError(message, self.source.location(offset)) from None

    def refuse_start(self) -> NoReturn:
        """Raise the error for a token that is not a field's name."""
        character = self.text[self.pos : self.pos + 1]
        if not character:
            name, brace = self.braces[-1]
            self.fail(f'the "{self.text[brace]}" of "{name}" is never closed', brace)
        if character in CLOSING.values():
            if not self.braces:
                self.fail(f'"{character}" has no opening counterpart; remove it', self.pos)
            name, brace = self.braces[-1]
            line = self.source.location(brace).line
            self.fail(
                f'expected "{CLOSING[self.text[brace]]}" to close "{name}" of line '
                f'{line}, found "{character}"',
                self.pos,
            )
        self.fail(f"expected a field's name, found {self.found()}", self.pos)
