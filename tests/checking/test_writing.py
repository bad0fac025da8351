"""A report as lines, JSON, SARIF and GitHub's annotations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from caffe_lite.checking import RULES, Forecast, check, writing
from caffe_lite.checking.forecast.machine import Machine
from tests.checking.files import NET, SOLVER, changed, write

PAGE = Path(__file__).parents[2] / "docs" / "check.md"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("caffe_lite.checking.forecast.this_machine", lambda: Machine(200e9, 30e9))


@pytest.fixture
def report():
    """With an error, a warning and a note, the first without a place."""
    net = changed(NET, '"xavier" }', '"xavier" std: 0.2 }')
    write(net=net, solver=changed(SOLVER, "weight_decay: 0.0005\n", ""))
    return check("solver.prototxt", "50%,a:b.caffemodel")


def test_lines(report):
    lines = writing.text(report)
    assert lines[0] == (
        'net.prototxt:12:41: warning: layer "conv1" (Convolution): filler "xavier" does not '
        "read std [ineffective-field]"
    )
    assert lines[1].startswith("solver.prototxt:1:1: note: weight_decay is 0")
    assert lines[2] == "error: 50%,a:b.caffemodel: no such file [unreadable-weights]"
    assert re.fullmatch(r"solver.prototxt: training takes about .* of memory \(.*\)", lines[3])
    assert "a step takes about" in lines[4]
    assert lines[5] == "solver.prototxt: 1 error, 1 warning, 1 note"


def test_colours_change_nothing_else(report):
    colored = writing.text(report, colored=True)
    assert "\033[1;33mwarning:\033[0m" in colored[0]
    assert [re.sub(r"\033\[[\d;]*m", "", line) for line in colored] == writing.text(report)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.00042, "0.4 ms"), (0.56, "560 ms"), (1.24, "1.2 s"), (36.3, "36 s")],
)
def test_a_time_is_shown_briefly(report, monkeypatch, seconds, shown):
    monkeypatch.setattr(Forecast, "seconds", lambda self: seconds)
    assert f"takes about {shown}, at" in writing.text(report)[4]


def test_json(report):
    content = json.loads(writing.as_json(report))
    assert content["passed"] is False
    assert content["findings"][0] == {
        "rule": "ineffective-field",
        "severity": "warning",
        "message": 'layer "conv1" (Convolution): filler "xavier" does not read std',
        "file": "net.prototxt",
        "line": 12,
        "column": 41,
    }
    assert content["findings"][2]["line"] is None
    memory = content["training"]["memory"]
    assert memory["total"] == sum(value for name, value in memory.items() if name != "total")
    assert content["training"]["step_seconds"] > 0


def test_sarif(report):
    content = json.loads(writing.as_sarif(report, "1.2.3"))
    (run,) = content["runs"]
    assert content["version"] == "2.1.0"
    rules = run["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == list(RULES)
    assert all(each["shortDescription"]["text"] for each in rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "net.prototxt"},
        "region": {"startLine": 12, "startColumn": 41},
    }
    other = run["results"][2]["locations"][0]["physicalLocation"]
    assert other == {"artifactLocation": {"uri": "solver.prototxt"}}


def test_sarif_is_what_another_library_reads(report):
    models = pytest.importorskip("sarif_pydantic")
    sarif = models.Sarif.model_validate_json(writing.as_sarif(report, "1.2.3"))
    results = sarif.runs[0].results
    assert [each.rule_id for each in results] == [each.rule for each in report.findings]
    assert results[0].locations[0].physical_location.region.start_line == 12
    with pytest.raises(ValueError, match="level"):  # it does refuse what is none
        models.Sarif.model_validate_json(
            writing.as_sarif(report, "1.2.3").replace('"warning"', '"grave"')
        )


def test_paths_become_uris(tmp_path):
    name = str(tmp_path / "a b%.prototxt")
    content = json.loads(writing.as_sarif(check(name), "1.2.3"))
    place = content["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/a%20b%25.prototxt")
    assert place["artifactLocation"]["uri"].startswith("file:///")


def test_annotations_escape_what_has_a_meaning(report):
    lines = list(writing.as_annotations(report))
    assert lines[0].startswith(
        "::warning file=net.prototxt,line=12,col=41,title=caffe-lite check%3A ineffective-field::"
    )
    assert lines[1].startswith("::notice file=solver.prototxt,line=1,col=1,")
    assert lines[2] == (
        "::error file=solver.prototxt,title=caffe-lite check%3A unreadable-weights::"
        "50%25,a:b.caffemodel: no such file"
    )


def test_a_name_cannot_write_a_line_or_a_command_of_its_own():
    write(
        net=changed(NET, 'bottom: "ip1" top: "ip2"', 'bottom: "x\\n::error::y\\033[2J" top: "ip2"')
    )
    report = check("net.prototxt")
    for line in [*writing.text(report), *writing.as_annotations(report)]:
        assert line.isprintable()
        assert not line.startswith("::error::")


def test_the_page_lists_all_rules_with_their_severities():
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows == [(rule.id, rule.severity.word) for rule in RULES.values()]
