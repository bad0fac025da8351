"""classify: the best classes as Caffe's classification prints them, and pycaffe's score files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.proto.blobs import array_to_blob

CLASSES = ["n01 cat, house cat", "n02 dog", "n03 owl", "n04 eel", "n05 bee", "n06 ant"]
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)  # red, green, blue
WEIGHT = np.random.default_rng(1).normal(0, 0.002, (6, 3 * 4 * 5)).astype(np.float32)
MEAN = np.random.default_rng(2).uniform(90, 130, (3, 7, 6)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a net of one inner product, its mean, labels and an image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data"\n'
        "  input_param { shape { dim: 9 dim: 3 dim: 4 dim: 5 } } }\n"
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"\n'
        "  inner_product_param { num_output: 6 bias_term: false } }\n"
        'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }\n'
    )
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="ip", type="InnerProduct")
    layer.blobs.append(array_to_blob(WEIGHT))
    files.write_message("w.caffemodel", net)
    files.write_message("mean.binaryproto", array_to_blob(MEAN[np.newaxis]))
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    Image.fromarray(PIXELS).save("a.png")
    return tmp_path


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max())
    return e / e.sum()


FIVE = ("deploy.prototxt", "w.caffemodel", "mean.binaryproto", "labels.txt")


def test_the_five_best_are_printed_as_caffe_does_it(folder, capsys):
    assert cli.main(["classify", *FIVE, "a.png"]) == 0
    x = PIXELS[:, :, ::-1].transpose(2, 0, 1) - MEAN.mean(axis=(1, 2)).reshape(3, 1, 1)
    scores = softmax(WEIGHT @ x.reshape(-1))
    best = sorted(range(6), key=lambda i: -scores[i])[:5]
    lines = [f'{scores[i]:.4f} - "{CLASSES[i]}"' for i in best]
    wanted = "\n".join(["---------- Prediction for a.png ----------", *lines]) + "\n"
    assert capsys.readouterr().out == wanted


def test_several_images_are_resized_as_by_opencv(folder, capsys):
    cv2 = pytest.importorskip("cv2")
    large = np.random.default_rng(3).integers(0, 256, (31, 17, 3), np.uint8)
    Image.fromarray(large).save("b.png")
    assert cli.main(["classify", *FIVE, "a.png", "b.png"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[6] == "---------- Prediction for b.png ----------"
    small = cv2.resize(large[:, :, ::-1], (5, 4)).transpose(2, 0, 1)
    x = small - MEAN.mean(axis=(1, 2)).reshape(3, 1, 1)
    assert out[7].startswith(f"{softmax(WEIGHT @ x.reshape(-1)).max():.4f} - ")


SCORE = ("-model_def", "deploy.prototxt", "--pretrained_model=w.caffemodel", "-images_dim", "4,5")


def test_scores_are_written(folder, capsys):
    np.save("mean.npy", MEAN.mean(axis=(1, 2)))
    words = ["classify", "a.png", *SCORE, "-mean_file", "mean.npy", "--center_only", "out.npy"]
    assert cli.main(words) == 0
    x = PIXELS[:, :, ::-1].transpose(2, 0, 1) - MEAN.mean(axis=(1, 2)).reshape(3, 1, 1)
    got = np.load("out.npy")
    assert got.shape == (1, 6)
    np.testing.assert_allclose(got[0], softmax(WEIGHT @ x.reshape(-1)), rtol=1e-4)
    assert capsys.readouterr().out.endswith("out.npy: scores (1, 6)\n")


def test_scores_of_a_folder_and_of_an_array(folder, capsys):
    (folder / "images").mkdir()
    for name in ("b.png", "e.png", "a.png", "d.png", "f.png", "c.jpg"):
        Image.fromarray(PIXELS[:, :, :: 1 if name == "a.png" else -1]).save(
            folder / "images" / name
        )
    assert cli.main(["classify", *SCORE, "-ext", "png", "images", "out.npy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [f"images/{letter}.png" for letter in "abdef"]
    from_folder = np.load("out.npy")
    np.save("in.npy", np.stack([PIXELS, PIXELS[:, :, ::-1]]) / np.float32(255))
    assert cli.main(["classify", *SCORE, "in.npy", "out.npy"]) == 0
    np.testing.assert_allclose(from_folder[:2], np.load("out.npy"), rtol=1e-4)
    assert from_folder.shape == (5, 6)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["a.png"], 2, "1 files; the forms above take 2"),
        (["a", "b", "c"], 2, "3 files; the forms above take 2"),
        (["a.png", "out.npy"], 2, "-model_def is required"),
        (
            ["a.png", "out.npy", "-model_def", "deploy.prototxt"],
            2,
            "-pretrained_model is required",
        ),
        ([*SCORE, "-images_dim", "3", "a.png", "out.npy"], 2, "-images_dim takes 2 sizes"),
        ([*SCORE, "-images_dim", "3,x", "a.png", "out.npy"], 2, "'x' is not an integer"),
        ([*SCORE, "nowhere.png", "out.npy"], 1, "nowhere.png"),
        ([*SCORE, ".", "out.npy"], 1, 'the folder "." has no file with the suffix .jpg; see -ext'),
        ([*SCORE, "labels.txt", "out.npy"], 1, "labels.txt"),
        ([*SCORE, "a.png", "no/out.npy"], 1, "no/out.npy: cannot be written: there is no folder"),
        ([*SCORE, "nowhere.npy", "out.npy"], 1, 'cannot read "nowhere.npy"'),
        ([*SCORE, "-mean_file", "flat.npy", "a.png", "out.npy"], 1, "2 channels"),
        ([*SCORE, "flat.npy", "out.npy"], 1, "must have the shape (N, height, width, channels)"),
        ([*SCORE, "-mean_file", "fake.npy", "a.png", "out.npy"], 1, "not an .npy file of a num"),
        ([*SCORE, "-channel_swap", "0", "a.png", "out.npy"], 1, "channel"),
        ([*FIVE, "nowhere.png"], 1, 'cannot read the image "nowhere.png"'),
        ([*FIVE, "labels.txt"], 1, '"labels.txt": not an image that can be decoded'),
        ([*FIVE[:3], "short.txt", "a.png"], 1, '"short.txt" has 1 labels, but the net has 6'),
        ([*FIVE[:3], "nowhere", "a.png"], 1, 'cannot read the labels "nowhere"'),
        ([*FIVE[:2], "grey.binaryproto", FIVE[3], "a.png"], 1, "1 channels, but the net has 3"),
        (
            [*FIVE[:2], "labels.txt", FIVE[3], "a.png"],
            1,
            "expected a binaryproto, but this is text",
        ),
        (["nowhere", *FIVE[1:], "a.png"], 1, "nowhere: no such file"),
    ],
)
def test_refusals(folder, capsys, words, code, says):
    np.save("flat.npy", np.zeros(2, np.float32))
    (folder / "fake.npy").write_text("no array")
    (folder / "short.txt").write_text("one\n")
    files.write_message("grey.binaryproto", array_to_blob(MEAN[np.newaxis, :1]))
    before = set(folder.iterdir())
    assert cli.main(["classify", *words]) == code
    err = capsys.readouterr().err
    assert says in err
    assert code == 2 or err.count("\n") == 1
    assert set(folder.iterdir()) == before


def test_a_net_of_two_outputs(folder, capsys):
    with (folder / "deploy.prototxt").open("a") as file:
        file.write('layer { name: "s" type: "Sigmoid" bottom: "ip" top: "s" }\n')
    assert cli.main(["classify", *FIVE, "a.png"]) == 1
    assert "must have one input and one output" in capsys.readouterr().err


def test_untrained_layers_are_told_or_refused(folder, capsys, caplog):
    text = (folder / "deploy.prototxt").read_text().replace('name: "ip"', 'name: "new"')
    (folder / "deploy.prototxt").write_text(text)
    before = set(folder.iterdir())
    for words in ([*FIVE, "a.png"], [*SCORE, "a.png", "out.npy"]):
        assert cli.main(["classify", *words, "--strict"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        says = 'deploy.prototxt:3:1: layer "new" (InnerProduct): w.caffemodel has no weights for'
        assert err.startswith(says)
        assert err.count("\n") == 1
        assert set(folder.iterdir()) == before
        caplog.clear()
        assert cli.main(["classify", *words]) == 0
        assert capsys.readouterr().out != ""
        untrained, ignored = caplog.messages
        assert untrained.endswith("(1 of 1), which stay untrained: new")
        assert ignored.endswith("that are not in the net (1), which are ignored: ip")
        for path in set(folder.iterdir()) - before:
            path.unlink()
