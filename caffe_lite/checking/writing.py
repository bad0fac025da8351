"""A report for people and for programs: lines of text, JSON, SARIF, annotations of GitHub's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from caffe_lite.checking import Report
from caffe_lite.checking.findings import Finding, Severity
from caffe_lite.checking.rules.registry import RULES
from caffe_lite.errors import one_line
from caffe_lite.net.summary import bytes_text

COLORS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}
"""The terminal colours of the severities."""

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_ANNOTATIONS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def text(report: Report, colored: bool = False) -> list[str]:
    """A line for each finding, then the forecast, and the number of findings of each severity."""
    lines = [_line(each, colored) for each in report.findings]
    file = one_line(report.file)
    if report.forecast is not None:
        memory = report.forecast.memory
        parts = ", ".join(
            f"{name} {bytes_text(size)}" for name, size in vars(memory).items() if size
        )
        lines.append(
            f"{file}: training takes about {bytes_text(memory.total)} of memory ({parts})"
        )
        seconds = _duration(report.forecast.seconds())
        lines.append(f"{file}: a step takes about {seconds}, at this machine's present speed")
    return [*lines, f"{file}: {report.counts}"]


def _line(finding: Finding, colored: bool) -> str:
    if not colored:
        return str(finding)
    place = f"{finding.location}: " if finding.location else ""
    word = f"\033[1;{COLORS[finding.severity]}m{finding.severity.word}:\033[0m"
    return f"{one_line(place)}{word} {finding.text} \033[2m[{finding.rule}]\033[0m"


def _duration(seconds: float) -> str:
    """A time to two digits or to the millisecond."""
    value, unit = (seconds, "s") if seconds >= 1 else (1e3 * seconds, "ms")
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"


def as_json(report: Report, timed: bool = True) -> str:
    """An object with the file, the findings, the forecast, and whether there are errors.

    timed: whether to measure this machine for the time of a step.
    """
    found = report.forecast
    training = None
    if found is not None:
        memory = {**vars(found.memory), "total": found.memory.total}
        training = {"memory": memory, "step_seconds": found.seconds() if timed else None}
    content = {
        "file": report.file,
        "passed": not report.errors,
        "findings": [
            {
                "rule": each.rule,
                "severity": each.severity.word,
                "message": each.text,
                "file": each.location.file if each.location else None,
                "line": each.location.line if each.location else None,
                "column": each.location.column if each.location else None,
            }
            for each in report.findings
        ],
        "training": training,
    }
    return json.dumps(content, indent=2) + "\n"


def as_sarif(report: Report, version: str) -> str:
    """SARIF 2.1.0, the format of OASIS for the results of static analysis.

    version: that of the program.  Paths are relative to the current folder, or absolute where they
    are given so.
    """
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.what},
            "defaultConfiguration": {"level": rule.severity.word},
        }
        for rule in RULES.values()
    ]
    driver = {
        "name": "caffe-lite check",
        "version": version,
        "informationUri": "https://github.com/caffe-lite/caffe_lite/blob/main/docs/check.md",
        "rules": rules,
    }
    results = [_sarif(each, report.file) for each in report.findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    content = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(content, indent=2) + "\n"


def _sarif(finding: Finding, file: str) -> dict[str, Any]:
    place = finding.location
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(place.file if place else file)}}
    if place is not None:
        physical["region"] = {"startLine": place.line, "startColumn": place.column}
    return {
        "ruleId": finding.rule,
        "ruleIndex": list(RULES).index(finding.rule),
        "level": finding.severity.word,
        "message": {"text": finding.text},
        "locations": [{"physicalLocation": physical}],
    }


def _uri(path: str) -> str:
    """A path as a URI reference."""
    encoded = quote(path.replace(os.sep, "/").encode("utf-8", "surrogateescape"))
    return f"file://{encoded}" if os.path.isabs(path) else encoded


def as_annotations(report: Report) -> Iterator[str]:
    """Workflow commands that show the findings beside the lines, in GitHub's pull requests."""
    for each in report.findings:
        place = each.location
        file = place.file if place else report.file
        fields = (
            {"file": file, "line": place.line, "col": place.column} if place else {"file": file}
        )
        fields["title"] = f"caffe-lite check: {each.rule}"
        written = ",".join(f"{name}={_property(str(value))}" for name, value in fields.items())
        yield f"::{_ANNOTATIONS[each.severity]} {written}::{_data(each.text)}"


def _data(value: str) -> str:
    """A value of a workflow command, in one line, whose percent signs are escaped."""
    return one_line(value).replace("%", "%25")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
