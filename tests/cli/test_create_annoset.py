"""create_annoset, create_label_map and get_image_size: from annotations to a batch with boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe_lite as caffe
from caffe_lite import cli
from caffe_lite.data.db import open_db
from caffe_lite.data.detections import read_pictures
from caffe_lite.proto import caffe_pb2

BOX = "<bndbox><xmin>%d</xmin><ymin>%d</ymin><xmax>%d</xmax><ymax>%d</ymax></bndbox>"
OBJECT = f"<object><name>%s</name><difficult>%d</difficult>{BOX}</object>"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images with all kinds of annotations, lists of them, and a label map."""
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    rng = np.random.default_rng(1)
    for name, size in (("a", (40, 50)), ("b", (30, 60))):
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(f"set/{name}.png")
    Path("set/a.xml").write_text(
        "<annotation><size><width>50</width><height>40</height></size>"
        + OBJECT % ("dog", 0, 5, 10, 25, 30)
        + OBJECT % ("cat", 1, 0, 0, 50, 40)
        + OBJECT % ("dog", 0, 1, 2, 3, 4)
        + "</annotation>"
    )
    Path("set/b.xml").write_text("<annotation></annotation>")
    Path("set/a.txt").write_text("2 5 10 25 30\n1 0 0 50 40\n2 1 2 3 4\n")
    Path("set/b.txt").write_text("")
    Path("set/all.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": 1, "file_name": "a.png", "width": 50, "height": 40},
                    {"id": 2, "file_name": "b.png", "width": 60, "height": 30},
                ],
                "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
                "annotations": [
                    {"image_id": 1, "category_id": 9, "bbox": [5, 10, 20, 20]},
                    {"image_id": 1, "category_id": 3, "bbox": [0, 0, 50, 40], "iscrowd": 1},
                    {"image_id": 1, "category_id": 9, "bbox": [1, 2, 2, 2]},
                ],
            }
        )
    )
    Path("xml.list").write_text("a.png a.xml\nb.png b.xml\n")
    Path("txt.list").write_text("a.png a.txt\nb.png b.txt\n")
    Path("json.list").write_text("a.png all.json\nb.png all.json\n")
    Path("labels.list").write_text("a.png 4\nb.png 7\n")
    Path("classes").write_text("cat\ndog\n")
    assert cli.main(["create_label_map", "-include_background", "classes", "map"]) == 0
    return tmp_path


def run(words: str) -> int:
    return cli.main(["create_annoset", *words.split()])


def records() -> list[caffe_pb2.AnnotatedDatum]:
    with open_db("db", "lmdb") as cursor:
        return [caffe_pb2.AnnotatedDatum.FromString(value) for _, value in cursor]


WANTED = [
    (2, 0, [0.1, 0.25, 0.5, 0.75], False),
    (2, 1, [0.02, 0.05, 0.06, 0.1], False),
    (1, 0, [0, 0, 1, 1], True),
]


