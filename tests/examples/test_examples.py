"""Every example runs, prints what its docstring shows, and reaches numbers far above chance."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import Run
from tests.project import EXAMPLES, ROOT

FOLDER = ROOT / "examples"
PROGRAMS = [name for name in EXAMPLES if name.endswith(".py")]
SHARED = "digits"  # the module that the examples import
NAMES = sorted(Path(name).stem for name in PROGRAMS if Path(name).stem != SHARED)
PICTURES = {
    "detection": ["detections.png"],
    "feature_extraction": ["neighbours.png"],
    "filters": ["conv1_digit.png", "conv1_kernels.png"],
    "net_surgery": ["heat_maps.png"],
    "siamese": ["siamese.png"],
}


def percentages(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+)%", text)]


def shape_of(line: str) -> str:
    """The line but for its numbers, paths and spaces."""
    return "".join(re.sub(r"\S*/|[-+]?[\d.]+(e[-+]?\d+)?", "#", line).split())


def classification(out: str) -> None:
    centre, crops = percentages(out)
    assert centre > 90
    assert 50 < crops < centre  # half of the crops are mirrored, as the docstring warns


def net_surgery(out: str) -> None:
    difference = re.search(r"difference on 64 digits: (\S+)", out)
    assert difference
    assert float(difference[1]) < 1e-5
    assert percentages(out)[0] >= 75


def brewing_a_net(out: str) -> None:
    accuracy = percentages(out)
    assert len(accuracy) == 5
    assert accuracy[-1] > 90


def fine_tuning(out: str) -> None:
    scratch, tuned = percentages(out)
    assert tuned > 85
    assert tuned > scratch > 60


def feature_extraction(out: str) -> None:
    pixels, features = percentages(out)
    assert features > 88
    assert features > pixels > 60


def filters(out: str) -> None:
    assert "conv1  (20, 1, 5, 5) (20,)" in out


def siamese(out: str) -> None:
    losses = [float(loss) for loss in re.findall(r"mean loss (\S+)", out)]
    assert losses == sorted(losses, reverse=True)
    assert percentages(out)[-1] > 40


def detection(out: str) -> None:
    losses = [float(loss) for loss in re.findall(r"mean loss (\S+)", out)]
    assert losses == sorted(losses, reverse=True)
    assert percentages(out)[-1] > 90


CHECKS = {
    "brewing_a_net": brewing_a_net,
    "classification": classification,
    "detection": detection,
    "feature_extraction": feature_extraction,
    "filters": filters,
    "fine_tuning": fine_tuning,
    "net_surgery": net_surgery,
    "siamese": siamese,
}


def test_every_example_is_checked_and_listed() -> None:
    assert list(CHECKS) == NAMES
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\)", page, re.MULTILINE)) == NAMES
    for pictures in PICTURES.values():
        assert all(f"`{picture}`" in page for picture in pictures)


@pytest.mark.parametrize("name", NAMES)
def test_is_short_and_shows_its_output(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    assert "\nOutput::\n\n    " in (ast.get_docstring(ast.parse(text)) or "")


@pytest.mark.parametrize("name", NAMES)
def test_runs(name: str, lenet: Path, run: Run, tmp_path: Path) -> None:
    out = run(tmp_path, sys.executable, str(FOLDER / f"{name}.py"), str(lenet), "made")
    CHECKS[name](out)
    documented = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text("utf-8")))
    shown = (documented or "").partition("Output::")[2].split("\n")
    assert [shape_of(line) for line in out.splitlines()] == [
        shape_of(line) for line in shown if line.strip()
    ]
    for picture in PICTURES.get(name, []):
        assert np.ptp(np.asarray(Image.open(tmp_path / "made" / picture))) > 100


def test_says_what_to_do_when_the_weights_are_missing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"run models/lenet/train\.sh to make it"):
        run(tmp_path, sys.executable, str(FOLDER / "filters.py"), "nothing.caffemodel")
