"""Records of images with boxes: which boxes are odd, and how often a file of a set is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite.data import annoset
from caffe_lite.data.annoset import Annoset, _problems
from caffe_lite.data.annotation_files import Described, Drawn
from caffe_lite.data.imageset import Settings
from caffe_lite.proto import caffe_pb2


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((0, 0, 9, 5), []),
        ((3, 2, 3, 4), []),
        ((3, 2, 5, 2), []),
        ((9, 5, 9, 5), []),
        ((-0.5, 0, 9, 5), ["the box -0.5 0 9 5 leaves the image, whose width is 9"]),
        ((0, 0, 9.5, 5), ["the box 0 0 9.5 5 leaves the image, whose width is 9"]),
        ((0, -1, 9, 5), ["the box 0 -1 9 5 leaves the image, whose height is 5"]),
        ((0, 0, 9, 6), ["the box 0 0 9 6 leaves the image, whose height is 5"]),
        ((4, 0, 3, 5), ["the box 4 0 3 5 is inside out"]),
        ((3, 4, 4, 3), ["the box 3 4 4 3 is inside out"]),
        ((10, 1, 3, 6), ["the box 10 1 3 6 leaves the image, whose width is 9",
                         "the box 10 1 3 6 leaves the image, whose height is 5",
                         "the box 10 1 3 6 is inside out"]),
    ],
)  # fmt: skip
def test_odd_boxes(box: tuple[float, float, float, float], says: list[str]) -> None:
    assert list(_problems(Drawn(1, box), (5, 9))) == says


def test_objects_are_grouped_by_label_in_the_order_they_appear() -> None:
    record = caffe_pb2.AnnotatedDatum()
    labels = [4, 2, 4, 4, 2]
    objects = [Drawn(label, (i, 2 * i, i + 2, 10), i == 3) for i, label in enumerate(labels)]
    annoset._add(record, objects, (16, 8))
    groups = record.annotation_group
    assert [group.group_label for group in groups] == [4, 2]
    assert [[each.instance_id for each in group.annotation] for group in groups] == [
        [0, 1, 2], [0, 1],
    ]  # fmt: skip
    boxes = [each.bbox for group in groups for each in group.annotation]
    found = [(box.xmin, box.ymin, box.xmax, box.ymax, box.difficult) for box in boxes]
    assert found == [(i / 8, i / 8, (i + 2) / 8, 0.625, i == 3) for i in (0, 2, 3, 1, 4)]


@pytest.mark.parametrize(("paths", "count"), [("aaaa", 1), ("abab", 2), ("abca", 4), ("abcc", 3)])
def test_a_file_of_a_set_is_read_once(
    paths: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    class File:
        def __init__(self, path: str) -> None:
            read.append(path)

        def of_image(self, name: str, labels: object) -> Described:
            return Described([Drawn(len(read), (0, 0, 1, 1))])

    monkeypatch.setattr(annoset, "CocoFile", File)
    found = Annoset(Settings(), "json", {})
    for path in paths:
        assert len(found._described(path, "x.png").objects) == 1
    assert len(read) == count
