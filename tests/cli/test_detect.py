"""detect: scores of windows, from and to files."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest
from PIL import Image

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.proto.blobs import array_to_blob

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 14, 3), np.uint8)
WEIGHT = np.random.default_rng(1).normal(0, 0.01, (2, 3 * 4 * 4)).astype(np.float32)
NET = ("-model_def", "deploy.prototxt", "-pretrained_model", "w.caffemodel", "-context_pad", "0")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a net of one inner product, an image and windows in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data"\n'
        "  input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n"
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"\n'
        "  inner_product_param { num_output: 2 bias_term: false } }\n"
    )
    net = caffe_pb2.NetParameter()
    net.layer.add(name="ip", type="InnerProduct").blobs.append(array_to_blob(WEIGHT))
    files.write_message("w.caffemodel", net)
    Image.fromarray(PIXELS).save("a b.png")
    (tmp_path / "windows.csv").write_text(
        "filename,ymin,xmin,ymax,xmax\na b.png,1,2,5,6\na b.png,3,0,7,4\na b.png,8,9,12,13\n"
    )
    return tmp_path


def wanted() -> np.ndarray:
    """What the net says of the windows, which have its own size."""
    corners = [(1, 2), (3, 0), (8, 9)]
    crops = [PIXELS[y : y + 4, x : x + 4, ::-1].transpose(2, 0, 1) for y, x in corners]
    return np.stack([WEIGHT @ crop.reshape(-1).astype(np.float32) for crop in crops])


def test_csv(folder, capsys):
    assert cli.main(["detect", *NET, "windows.csv", "out.csv"]) == 0
    assert capsys.readouterr().out == "out.csv: 3 windows\n"
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == ["a b.png"] * 3
    assert [float(rows[1][name]) for name in ("ymin", "xmin", "ymax", "xmax")] == [3, 0, 7, 4]
    got = [[float(row["class0"]), float(row["class1"])] for row in rows]
    np.testing.assert_allclose(got, wanted(), rtol=1e-4)


def test_hdf5(folder):
    assert cli.main(["detect", "windows.csv", "out.h5", *NET, "--crop_mode=list"]) == 0
    with h5py.File("out.h5") as file:
        np.testing.assert_allclose(file["prediction"][()], wanted(), rtol=1e-4)
        assert file["window"][2].tolist() == [8, 9, 12, 13]
        assert file["filename"].asstr()[0] == "a b.png"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["windows.csv", "out.txt", *NET], 2, 'OUTPUT must end with .csv or .h5, not ".txt"'),
        (["windows.csv", "out.csv"], 2, "-model_def is required"),
        (["windows.csv", "out.csv", *NET, "-crop_mode", "grid"], 2, "invalid choice: 'grid'"),
        (["nowhere.csv", "out.csv", *NET], 1, 'cannot read "nowhere.csv"'),
        (["images.txt", "out.csv", *NET], 1, "selective_search_ijcv_with_python"),
        (["head.csv", "out.csv", *NET], 1, '"head.csv" has no column xmax, ymax'),
        (["none.csv", "out.csv", *NET], 1, '"none.csv" has no windows'),
        (["bad.csv", "out.csv", *NET], 1, "bad.csv:2: a line must be a file name and four num"),
        (["short.csv", "out.csv", *NET], 1, "short.csv:2: a line must be a file name and four"),
        (["lost.csv", "out.csv", *NET], 1, "lost.png"),
        (["outside.csv", "out.csv", *NET], 1, "image"),
        (
            ["turned.csv", "out.csv", *NET],
            1,
            "turned.csv:2: the window y 5 to 2, x 5 to 9 is empty",
        ),
        (["windows.csv", "no/out.csv", *NET], 1, "no/out.csv: cannot be written"),
        (["windows.csv", "out.csv", *NET[:4], "-context_pad", "9"], 1, "context_pad 9 needs"),
    ],
)
def test_refusals(folder, capsys, words, code, says):
    head = "filename,ymin,xmin,ymax,xmax\n"
    for name, content in {
        "head.csv": "filename,ymin,xmin\na b.png,1,2\n",
        "none.csv": head,
        "bad.csv": head + "a b.png,1,2,3,four\n",
        "short.csv": head + "a b.png,1,2\n",
        "lost.csv": head + "lost.png,1,2,3,4\n",
        "outside.csv": head + "a b.png,50,50,60,60\n",
        "turned.csv": head + "a b.png,5,5,2,9\n",
        "images.txt": "a b.png\n",
    }.items():
        (folder / name).write_text(content)
    before = set(folder.iterdir())
    assert cli.main(["detect", *words]) == code
    err = capsys.readouterr().err
    assert says in err
    assert code == 2 or err.count("\n") == 1
    assert set(folder.iterdir()) == before


def test_untrained_layers_are_told_or_refused(folder, capsys, caplog):
    text = (folder / "deploy.prototxt").read_text().replace('name: "ip"', 'name: "new"')
    (folder / "deploy.prototxt").write_text(text)
    before = set(folder.iterdir())
    words = [*NET, "windows.csv", "out.csv"]
    assert cli.main(["detect", *words, "--strict"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    says = 'deploy.prototxt:3:1: layer "new" (InnerProduct): w.caffemodel has no weights for'
    assert err.startswith(says)
    assert err.count("\n") == 1
    assert set(folder.iterdir()) == before
    caplog.clear()
    assert cli.main(["detect", *words]) == 0
    assert capsys.readouterr().out != ""
    untrained, ignored = caplog.messages
    assert untrained.endswith("(1 of 1), which stay untrained: new")
    assert ignored.endswith("that are not in the net (1), which are ignored: ip")
