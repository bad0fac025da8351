"""What docs/coming_from_caffe.md shows, run as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.pycaffe.test_as_caffe import ROOT, program, run

PAGE = (ROOT / "docs" / "coming_from_caffe.md").read_text(encoding="utf-8")


def shown(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_python_runs(tmp_path: Path) -> None:
    (text,) = shown("python")
    program(tmp_path, text + "\nprint(caffe.__name__, L.ReLU.__name__, P.Pooling.AVE)\n")
    assert run(tmp_path, "program.py") == "caffe_lite ReLU 1\n"


def test_its_commands_run(tmp_path: Path) -> None:
    program(tmp_path, "import sys, caffe\nprint(caffe.TEST, sys.argv[1:])\n")
    inline = re.findall(r"`(python -m caffe_lite\.as_caffe [^`]+)`", PAGE)
    commands = [line for text in shown("sh") for line in text.splitlines()] + inline
    assert len(commands) == 2
    for command in commands:
        python, *arguments = shlex.split(command)
        assert python == "python"
        given = arguments[arguments.index("program.py") + 1 :]
        assert run(tmp_path, *arguments) == f"TEST {given}\n"
