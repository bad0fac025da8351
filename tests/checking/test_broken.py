"""Ten files with several things wrong: each is found at the line whose comment names its rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffe_lite.checking import check

FOLDER = Path(__file__).parent / "broken"
FILES = (
    "auxiliary_head",
    "cut_off",
    "files_solver",
    "fine_tuned",
    "forks",
    "misspelt",
    "per_pixel",
    "phases",
    "policy_solver",
    "two_softmaxes",
)


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = (FOLDER / f"{name}.prototxt").read_text()
    Path(f"{name}.prototxt").write_text(text)
    wanted = set()
    for number, line in enumerate(text.splitlines(), 1):
        for rules in re.findall(r"# check: (.*)", line):
            wanted |= {(number, rule) for rule in rules.split(", ")}
    report = check(f"{name}.prototxt")
    placed = {(e.location.line, e.rule) for e in report.findings if e.location is not None}
    assert placed == wanted
