"""Messages whose schema is not known: their fields as plain values, read from prototxt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from caffe_lite.errors import LayerError
from caffe_lite.proto.literals import plain_value
from caffe_lite.proto.tokens import NAME, QUOTES, Tokens
from caffe_lite.proto.where import Where


class Word(str):
    """A value without quotes that is neither a number nor true or false: one of an enum."""

    __slots__ = ()


class NotSetError(LayerError, AttributeError):
    """A field that is asked for and that the file does not set."""


class Tree:
    """A message whose schema is not known: ``tree.gain`` is the value of the field ``gain``.

    Values are int, float, bool, str (in quotes), `Word` (without quotes) and Tree.  A field that
    is written once is its value; one that is written more often, or in brackets, is a list of
    values.  ``tree["gain"]`` is always a list, empty if the field is not set.  ``"gain" in tree``
    says whether it is set, and ``getattr(tree, "gain", 1.0)`` gives a default.  Any other use of a
    field that is not set is a LayerError with the position of the message.
    """

    # no other attribute has a name without an underscore: a field may have any
    __slots__ = ("_lists", "_prefix", "_text", "_values")

    def __init__(self, prefix: str = "") -> None:
        self._values: dict[str, list[Any]] = {}
        self._lists: set[str] = set()
        self._prefix = prefix  # of the path of a field, for errors
        self._text = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copy and pickle look for is no field
            raise AttributeError(name)
        values = self._values.get(name)
        if values is None:
            raise NotSetError(f'"{name}" is not set', self._prefix + name)
        return list(values) if name in self._lists or len(values) > 1 else values[0]

    def __getitem__(self, name: str) -> list[Any]:
        return list(self._values.get(name, ()))

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self)
        return f"Tree({fields})"

    def _add(self, name: str, values: list[Any], is_list: bool) -> None:
        self._values.setdefault(name, []).extend(values)
        if is_list:
            self._lists.add(name)

    def _path(self, name: str, index: int) -> str:
        return f"{self._prefix}{name}[{index}]."


def text_of(tree: Tree) -> str:
    """A tree's fields as they are written, without the braces around them."""
    return tree._text


def child_of(tree: Tree, name: str, index: int) -> Tree:
    """The message that is value `index` of a tree's field, made if there is none."""
    values = tree._values.setdefault(name, [])
    while len(values) <= index:
        values.append(Tree(tree._path(name, len(values))))
    child: Tree = values[index]
    return child


def value_text(value: Any) -> str:
    """The prototxt of a plain value: a dict is a message, a list the values of a field.

    A str is written in quotes, a `Word` without.  Raises TypeError for anything else.
    """
    if hasattr(value, "item") and getattr(value, "size", 0) == 1:
        value = value.item()  # a number of NumPy's
    if isinstance(value, Mapping):
        fields = "".join(f"{name}: {value_text(each)} " for name, each in value.items())
        return f"{{ {fields}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return repr(value)
    raise TypeError(f"a field has numbers, texts, lists and dicts, not a {type(value).__name__}")


class TreeReader(Tokens):
    """Reads messages of any fields; what it accepts is the text format's syntax and no more."""

    def read_tree(self, where: Where, closing: str, prefix: str) -> Tree:
        """Read fields up to and including `closing`; if it is empty, up to the end of the text."""
        tree, first = Tree(prefix), self.pos
        self.end = first
        while self.text[self.pos : self.pos + 1] != closing:
            start, match = self.pos, NAME.match(self.text, self.pos)
            if match is None:
                self.refuse_start()
            self.pos = match.end()
            self.read_into(tree, where, match[1], bool(match[2]), start)
            if not self.take(","):
                self.take(";")
        tree._text = self.text[first : max(first, self.end)]
        self.take(closing)
        return tree

    def read_into(self, tree: Tree, where: Where, name: str, colon: bool, start: int) -> None:
        """Read the value, or the list of values, of a field whose name has been read.

        start: the position of the name.  Positions are added to `where`, values to `tree`.
        """
        bracket, is_list = self.pos, self.take("[")
        values: list[Any] = []
        if is_list and self.take("]"):
            where.fields.setdefault(name, []).append(bracket)
        else:
            while True:
                here = self.pos if is_list else start
                number = len(tree[name]) + len(values)
                values.append(self._read_value(where, name, colon, here, tree._path(name, number)))
                if not is_list or not self.goes_on(bracket):
                    break
        tree._add(name, values, is_list)

    def _read_value(
        self, where: Where, name: str, colon: bool, start: int, prefix: str
    ) -> int | float | bool | str | Tree:
        offset, first = self.pos, self.text[self.pos : self.pos + 1]
        positions = where.fields.setdefault(name, [])
        if first in ("{", "<"):
            inner = Where(self.source, start)
            positions.append(inner)
            closing = self.open_brace(name)
            tree = self.read_tree(inner, closing, prefix)
            self.braces.pop()
            return tree
        if not colon:
            self.fail(f'expected ":" or "{{" after "{name}", found {self.found()}', offset)
        positions.append(offset)
        if first in QUOTES:
            return self.read_string()
        token = self.read_word()
        if token is None:
            self.fail(f'expected a value for "{name}", found {self.found()}', offset)
        try:
            value = plain_value(token)
        except ValueError as error:
            self.fail(f'"{name}" {error}', offset)
        return Word(value) if isinstance(value, str) else value