@pytest.mark.parametrize("kind", ["xml", "json", "txt"])
def test_every_kind_gives_the_same_boxes(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    flags = f"-anno_type detection -label_type {kind} -label_map_file map -encoded"
    assert run(f"{flags} set/ {kind}.list db") == 0
    assert capsys.readouterr() == ("db: 2 images\n", "")
    first, second = records()
    found = [
        (group.group_label, each.instance_id, each.bbox)
        for group in first.annotation_group
        for each in group.annotation
    ]
    for (label, instance, box), wanted in zip(found, WANTED, strict=True):
        assert (label, instance) == wanted[:2]
        sides = [box.xmin, box.ymin, box.xmax, box.ymax]
        np.testing.assert_allclose(sides, wanted[2], rtol=1e-6)
        assert box.difficult == (wanted[3] and kind != "txt")
    assert not second.annotation_group
    assert first.type == first.BBOX
    assert first.datum.encoded
    assert first.datum.label == -1
    assert first.datum.data == Path("set/a.png").read_bytes()


def test_a_net_reads_it(folder: Path) -> None:
    flags = "-anno_type=detection --label_map_file=map -resize_height=20 -resize_width=30"
    assert run(f"{flags} set/ xml.list db") == 0
    Path("net.prototxt").write_text(
        'layer { name: "data" type: "AnnotatedData" top: "data" top: "label" '
        'data_param { source: "db" backend: LMDB batch_size: 2 } }'
    )
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.forward()
    assert net.blobs["data"].data.shape == (2, 3, 20, 30)
    np.testing.assert_allclose(
        net.blobs["label"].data[0, 0],
        [[0, label, instance, *box, difficult] for label, instance, box, difficult in WANTED],
        rtol=1e-6,
    )


def test_an_image_list_gives_labels(folder: Path) -> None:
    assert run("set/ labels.list db") == 0
    assert [record.datum.label for record in records()] == [4, 7]
    assert not any(record.HasField("type") for record in records())


def test_bounds_of_the_sides(folder: Path) -> None:
    assert run("-min_dim 80 -max_dim 90 set/ labels.list db") == 0
    # 40 x 50 to 80 x 100, then to 90 at most; 30 x 60 to 80 x 160, then to 90
    assert [(record.datum.height, record.datum.width) for record in records()] == [
        (72, 90),
        (45, 90),
    ]


def test_what_is_odd_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("xml.list").write_text("a.png a.xml\nb.png none.xml\nnone.png b.xml\n")
    Path("set/a.xml").write_text(
        "<annotation><size><width>100</width><height>80</height></size>"
        + OBJECT % ("dog", 0, 90, 10, 120, 5)
        + "</annotation>"
    )
    capsys.readouterr()
    assert run("-anno_type detection -label_map_file map set/ xml.list db") == 0
    out, err = capsys.readouterr()
    assert out == "db: 2 images, 1 skipped\n"
    assert err.splitlines() == [
        "note: set/a.xml: the annotations are of 80 x 100 pixels, the image has 40 x 50",
        "note: set/a.xml: the box 90 10 120 5 leaves the image, whose width is 100",
        "note: set/a.xml: the box 90 10 120 5 is inside out",
        "note: set/none.xml: there is no such file, so the image has no boxes",
        'skipped: cannot read the image "set/none.png": No such file or directory',
    ]
    assert records()[0].annotation_group[0].annotation[0].bbox.xmin == np.float32(0.9)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "<annotation>" + OBJECT % ("cow", 0, 1, 2, 3, 4),
            'set/b.xml:1: the label map has no "cow"',
        ),
        ("<!DOCTYPE a><annotation/>", "set/b.xml:1: has a document type"),
    ],
)
def test_bad_annotations_leave_nothing(
    content: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("set/b.xml").write_text(content if content.endswith("/>") else content + "</annotation>")
    before = set(folder.iterdir())
    assert run("-anno_type detection -label_map_file map set/ xml.list db") == 1
    assert says in capsys.readouterr().err
    assert set(folder.iterdir()) == before


def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-anno_type detection set/ xml.list db") == 2
    assert "give -label_map_file" in capsys.readouterr().err
    Path("bad.list").write_text("a.png a.xml\nb.png\n")
    assert run("-anno_type detection -label_map_file map set/ bad.list db") == 1
    assert 'bad.list:2: a line must be two words, not "b.png"' in capsys.readouterr().err
    assert run("-check_size set/ labels.list db") == 1
    assert "has shape (3, 30, 60), but the first" in capsys.readouterr().err
    assert not Path("db").exists()


def test_sizes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["get_image_size", "set/", "xml.list", "sizes"]) == 0
    assert Path("sizes").read_text() == "a 40 50\nb 30 60\n"
    assert [picture.width for picture in read_pictures("sizes")] == [50, 60]
    Path("ids").write_text("b 17\na 3\n")
    assert cli.main(["get_image_size", "-name_id_file", "ids", "set/", "xml.list", "sizes"]) == 0
    assert Path("sizes").read_text() == "3 40 50\n17 30 60\n"
    Path("ids").write_text("b 17\n")
    capsys.readouterr()
    assert cli.main(["get_image_size", "-name_id_file", "ids", "set/", "xml.list", "other"]) == 1
    assert 'ids: has no id of "a"' in capsys.readouterr().err
    Path("set/a.png").write_bytes(b"no image")
    assert cli.main(["get_image_size", "set/", "xml.list", "other"]) == 1
    assert '"set/a.png": not an image that can be decoded' in capsys.readouterr().err
    assert not Path("other").exists()


def test_sizes_are_those_of_upright_images(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save("set/a.jpg", exif=exif)
    Path("one.list").write_text("a.jpg\n")
    assert cli.main(["get_image_size", "set/", "one.list", "sizes"]) == 0
    assert Path("sizes").read_text() == "a 50 40\n"


def test_label_maps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none_of_the_above" in Path("map").read_text()
    assert cli.main(["create_label_map", "-delimiter", "", "classes", "other"]) == 2
    assert "-delimiter must not be empty" in capsys.readouterr().err
