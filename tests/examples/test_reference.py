"""The reference builds from the docstrings, without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT

COMMAND = re.compile(r"^python -m (pdoc .*)$", re.MULTILINE)


@pytest.mark.skipif(importlib.util.find_spec("pdoc") is None, reason="needs the extra docs")
def test_the_reference_builds(tmp_path: Path) -> None:
    (command,) = COMMAND.findall((ROOT / "docs" / "reference.md").read_text(encoding="utf-8"))
    words = [sys.executable, "-m", *shlex.split(command.replace("build/reference", "made"))]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    made = {path.relative_to(tmp_path / "made").as_posix() for path in tmp_path.rglob("*.html")}
    assert {"caffe_lite.html", "caffe_lite/io.html", "caffe_lite/layers/pooling.html"} <= made
    page = (tmp_path / "made" / "caffe_lite.html").read_text(encoding="utf-8")
    assert "Let blobs between the layers share memory" in page
