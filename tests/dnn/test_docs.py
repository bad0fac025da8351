"""What docs/coming_from_opencv.md shows, run as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.dnn import nets
from tests.dnn.test_as_cv2_dnn import program, run
from tests.project import ROOT

pytest.importorskip("cv2")

PAGE = (ROOT / "docs" / "coming_from_opencv.md").read_text(encoding="utf-8")


def shown(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_detector_runs(tmp_path: Path) -> None:
    prototxt = nets.DETECTOR.replace("THRESHOLD", "0.3")
    weights = nets.weights(prototxt)
    (tmp_path / "deploy.prototxt").write_text(prototxt, encoding="utf-8")
    (tmp_path / "res10_300x300_ssd_iter_140000.caffemodel").write_bytes(weights)
    pixels = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "people.jpg")
    detector, _ = shown("python")
    small = detector.replace("(300, 300)", "(32, 24)")  # 300 x 300 have too many boxes for a test
    lines = run(tmp_path, program(tmp_path, small)).splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"[01]\.\d{3}( -?\d+){4}", line)


def test_its_commands_run(tmp_path: Path) -> None:
    text = "import sys, cv2\nprint(cv2.dnn.readNetFromCaffe.__module__, sys.argv[1:])\n"
    (command,) = shown("sh")
    python, *arguments = shlex.split(command)
    assert python == "python"
    program(tmp_path, text)
    told = "caffe_lite.dnn.models ['its', 'arguments']\n"
    assert run(tmp_path, *arguments) == told
    _, install = shown("python")
    assert run(tmp_path, program(tmp_path, install + text)) == told.replace(
        "'its', 'arguments'", ""
    )
