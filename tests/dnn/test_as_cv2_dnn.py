"""OpenCV's programs, each in a process of its own, where ``cv2.dnn`` reads Caffe nets with ours.

OpenCV 4 still has its importer; programs here take it away first, as OpenCV 5 has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dnn import nets
from tests.project import ROOT

pytest.importorskip("cv2")

FIVE = """
import cv2
for name in ("readNetFromCaffe", "DNN_BACKEND_HALIDE"):
    delattr(cv2.dnn, name)
"""

USE = """
import sys
import cv2
import numpy as np
net = cv2.dnn.readNetFromCaffe("net.prototxt", "net.caffemodel")
image = np.arange(20 * 17 * 3, dtype=np.uint8).reshape(20, 17, 3)
net.setInput(cv2.dnn.blobFromImage(image, 0.01, (17, 20)))
found = net.forward()
assert found.shape == (1, 4), found.shape
assert np.allclose(found.sum(), 1)
for files in (("net.caffemodel", "net.prototxt"), ("net.prototxt", "net.caffemodel")):
    other = cv2.dnn.readNet(*files)
    other.setInput(cv2.dnn.blobFromImage(image, 0.01, (17, 20)))
    assert (other.forward() == found).all()
    assert type(other) is type(net)
print(type(net).__module__, cv2.dnn.DNN_BACKEND_HALIDE, sys.argv[1:])
"""

ERRORS = """
import cv2
import numpy as np
from caffe_lite import CaffeError
net = cv2.dnn.readNetFromCaffe("net.prototxt", "net.caffemodel")
def zeros(*shape):
    return np.zeros(shape, np.float32)
for call in (
    lambda: cv2.dnn.readNetFromCaffe("none.prototxt"),
    lambda: cv2.dnn.readNet("net.caffemodel"),
    lambda: net.forward(),
    lambda: net.getLayer("nobody"),
    lambda: net.setInput(3),
    lambda: setattr(net.getLayer("conv1"), "blobs", [zeros(2)]),
    lambda: (net.setInput(zeros(1, 9, 20, 17)), net.forward()),
):
    try:
        call()
    except cv2.error as error:
        assert isinstance(error, CaffeError), type(error)
        assert error.msg == str(error) and error.code == cv2.Error.STS_ERROR, error.code
        assert "\\n" not in str(error)
        print(type(error).__name__, error)
    else:
        raise AssertionError("nothing was raised")
try:
    cv2.dnn.readNet("none.onnx")
except cv2.error as error:
    assert not isinstance(error, CaffeError)  # other models stay OpenCV's
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(nets.BRANCHES, encoding="utf-8")
    (tmp_path / "net.caffemodel").write_bytes(nets.weights(nets.BRANCHES))
    return tmp_path


def run(folder: Path, *arguments: str, path: str = "", fails: bool = False) -> str:
    """What a Python process prints; if it is to fail, what it says last."""
    paths = os.pathsep.join([path, str(ROOT)]) if path else str(ROOT)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def program(folder: Path, text: str) -> str:
    (folder / "program.py").write_text(text, encoding="utf-8")
    return "program.py"


def test_from_the_command_line(folder: Path) -> None:
    name = program(folder, USE)
    told = run(folder, "-m", "caffe_lite.as_cv2_dnn", name, "a", "-b")
    assert told == "caffe_lite.dnn.net 1 ['a', '-b']\n"
    told = run(folder, "-m", "caffe_lite.as_cv2_dnn", "-m", "program", "x")
    assert told == "caffe_lite.dnn.net 1 ['x']\n"


def test_an_opencv_without_the_importer(folder: Path) -> None:
    install = "import caffe_lite\ncaffe_lite.install_as_cv2_dnn()\n"
    name = program(folder, FIVE + install + install + USE)
    assert run(folder, name) == "caffe_lite.dnn.net 1 []\n"


def test_errors_are_opencvs_too(folder: Path) -> None:
    told = run(folder, "-m", "caffe_lite.as_cv2_dnn", program(folder, ERRORS)).splitlines()
    assert told[0] == "PrototxtError none.prototxt: no such file"
    assert told[2] == 'NetError input "data" has no values: call setInput first'
    assert len(told) == 7
    assert "net.prototxt:4" in told[-1]


def test_without_opencv(folder: Path) -> None:
    (folder / "without").mkdir()
    (folder / "without" / "cv2.py").write_text("raise ImportError('no cv2 here')\n")
    told = run(
        folder,
        *("-m", "caffe_lite.as_cv2_dnn", program(folder, USE)),
        path=str(folder / "without"),
        fails=True,
    )
    assert told == (
        "error: cv2 cannot be imported (no cv2 here): pip install opencv-python, or use "
        "caffe_lite.dnn, which needs no OpenCV\n"
    )
