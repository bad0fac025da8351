"""Annotations in VOC's XML, COCO's JSON and text: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caffe_lite.data.annotation_files import CocoFile, Described, Drawn, read_text, read_xml
from caffe_lite.errors import DataError

LABELS = {"dog": 12, "person": 15, "7": 3}

VOC = """<annotation>
  <folder>VOC2007</folder>
  <size><width>353</width><height>500</height><depth>3</depth></size>
  <object>
    <name>dog</name>
    <difficult>0</difficult>
    <bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox>
  </object>
  <object>
    <name>person</name>
    <part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>
    <bndbox><xmax>352.5</xmax><xmin>8</xmin><ymin>12</ymin><ymax>498</ymax></bndbox>
    <difficult>1</difficult>
  </object>
</annotation>
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def xml(content: str) -> Described:
    Path("a.xml").write_text(content)
    return read_xml("a.xml", LABELS)


def test_xml() -> None:
    assert xml(VOC) == Described(
        [Drawn(12, (48, 240, 195, 371)), Drawn(15, (8, 12, 352.5, 498), True)], (500, 353)
    )
    assert xml("<annotation/>") == Described()


BILLION = """<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = """<?xml version="1.0"?>
<!DOCTYPE annotation SYSTEM "http://127.0.0.1:1/a.dtd">
<annotation/>"""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (VOC.replace("<name>dog", "<name>cat"), r'^a\.xml:5: the label map has no "cat"$'),
        (VOC.replace("48", "4x8"), r'^a\.xml:7: xmin is "4x8", not a number$'),
        (VOC.replace("48", "inf"), r'^a\.xml:7: xmin is "inf"'),
        (VOC.replace("48", "1e30"), r'^a\.xml:7: xmin is "1e30"'),
        (VOC.replace("<ymax>371</ymax>", ""), r'^a\.xml:7: "bndbox" has 0 "ymax", not one$'),
        (VOC.replace("<name>dog</name>", ""), r'^a\.xml:4: "object" has 0 "name", not one$'),
        (VOC.replace("</object>", "", 1), r"^a\.xml:15: not XML: mismatched tag$"),
        ("", r"^a\.xml:1: not XML: no element found$"),
        ("<html/>", r'^a\.xml:1: is "html", not "annotation"$'),
        ("<a>" * 60, r"^a\.xml:1: elements are more than 50 deep$"),
        (BILLION, r"^a\.xml:1: has a document type \(DOCTYPE\); remove it$"),
        (OUTSIDE, r"^a\.xml:2: has a document type"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', r"^a\.xml: not XML that"),
    ],
)
def test_xml_that_is_refused(content: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        xml(content)


def test_files_that_are_none() -> None:
    with pytest.raises(DataError, match=r'^cannot read the annotations "none": No such file'):
        read_xml("none", LABELS)
    Path("folder").mkdir()
    with pytest.raises(DataError, match=r'^cannot read the annotations "folder": it is a folder$'):
        CocoFile("folder")


def test_text() -> None:
    Path("a.txt").write_text("3 1 2.5 30 40\n\n-1 0 0 5 6\n")
    assert read_text("a.txt") == Described([Drawn(3, (1, 2.5, 30, 40)), Drawn(-1, (0, 0, 5, 6))])


@pytest.mark.parametrize(
    "line",
    [
        "dog 1 2 3 4",
        "1 2 3 4",
        "1 2 3 4 5 6",
        "1 2 3 4 nan",
        "1.5 1 2 3 4",
        "99999999999 1 2 3 4",
        "\0",
    ],
)
def test_text_that_is_refused(line: str) -> None:
    Path("a.txt").write_text(f"1 2 3 4 5\n{line}\n")
    with pytest.raises(DataError, match=r'^a\.txt:2: ".*" is not "label xmin ymin xmax ymax"'):
        read_text("a.txt")


SET: dict[str, Any] = {
    "images": [
        {"id": 4, "file_name": "x.jpg", "width": 64, "height": 48},
        {"id": 5, "file_name": "train/y.jpg", "width": 20, "height": 30},
        {"id": 6, "file_name": "test/y.jpg", "width": 21, "height": 31},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 7, "name": "zebra"}],
    "annotations": [
        {"image_id": 6, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0},
        {"image_id": 4, "category_id": 7, "bbox": [10, 20, 30, 5], "iscrowd": 1},
        {"image_id": 4, "category_id": 1, "bbox": [0, 0, 1, 1]},
    ],
}


def coco(content: Any) -> CocoFile:
    Path("a.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return CocoFile("a.json")


def test_json_of_a_set() -> None:
    found = coco(SET)
    assert found.of_image("images/x.jpg", LABELS) == Described(
        [Drawn(3, (10, 20, 40, 25), True), Drawn(15, (0, 0, 1, 1))], (48, 64)
    )
    assert found.of_image("train/y.jpg", LABELS) == Described([], (30, 20))
    assert found.of_image("test/y.jpg", LABELS).objects == [Drawn(15, (1, 2, 4.5, 6))]
    with pytest.raises(DataError, match=r'^a\.json: it has 0 images of the name "y.jpg", not one'):
        found.of_image("y.jpg", LABELS)
    with pytest.raises(DataError, match=r'the label map has no "person" \(category_id 1\)'):
        found.of_image("x.jpg", {"7": 1})


def test_json_of_one_image() -> None:
    found = coco({"image": {"width": 9, "height": 8}, "annotation": SET["annotations"][:2]})
    assert found.of_image("any.jpg", {"1": 1, "7": 2}) == Described(
        [Drawn(1, (1, 2, 4.5, 6)), Drawn(2, (10, 20, 40, 25), True)], (8, 9)
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{\n\n,}", r"^a\.json:3: not JSON: "),
        ("[" * 100000, r"^a\.json: not JSON$|^a\.json:1: not JSON"),
        ("[]", r"^a\.json: it is not an object with images and annotations$"),
        ('{"images": []}', r"^a\.json: null is not a list$"),
        ('{"annotations": [3]}', r"^a\.json: 3 is not an object$"),
        ('{"annotation": 3}', r"^a\.json: 3 is not a list$"),
    ],
)
def test_json_that_is_refused(content: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        coco(content)


@pytest.mark.parametrize("box", [[1, 2, 3], [1, 2, 3, None], [1, 2, 3, 1e300], [1, 2, 3, "4"]])
def test_json_with_a_box_that_is_none(box: list[Any]) -> None:
    found = coco({"annotation": [{"category_id": 7, "bbox": box}]})
    with pytest.raises(DataError, match=r"^a\.json: a bbox is .*, not x, y, width and height$"):
        found.of_image("a", LABELS)


def test_files_that_are_too_large() -> None:
    """64 MB for an image; here of zeros, of which the disk stores nothing."""
    with open("a", "wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(DataError, match="not XML"):
        read_xml("a", LABELS)
    with open("a", "wb") as file:
        file.truncate((64 << 20) + 1)
    for read in (lambda path: read_xml(path, LABELS), read_text):
        with pytest.raises(DataError, match="has over 67 MB"):
            read("a")


@pytest.mark.parametrize(("number", "is_read"), [("2147483647.5", True), ("2147483648", False),
                                                 ("-2147483648", False)])  # fmt: skip
def test_the_largest_number(number: str, is_read: bool) -> None:
    if is_read:
        assert xml(VOC.replace("48", number, 1)).objects[0].box[0] == float(number)
        return
    with pytest.raises(DataError, match=f'xmin is "{number}", not a number'):
        xml(VOC.replace("48", number, 1))


def test_how_deep_elements_may_be() -> None:
    assert xml("<annotation>" + "<a>" * 49 + "</a>" * 49 + "</annotation>") == Described()
    with pytest.raises(DataError, match="elements are more than 50 deep"):
        xml("<annotation>" + "<a>" * 50 + "</a>" * 50 + "</annotation>")
