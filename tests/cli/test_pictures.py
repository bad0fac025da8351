"""classify, detect and segment of pictures: tables, JSON, CSV, and pictures drawn on."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from caffe_lite import cli
from tests.pictures import nets
from tests.pictures.nets import BLUE, RED, picture

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
SCENE = picture(40, 60, (0, 0, 20, 20, RED), (40, 20, 60, 40, BLUE))
NAMES = ["ant", "bee", "cat", "dog", "eel", "fox"]

CLASSIFY = ("classify", "-model", "classifier.prototxt", "-weights", "classifier.caffemodel")
DETECT = ("detect", "-model", "detector.prototxt", "-weights", "detector.caffemodel")
SEGMENT = ("segment", "-model", "segmenter.prototxt", "-weights=segmenter.caffemodel")


@pytest.fixture
def weight(tmp_path, monkeypatch):
    """The current folder has the three nets and pictures; the classifier's weights."""
    monkeypatch.chdir(tmp_path)
    _, weight = nets.classifier(tmp_path)
    nets.detector(tmp_path)
    nets.segmenter(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    (tmp_path / "colors.txt").write_text("red\nblue\n")
    (tmp_path / "in").mkdir()
    Image.fromarray(SCENE).save("in/scene.png")
    Image.fromarray(picture(20, 30)).save("in/empty.png")
    Image.fromarray(PIXELS).save("noise.png")
    return weight


def scores(weight, mean):
    x = PIXELS[:, :, ::-1].transpose(2, 0, 1) - np.reshape(mean, (3, 1, 1))
    return nets.softmax(weight @ x.reshape(-1))


def test_classes_in_a_table(weight, capsys):
    words = [*CLASSIFY, "-mean", "104,117,123", "-labels", "names.txt", "-top", "2", "noise.png"]
    assert cli.main(words) == 0
    wanted = scores(weight, (104, 117, 123))
    first, second = np.argsort(-wanted)[:2]
    assert capsys.readouterr().out == (
        "image      class  label   score\n"
        f"noise.png  {NAMES[first]}        {first}  {wanted[first]:.4f}\n"
        f"           {NAMES[second]}        {second}  {wanted[second]:.4f}\n"
    )


@pytest.mark.parametrize(
    ("flags", "mean", "scale"),
    [
        (["-mean", "mean.npy"], (1, 2, 3), 1),
        (["-mean=-7"], (-7, -7, -7), 1),
        (["-mean", "5", "-scale", "0.5"], (5, 5, 5), 0.5),
        ([], (0, 0, 0), 1),
    ],
)
def test_preprocessing(weight, capsys, flags, mean, scale):
    np.save("mean.npy", np.array([1, 2, 3], np.float32))
    assert cli.main([*CLASSIFY, *flags, "-json", "-", "noise.png"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["image"], found["height"], found["width"]) == ("noise.png", 4, 5)
    got = {each["label"]: each["score"] for each in found["classes"]}
    wanted = scores(scale * weight, mean)
    assert list(got) == np.argsort(-wanted)[:5].tolist()
    np.testing.assert_allclose(list(got.values()), np.sort(wanted)[:0:-1], rtol=1e-4)


def test_all_numbers_are_those_of_caffe_s_classification(weight, capsys):
    mean = "mean.npy"
    np.save(mean, np.array([104, 117, 123], np.float32).reshape(3, 1, 1))
    large = np.random.default_rng(3).integers(0, 256, (31, 17, 3), np.uint8)
    Image.fromarray(large).save("large.png")
    files = ("classifier.prototxt", "classifier.caffemodel", mean, "names.txt", "large.png")
    assert cli.main(["classify", *files]) == 0
    caffe = capsys.readouterr().out.splitlines()[1:]
    words = ["-mean", mean, "-labels", "names.txt", "-csv", "-", "large.png"]
    assert cli.main([*CLASSIFY, *words]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [f'{float(row["score"]):.4f} - "{row["class"]}"' for row in rows] == caffe


def test_boxes_of_a_folder_are_drawn_and_written(weight, capsys):
    words = ["-labels", "colors.txt", "-output", "out/boxes", "-json", "a.json", "-csv", "a.csv"]
    assert cli.main([*DETECT, *words, "in"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["image", "class", "label", "score", "xmin", "ymin", "xmax", "ymax"],
        ["in/empty.png", "-", "-", "-", "-", "-", "-", "-"],
        ["in/scene.png", "red", "1", "1.0000", "0.0", "0.0", "20.0", "20.0"],
        ["blue", "2", "1.0000", "40.0", "20.0", "60.0", "40.0"],
    ]
    with open("a.json") as file:
        empty, scene = json.load(file)
    assert empty == {"image": "in/empty.png", "height": 20, "width": 30, "detections": []}
    assert [each["class"] for each in scene["detections"]] == ["red", "blue"]
    assert scene["detections"][1]["xmin"] == pytest.approx(40, abs=0.01)
    with open("a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["in/scene.png"] * 2
    assert list(rows[0]) == ["image", "class", "label", "score", "xmin", "ymin", "xmax", "ymax"]
    with Image.open("out/boxes/scene.png") as drawn:
        assert (np.asarray(drawn) != SCENE).any()
    with Image.open("out/boxes/empty.png") as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), picture(20, 30))


def test_labels_are_drawn_and_saved(weight, capsys):
    words = ["-input_size", "any", "-labels", "names.txt", "-output", "out", "in/*.png"]
    assert cli.main([*SEGMENT, *words]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["image", "class", "label", "pixels", "share"],
        ["in/empty.png", "ant", "0", "600", "1.0000"],
        ["in/scene.png", "ant", "0", "1600", "0.6667"],
        ["bee", "1", "400", "0.1667"],
        ["cat", "2", "400", "0.1667"],
    ]
    wanted = np.zeros((40, 60), np.uint8)
    wanted[:20, :20], wanted[20:, 40:] = 1, 2
    with Image.open("out/scene.labels.png") as labels:
        np.testing.assert_array_equal(np.asarray(labels), wanted)
    with Image.open("out/scene.png") as drawn:
        np.testing.assert_array_equal((np.asarray(drawn) != SCENE).any(axis=2), wanted > 0)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["classify", "-model", "classifier.prototxt", "noise.png"], 2, "-weights is required"),
        ([*CLASSIFY, "-mean", "1,2", "noise.png"], 1, "mean has 2 values, the net takes 3 channe"),
        (
            [*CLASSIFY, "-mean_file", "a.npy", "noise.png"],
            2,
            "-mean_file belongs to the form with",
        ),
        (
            [*CLASSIFY, "-center_only", "noise.png"],
            2,
            "-center_only belongs to the form with -mode",
        ),
        (["classify", "-mean", "1", "a.png", "b.npy"], 2, "-mean belongs to the form with -model"),
        ([*CLASSIFY, "-top", "0", "noise.png"], 2, "'0' is not an integer of at least 1"),
        ([*CLASSIFY, "-scale", "x", "noise.png"], 2, "'x' is neither a number nor several"),
        (
            [*CLASSIFY, "-resize", "1,2,3", "noise.png"],
            2,
            "'1,2,3' is neither a size nor height,w",
        ),
        (
            [*CLASSIFY, "-input_size", "0", "noise.png"],
            2,
            "'0' is neither a size nor height,width",
        ),
        ([*CLASSIFY, "-order", "rgb", "noise.png"], 2, "invalid choice: 'rgb'"),
        ([*CLASSIFY, "-json", "-", "-csv", "-", "noise.png"], 2, "cannot both go to stdout"),
        ([*CLASSIFY, "-labels", "colors.txt", "noise.png"], 1, "2 labels, but the net has 6 clas"),
        ([*CLASSIFY, "-json", "no/a.json", "noise.png"], 1, "no/a.json: cannot be written: there"),
        ([*CLASSIFY, "-json", "a.json", "noise.png", "names.txt"], 1, '"names.txt": not an image'),
        ([*CLASSIFY, "nowhere.png"], 1, 'cannot read the image "nowhere.png"'),
        ([*CLASSIFY, "in/*.jpg"], 1, 'no file matches "in/*.jpg"'),
        ([*CLASSIFY, "-memory_limit", "1KB", "noise.png"], 1, "the memory limit is"),
        ([*DETECT, "-output", "in", "in/scene.png"], 1, 'in/scene.png" is a picture itself'),
        ([*DETECT, "-output", "names.txt", "in"], 1, 'cannot make the folder "names.txt"'),
        ([*DETECT, "-boxes", "found", "in"], 2, "-boxes and -scores must be given together"),
        (
            [*DETECT, "-context_pad", "0", "in"],
            2,
            "-context_pad belongs to the form with -model_d",
        ),
        (["detect", "-threshold", "0.1", "a.csv", "b.csv"], 2, "-threshold belongs to the form"),
        (["detect", "a.csv"], 2, "1 files; with -model_def they are 2, INPUT and OUTPUT"),
        (
            [*DETECT[:3], "-weights", "classifier.caffemodel", "in"],
            1,
            "classifier.caffemodel has weights for ip, which are no layers of this net",
        ),
        (["detect", *CLASSIFY[1:], "in"], 1, "none of the net's outputs ['prob'] is that of a"),
        ([*SEGMENT, "-opacity", "2", "in"], 2, "-opacity must be from 0 to 1, not 2"),
        (["segment", "in"], 2, "-model is required"),
        ([*SEGMENT, "-blob", "prob", "in"], 1, "the net has no output \"prob\", but ['score']"),
    ],
)
def test_refusals(weight, tmp_path, capsys, words, code, says):
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(words) == code
    out, err = capsys.readouterr()
    assert says in err
    assert not out
    assert code == 2 or err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_names_of_files_are_shown_safely(weight, capsys):
    Image.fromarray(PIXELS).save("a\x1b[1m.png")
    for flags in [], ["-csv", "-"], ["-json", "-"]:
        assert cli.main([*CLASSIFY, *flags, "a\x1b[1m.png"]) == 0
        assert "\x1b" not in capsys.readouterr().out
    assert cli.main([*CLASSIFY, "-csv", "a.csv", "a\x1b[1m.png"]) == 0
    with open("a.csv", newline="") as file:
        assert next(csv.DictReader(file))["image"] == "a\x1b[1m.png"


def test_scores_that_are_not_finite_are_null(weight, capsys):
    with open("classifier.prototxt", "a") as file:
        file.write('layer { name: "l" type: "Log" bottom: "prob" top: "log" }\n')
    assert cli.main([*CLASSIFY, "-scale", "1000", "-json", "-", "noise.png"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [each["score"] for each in found["classes"]][1:] == [None] * 4
