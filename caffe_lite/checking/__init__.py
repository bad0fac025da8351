"""What is wrong or suspicious in a net, a solver and weights, without running them.

    report = caffe_lite.check("solver.prototxt")
    print(report)
    report.errors

`rules` has a file for each family of rules; `dry` builds nets without data; `forecast` says what a
training step takes; `writing` has the formats for people and for programs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from caffe_lite import arguments
from caffe_lite.arguments import ArgumentError
from caffe_lite.blob import Shape
from caffe_lite.checking import rules
from caffe_lite.checking.findings import Finding, Severity
from caffe_lite.checking.forecast import Forecast, forecast_of
from caffe_lite.checking.rules.registry import RULES
from caffe_lite.checking.subjects import Request, gather
from caffe_lite.phases import TEST, TRAIN

__all__ = ["RULES", "Finding", "Forecast", "Report", "Severity", "check", "rules"]

_Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Report:
    """All findings of a check, those of one file in the order of its lines."""

    file: str
    findings: tuple[Finding, ...]
    forecast: Forecast | None = None
    """What a training step takes; None for a net that is not trained, or of unknown shapes."""

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of a severity."""
        return [each for each in self.findings if each.severity is severity]

    @property
    def errors(self) -> list[Finding]:
        """The findings that keep it from running or from learning."""
        return self.of(Severity.ERROR)

    @property
    def worst(self) -> Severity | None:
        """The greatest severity; None without findings."""
        return max((each.severity for each in self.findings), default=None)

    @property
    def counts(self) -> str:
        """``1 error, 2 warnings``; "nothing found" without findings."""
        count = Counter(each.severity for each in self.findings)
        parts = [
            f"{count[severity]} {severity.word}{'s' if count[severity] > 1 else ''}"
            for severity in reversed(Severity)
            if count[severity]
        ]
        return ", ".join(parts) or "nothing found"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), f"{self.file}: {self.counts}"])


def check(
    file: _Path,
    weights: _Path | Sequence[_Path] = (),
    *,
    phase: int | None = None,
    level: int = 0,
    stages: Sequence[str] = (),
    input_shapes: Mapping[str, Shape] | None = None,
    python_layers: bool = False,
    ignore: Iterable[str] = (),
) -> Report:
    """Check a net or a solver, with weights, and say everything that is wrong or suspicious.

    file: a prototxt of a net or of a solver, whose nets are then checked, too.  weights: files
    .caffemodel(.h5); those of the solver if none are given.  phase: TRAIN or TEST; by default
    those that the net is made for.  level, stages: those of `Net`.  input_shapes: shapes of
    tops of layers without bottoms, by name, where neither the prototxt nor data that are here have
    them.  python_layers: whether layers of type Python may run their modules.  ignore: ids of
    rules.

    What is wrong in the files is in the report and raises nothing.  Raises ArgumentError for an id
    that no rule has.
    """
    ignored = set(arguments.names(ignore, "ignore"))
    if unknown := sorted(ignored - RULES.keys()):
        raise ArgumentError(f"there is no rule {unknown[0]}; the rules are {', '.join(RULES)}")
    if phase is not None:
        phase = arguments.integer(phase, "phase", TRAIN, TEST)
    given = [weights] if isinstance(weights, (str, os.PathLike)) else weights
    request = Request(
        arguments.path(file, "the file"),
        tuple(arguments.path(each, "weights") for each in given),
        phase,
        level,
        tuple(stages),
        dict(input_shapes or {}),
        python_layers,
    )
    checked = gather(request)
    found: dict[Finding, None] = {}
    for id_, rule in RULES.items():
        if id_ not in ignored:
            found.update(dict.fromkeys(rule(checked)))
    return Report(request.file, tuple(sorted(found, key=_order)), forecast_of(checked))


def _order(finding: Finding) -> tuple[bool, str, int, int]:
    place = finding.location
    if place is None:
        return True, "", 0, 0
    return False, place.file, place.line, place.column
