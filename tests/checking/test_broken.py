"""Ten files with several things wrong: each is found at the line whose comment names its rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffe_lite.checking import check
from tests.checking.files import BROKEN


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_file(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    Path(path.name).write_text(text)
    wanted = set()
    for number, line in enumerate(text.splitlines(), 1):
        for rules in re.findall(r"# check: (.*)", line):
            wanted |= {(number, rule) for rule in rules.split(", ")}
    report = check(path.name)
    placed = {(e.location.line, e.rule) for e in report.findings if e.location is not None}
    assert placed == wanted
