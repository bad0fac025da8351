"""What a check finds: a `Problem` as a rule states it, a `Finding` with the rule's id."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from caffe_lite.errors import CaffeError, Location, one_line
from caffe_lite.proto.nodes import Node


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


def at(node: Node, field: str, message: str, severity: Severity | None = None) -> Problem:
    """A problem of a layer, at a field of its LayerParameter; "" is the layer itself."""
    place = node.where.at(field) if node.where else None
    return Problem(message, place, node.label(), severity)


def of_error(error: CaffeError, severity: Severity | None = None) -> Problem:
    """The problem that an exception states."""
    return Problem(error.message, error.location, error.subject, severity)
