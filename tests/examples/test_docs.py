"""Every command of the pages, run as it stands there, and what it prints against what they show.

A page's ```sh blocks run one after the other in a fresh copy of the project's files, where LeNet
learns from smaller batches.  A ```text block right behind one shows its output; numbers, units
and paths may differ.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from caffe_lite import cli
from caffe_lite.proto.files import read_weights
from tests import project
from tests.examples.conftest import Run, copy_project
from tests.pictures import nets
from tests.project import ROOT

# Lines that are left out, by how they begin, with the reason.
LEFT_OUT = {
    "pip install": "the packages are there, and this source tree is what is tested",
    "mkdir ../caffe-tutorial": "the tests run in a copy of their own",
    "cp -r README.md": "into it",
    "cd ../caffe-tutorial": "to it",
    "python3 -m venv": "makes an environment",
    ". .venv/bin/activate": "enters it",
    "caffe-lite train -solver models/alexnet/solver.prototxt": "needs ImageNet",
    "pytest": "this is a test",
    "python -m tools.bench": "measures for minutes; tests/tools/test_bench.py runs it in small",
    "python -m caffe_lite.as_caffe program.py": "tests/pycaffe/test_docs.py runs it",
    "python -m caffe_lite.as_cv2_dnn program.py": "tests/dnn/test_docs.py runs it",
    "python -m tools.fuzz": "mutates and kills for minutes; tests/fuzz is its small form",
    "mpirun": "tests/distributed starts ranks",
    "tools/check": "CI runs it",
    "python -m pdoc": "test_reference.py builds it",
}
# What is made shorter, without another effect.
SHORTER = {"-iterations 10\n": "-iterations 1\n"}

PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in project.PAGES}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"~?/\S*/|-[0-9a-f]{16}\b|[-+]?\d[\d.,:]*(e[-+]?\d+)?|\b([kKMG](iB)?|B)\b")


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, text and shown output of each block."""
    return BLOCK.findall(PAGES[page])


def commands(text: str) -> str:
    """The lines that are to be run, in their shorter form."""
    kept = []
    for line in text.splitlines():
        parts = line.split(" && ")
        kept.append(" && ".join(part for part in parts if not part.startswith(tuple(LEFT_OUT))))
    whole = "".join(f"{line}\n" for line in kept)
    for long, short in SHORTER.items():
        whole = whole.replace(long, short)
    return whole


def pattern(text: str) -> list[str]:
    """The lines but for their numbers, units, paths and spaces."""
    lines = (" ".join(VARIABLE.sub("#", line).split()) for line in text.splitlines())
    return [line for line in lines if line]


RUN = [page for page in PAGES if any(language == "sh" for language, _, _ in blocks(page))]


@pytest.mark.parametrize("page", RUN)
def test_its_commands_run_and_print_what_it_shows(page: str, run: Run, tmp_path: Path) -> None:
    if page == "docs/onnx.md":
        pytest.importorskip("onnx")
    copy_project(tmp_path)
    names = ""  # what earlier blocks have named stays named
    for language, text, shown in blocks(page):
        if language == "python" and page == "docs/tutorial.md":
            run(tmp_path, "python", "-c", text)
        if language != "sh":
            continue
        out = run(tmp_path, "sh", "-euc", names + commands(text))
        if shown:
            assert pattern(out) == pattern(shown), text
        names += "".join(re.findall(r"^\w+=.*\n", text, re.MULTILINE))


def test_the_python_of_the_readme_runs(lenet: Path, run: Run) -> None:
    _, text = (text for language, text, _ in blocks("README.md") if language == "python")
    prelude = "import numpy as np\ndigits = np.zeros((64, 1, 28, 28), np.float32)\n"
    short = text.replace("step(100)", "step(2)")
    out = run(lenet.parents[2], "python", "-c", prelude + short)
    assert "'accuracy'" in out


def test_the_python_for_pytorch_s_users_runs(lenet: Path, run: Run) -> None:
    texts = [text for language, text, _ in blocks("docs/coming_from_pytorch.md") if text]
    assert len(texts) == 3
    for text in texts:
        if "import torch" in text and importlib.util.find_spec("torch") is None:
            continue  # it is not among the packages for the tests
        found = run(lenet.parents[2], "python", "-c", text).partition("greatest difference: ")[2]
        assert ("import torch" in text) == bool(found)
        assert not found or float(found) < 1e-5
    copied = [read_weights(lenet.parents[2] / "from_numpy.caffemodel"), read_weights(lenet)]
    first, second = ([each.blobs for each in net.layer if each.blobs] for net in copied)
    assert first == second


def test_the_three_lines_find_a_box(run: Run, tmp_path: Path) -> None:
    """The README's, and with them those of the page of pictures; a small net stands in."""
    (text, shown), *_ = [
        (text, shown) for language, text, shown in blocks("README.md") if language == "python"
    ]
    deploy, weights = nets.detector(tmp_path, classes=2, mean=(104, 177, 123))
    os.rename(deploy, tmp_path / "deploy.prototxt")
    os.rename(weights, tmp_path / "res10_300x300_ssd_iter_140000.caffemodel")
    Image.fromarray(nets.picture(40, 60, (0, 20, 20, 40, nets.RED))).save(tmp_path / "people.png")
    out = run(tmp_path, "python", "-c", text)
    assert pattern(out) == pattern(shown)
    assert "box=(0.0, 20.0, 20.0, 40.0)" in out
    page = [text for language, text, _ in blocks("docs/pictures.md") if language == "python"]
    assert "\n".join(page[0].replace("\n\n", "\n").splitlines()[:2]) in text
    script = f"{page[0]}{page[1]}"
    run(tmp_path, "python", "-c", script)
    assert (tmp_path / "faces.png").exists()


def test_the_python_of_the_onnx_page_runs(lenet: Path, run: Run) -> None:
    for package in "onnx", "onnxruntime":
        pytest.importorskip(package)
    folder = lenet.parents[2]
    (use, shown), (export, _) = [
        (text, shown) for language, text, shown in blocks("docs/onnx.md") if language == "python"
    ]
    here = export.replace("deploy.prototxt", "models/lenet/deploy.prototxt")
    here = here.replace("net.caffemodel", str(lenet)).replace("net.onnx", "lenet.onnx")
    run(folder, "python", "-c", f"import caffe_lite\n{here}")
    assert pattern(run(folder, "python", "-c", use)) == pattern(shown)


def test_the_pages_list_every_command() -> None:
    for page in "README.md", "docs/commands.md":
        listed = {name for name in cli.COMMANDS if f"caffe-lite {name}" in PAGES[page]}
        assert listed == set(cli.COMMANDS), page


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", PAGES[page]):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_what_is_left_out_is_on_a_page() -> None:
    everything = "\n".join(text for page in PAGES for _, text, _ in blocks(page))
    assert [line for line in LEFT_OUT if line not in everything] == []
