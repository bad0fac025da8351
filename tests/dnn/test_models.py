"""Reading nets: files in either order, buffers of every kind, and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_lite import dnn
from caffe_lite.errors import CaffeError
from tests.dnn import nets

cv2 = pytest.importorskip("cv2")

TEXT, WEIGHTS = nets.BRANCHES.encode(), nets.weights(nets.BRANCHES)
X = np.random.default_rng(4).standard_normal((1, 3, 20, 17)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.prototxt").write_bytes(TEXT)
    (tmp_path / "net.caffemodel").write_bytes(WEIGHTS)
    (tmp_path / "net.txt").write_bytes(TEXT)
    (tmp_path / "net.bin").write_bytes(WEIGHTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(net: Any) -> np.ndarray:
    net.setInput(X)
    found: np.ndarray = net.forward("fc")
    return found


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments",
    [
        ("net.prototxt", "net.caffemodel"),
        (Path("net.prototxt"), Path("net.caffemodel")),
        ("net.txt", "net.bin"),
        (bytearray(TEXT), bytearray(WEIGHTS)),
        (memoryview(TEXT), memoryview(WEIGHTS)),
        (np.frombuffer(TEXT, np.uint8), np.frombuffer(WEIGHTS, np.uint8)),
    ],
    ids=lambda given: type(given[0]).__name__,
)
def test_both_read_alike(arguments: tuple[Any, Any]) -> None:
    wanted = answer(cv2.dnn.readNetFromCaffe(*arguments))
    np.testing.assert_allclose(answer(dnn.readNetFromCaffe(*arguments)), wanted, rtol=1e-4)


@pytest.mark.usefixtures("folder")
def test_names_of_arguments() -> None:
    wanted = answer(dnn.readNetFromCaffe(TEXT, WEIGHTS))  # bytes are a path to OpenCV
    for named in (
        {"prototxt": "net.prototxt", "caffeModel": "net.caffemodel"},
        {"bufferProto": bytearray(TEXT), "bufferModel": bytearray(WEIGHTS)},
    ):
        np.testing.assert_array_equal(answer(dnn.readNetFromCaffe(**named)), wanted)
        np.testing.assert_allclose(answer(cv2.dnn.readNetFromCaffe(**named)), wanted, rtol=1e-4)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("net.prototxt", "net.caffemodel"), {}),
        (("net.caffemodel", "net.prototxt"), {}),
        (("net.txt", "net.caffemodel"), {}),
        (("net.caffemodel", "net.txt"), {}),
        (("net.bin", "net.prototxt"), {}),
        (("net.bin", "net.txt", "Caffe"), {}),
        ((), {"model": "net.caffemodel", "config": "net.prototxt"}),
        (("caffe", bytearray(WEIGHTS), bytearray(TEXT)), {}),
        (
            (),
            {
                "framework": "caffe",
                "bufferModel": bytearray(WEIGHTS),
                "bufferConfig": bytearray(TEXT),
            },
        ),
    ],
    ids=str,
)
def test_read_net(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    wanted = answer(cv2.dnn.readNet(*arguments, **named))
    np.testing.assert_allclose(answer(dnn.readNet(*arguments, **named)), wanted, rtol=1e-4)


@pytest.mark.usefixtures("folder")
def test_without_weights() -> None:
    for weights in ((), ("",), (None,)):
        assert len(dnn.readNetFromCaffe("net.prototxt", *weights).getLayerNames()) == 10
    assert len(dnn.readNet("net.prototxt").getLayerNames()) == 10


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: dnn.readNetFromCaffe("none.prototxt"), "none.prototxt: no such file"),
        (
            lambda: dnn.readNetFromCaffe("net.caffemodel", "net.prototxt"),
            "where a prototxt is expected",
        ),
        (lambda: dnn.readNetFromCaffe(TEXT, b"garbage"), "<caffeModel>: expected a caffemodel"),
        (lambda: dnn.readNetFromCaffe(b"layer {"), "<prototxt>:1:"),
        (lambda: dnn.readNetFromCaffe(b""), "<prototxt>: is empty"),
        (lambda: dnn.readNetFromCaffe(TEXT, "net.caffemodel"), "two paths, or two buffers"),
        (lambda: dnn.readNetFromCaffe(), "prototxt must be a path"),
        (lambda: dnn.readNetFromCaffe(np.zeros(3)), "must be of uint8, not float64"),
        (lambda: dnn.readNet("net.caffemodel"), "has weights only"),
        (lambda: dnn.readNet("yolo.weights", "yolo.cfg"), "only Caffe's models"),
        (lambda: dnn.readNet("net.caffemodel", "net.prototxt", "torch"), "only Caffe's models"),
    ],
)
def test_what_is_refused(call: Any, why: str) -> None:
    with pytest.raises(CaffeError) as refused:
        call()
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
