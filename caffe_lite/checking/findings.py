"""What a check finds, and the rules that find it.

A rule is a generator function with the decorator `rule`, which yields a `Problem` for each place.
The decorator has its id, which users name to ignore it, and its severity; the first line of its
docstring says what it looks for.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caffe_lite.errors import CaffeError, Location, one_line
from caffe_lite.proto.nodes import Node

if TYPE_CHECKING:
    from caffe_lite.checking.subjects import Checked


class Severity(enum.IntEnum):
    """How bad a finding is."""

    NOTE = 0
    """Worth knowing; nothing need be wrong."""
    WARNING = 1
    """It runs, but hardly as it was meant; or it needs a file that is not here."""
    ERROR = 2
    """It cannot run, or cannot learn."""

    @property
    def word(self) -> str:
        """The name in lower case."""
        return self.name.lower()


@dataclass(frozen=True)
class Problem:
    """What a rule has seen, and where."""

    message: str
    """What is wrong, with the values, and what to do."""
    location: Location | None = None
    subject: str | None = None
    """The layer, as in errors: ``layer "conv1" (Convolution)``."""
    severity: Severity | None = None
    """That of the rule, if None."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or suspicious."""

    rule: str
    """The id of the rule, such as ``unread-blob``."""
    severity: Severity
    message: str
    location: Location | None = None
    subject: str | None = None

    @property
    def text(self) -> str:
        """The subject and the message, in one safe line."""
        return one_line(": ".join(part for part in (self.subject, self.message) if part))

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        return one_line(f"{place}{self.severity.word}: {self.text} [{self.rule}]")


Find = Callable[["Checked"], Iterator[Problem]]


@dataclass(frozen=True)
class Rule:
    """A rule with its id; called, it yields findings."""

    id: str
    severity: Severity
    find: Find

    @property
    def what(self) -> str:
        """What it looks for, in one line."""
        return (self.find.__doc__ or "").partition("\n")[0]

    def __call__(self, checked: Checked) -> Iterator[Finding]:
        """What it finds."""
        for each in self.find(checked):
            yield self.finding(each)

    def finding(self, problem: Problem) -> Finding:
        """The finding of a problem."""
        severity = self.severity if problem.severity is None else problem.severity
        return Finding(self.id, severity, problem.message, problem.location, problem.subject)


RULES: dict[str, Rule] = {}
"""All rules by id, in the order in which their modules are imported."""


def rule(id_: str, severity: Severity) -> Callable[[Find], Rule]:
    """Decorator: register a rule."""

    def add(find: Find) -> Rule:
        if id_ in RULES:
            raise ValueError(f"rule {id_} is registered twice")
        RULES[id_] = Rule(id_, severity, find)
        return RULES[id_]

    return add


def at(node: Node, field: str, message: str, severity: Severity | None = None) -> Problem:
    """A problem of a layer, at a field of its LayerParameter; "" is the layer itself."""
    place = node.where.at(field) if node.where else None
    return Problem(message, place, node.label(), severity)


def of_error(error: CaffeError, severity: Severity | None = None) -> Problem:
    """The problem that an exception states."""
    return Problem(error.message, error.location, error.subject, severity)
