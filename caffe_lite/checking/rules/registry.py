"""The rules by their ids.

A rule is a generator function with the decorator `rule`, which yields a `Problem` for each place.
The decorator has its id, which users name to ignore it, and its severity; the first line of its
docstring says what it looks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from caffe_lite.checking.findings import Finding, Problem, Severity
from caffe_lite.checking.subjects import Checked

Find = Callable[[Checked], Iterator[Problem]]


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
