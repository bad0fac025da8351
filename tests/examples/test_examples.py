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
from tests.pictures import nets
from tests.pictures.nets import RED, picture
from tests.project import EXAMPLES, MODELS, ROOT, copy

FOLDER = ROOT / "examples"
PROGRAMS = [name for name in EXAMPLES if re.fullmatch(r"examples/\w+\.py", name)]
SHARED = ["digit_pictures", "digits", "houses"]  # the modules that the examples import
NAMES = sorted(Path(name).stem for name in PROGRAMS if Path(name).stem not in SHARED)
PICTURES = {
    "detection": ["detections.png"],
    "faster_rcnn": ["faster_rcnn.png"],
    "feature_extraction": ["neighbours.png"],
    "filters": ["conv1_digit.png", "conv1_kernels.png"],
    "net_surgery": ["heat_maps.png"],
    "segmentation": ["segmentation.png"],
    "segnet": ["segnet.png"],
    "siamese": ["siamese.png"],
    "yolo": ["yolo.png"],
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


def private_layer(out: str) -> None:
    losses = [float(loss) for loss in re.findall(r"mean loss (\S+)", out)]
    assert losses == sorted(losses, reverse=True)
    assert percentages(out)[0] > 85
    least, most = map(float, re.search(r"p from (\S+) to (\S+)", out).groups())  # type: ignore[union-attr]
    assert most - least > 0.05, "p is learnt"
    assert "loaded again: the same scores" in out


def siamese(out: str) -> None:
    losses = [float(loss) for loss in re.findall(r"mean loss (\S+)", out)]
    assert losses == sorted(losses, reverse=True)
    assert percentages(out)[-1] > 40


def segmentation(out: str) -> None:
    assert percentages(out)[-1] > 50
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", out)]
    assert losses == sorted(losses, reverse=True)


def segnet(out: str) -> None:
    losses = [float(loss) for loss in re.findall(r"mean loss ([\d.]+)", out)]
    assert losses == sorted(losses, reverse=True)
    sky, ground, wall, stroke = percentages(out)[-4:]
    assert min(sky, ground) > 80
    assert wall > 50, "with statistics that are not folded no wall is found"
    assert stroke > 60, "with equal weights of the classes no stroke is found"
    weights = re.search(r"weights of the classes: (.*)", out)
    assert weights
    net = (FOLDER / "segnet.prototxt").read_text(encoding="utf-8")
    in_net = re.findall(r"class_weighting: ([\d.]+)", net)
    assert [float(each) for each in weights[1].split()] == [float(each) for each in in_net]


def detection(out: str) -> None:
    losses = [float(loss) for loss in re.findall(r"mean loss (\S+)", out)]
    assert losses == sorted(losses, reverse=True)
    assert percentages(out)[-1] > 90


def yolo(out: str) -> None:
    losses = [float(loss) for loss in re.findall(r"mean loss (\S+)", out)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 4
    assert percentages(out)[-1] > 60


def faster_rcnn(out: str) -> None:
    rows = [re.findall(r"_\w+ (\d\.\d+)", line) for line in out.splitlines()[:4]]
    losses = np.array(rows, float)
    assert losses.shape == (4, 4)
    assert (np.diff(losses.sum(axis=1)) < 0).all()
    assert (losses[-1] < losses[0]).all()
    assert percentages(out)[-1] > 90


# -- with nets of others, for which small ones stand in -------------------------------------------


def face_detector_s(folder: Path) -> list[str]:
    """A net that takes a red cell for a face, and a picture twice the size of its input."""
    (folder / "data").mkdir()
    Image.fromarray(picture(40, 60, (20, 20, 40, 40, RED))).save(folder / "data" / "astronaut.png")
    return [*nets.detector(folder, classes=2, mean=(104, 177, 123)), "made", "data/astronaut.png"]


def face_detector(out: str) -> None:
    assert out.splitlines()[1] == "face 1.00 at 20 20 to 40 40"


def nsfw_s(folder: Path) -> list[str]:
    """A net of six classes and an input of 4 x 5 pixels, and two even pictures."""
    (folder / "data").mkdir()
    files, _ = nets.classifier(folder)
    names = [f"data/{name}.png" for name in ("astronaut", "chelsea")]
    for name, color in zip(names, (RED, (123, 117, 104)), strict=True):
        Image.fromarray(np.full((30, 20, 3), color, np.uint8)).save(folder / name)
    return [*files, *names]


def nsfw(out: str) -> None:
    weight = nets.classifier_weight()
    for line, color in zip(out.splitlines(), (RED, (123, 117, 104)), strict=True):
        x = np.subtract(color[::-1], (104, 117, 123)).repeat(20)
        assert float(line.split()[0]) == pytest.approx(nets.softmax(weight @ x)[1], abs=6e-4)


def mtcnn_s(folder: Path) -> list[str]:
    """Three nets that look for red squares of the least size, and say where eyes would be."""
    text = """layer { name: "%s" type: "%s" bottom: "data" top: "%s" %s }
        layer { name: "p" type: "Softmax" bottom: "score" top: "prob1" }"""
    red = np.zeros((2, 3, 12, 12), np.float32)
    red[1] = np.array([20, -20, -20]).reshape(3, 1, 1) / 144
    window = "convolution_param { num_output: %d kernel_size: 12 stride: 2 }"
    first = text % ("score", "Convolution", "score", window % 2)
    first += '\nlayer { name: "shift" type: "Convolution" bottom: "data" top: "conv4-2" '
    still = [np.zeros((4, 3, 12, 12), np.float32), np.zeros(4, np.float32)]
    nets.write(
        folder,
        "det1",
        nets.INPUT % ("1", 1, 3, 12, 12) + first + window % 4 + " }",
        score=[red, np.array([0, -46], np.float32)],
        shift=still,
    )
    product = "inner_product_param { num_output: %d }"
    tops = {"det2": {"conv5-2": 4}, "det3": {"conv6-2": 4, "conv6-3": 10}}
    eyes = np.array([0.3, 0.7, 0.5, 0.3, 0.7, 0.4, 0.4, 0.6, 0.8, 0.8], np.float32)
    for (name, outputs), side in zip(tops.items(), (24, 48), strict=True):
        size = 3 * side * side
        net = nets.INPUT % (name, 1, 3, side, side)
        net += text % ("score", "InnerProduct", "score", product % 2)
        weights = {"score": [np.zeros((2, size), np.float32), np.array([0, 9], np.float32)]}
        for top, count in outputs.items():
            net += f'\nlayer {{ name: "{top}" type: "InnerProduct" bottom: "data" top: "{top}" '
            net += product % count + " }"
            bias = eyes if count == 10 else np.zeros(4, np.float32)
            weights[top] = [np.zeros((count, size), np.float32), bias]
        nets.write(folder, name, net, **weights)
    (folder / "data").mkdir()
    Image.fromarray(picture(100, 120, (40, 20, 60, 40, RED))).save(
        folder / "data" / "astronaut.png"
    )
    return [".", "made", "data/astronaut.png"]


def mtcnn(out: str) -> None:
    assert out.splitlines() == [
        "data/astronaut.png: boxes after each net 1, 1, 1",
        "face 1.00 at 40 20 to 60 40, eyes at 46 28 and 54 28",
    ]


SHORTER = {"segnet": ("ITERATIONS, SHOWN = 450", "ITERATIONS, SHOWN = 150"),
           "yolo": ("ITERATIONS = 600", "ITERATIONS = 400")}  # fmt: skip
"""What makes an example train a shorter time: the line, and another in its place."""

ARGUMENTS = {"face_detector": face_detector_s, "mtcnn": mtcnn_s, "nsfw": nsfw_s}
"""Makes the nets and pictures of an example in a folder; the others take LeNet and a folder."""

CHECKS = {
    "brewing_a_net": brewing_a_net,
    "classification": classification,
    "detection": detection,
    "face_detector": face_detector,
    "faster_rcnn": faster_rcnn,
    "feature_extraction": feature_extraction,
    "filters": filters,
    "fine_tuning": fine_tuning,
    "mtcnn": mtcnn,
    "net_surgery": net_surgery,
    "nsfw": nsfw,
    "private_layer": private_layer,
    "segmentation": segmentation,
    "segnet": segnet,
    "siamese": siamese,
    "yolo": yolo,
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


def program(name: str, folder: Path) -> str:
    """The example, or a copy of it that trains a shorter time."""
    if name not in SHORTER:
        return str(FOLDER / f"{name}.py")
    copy([*MODELS, *EXAMPLES], folder)
    path = folder / "examples" / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    long, short = SHORTER[name]
    assert text.count(long) == 1
    path.write_text(text.replace(long, short), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_runs(name: str, request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> None:
    if name in ARGUMENTS:
        arguments = ARGUMENTS[name](tmp_path)
    elif name in SHORTER:
        arguments = ["unused", "made"]
    else:
        arguments = [str(request.getfixturevalue("lenet")), "made"]
    out = run(tmp_path, sys.executable, program(name, tmp_path / "project"), *arguments)
    CHECKS[name](out)
    documented = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text("utf-8")))
    shown = (documented or "").partition("Output::")[2].split("\n")
    assert [shape_of(line) for line in out.splitlines()] == [
        shape_of(line) for line in shown if line.strip()
    ]
    for drawn in PICTURES.get(name, []):
        assert np.ptp(np.asarray(Image.open(tmp_path / "made" / drawn))) > 100


def test_says_what_to_do_when_the_weights_are_missing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"run models/lenet/train\.sh to make it"):
        run(tmp_path, sys.executable, str(FOLDER / "filters.py"), "nothing.caffemodel")
