"""Label maps: made from lists, and read by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite.data import label_map
from caffe_lite.errors import DataError
from caffe_lite.proto import text


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(
    content: str, delimiter: str = " ", background: bool = False
) -> list[tuple[str, int, str]]:
    Path("list.txt").write_text(content)
    items = label_map.create("list.txt", delimiter, background).item
    return [(item.name, item.label, item.display_name) for item in items]


def test_lines_of_one_to_three_fields() -> None:
    assert made("cat\ndog\n") == [("cat", 0, "cat"), ("dog", 1, "dog")]
    assert made("n1:cat\nn2:a dog\n", ":") == [("n1", 0, "cat"), ("n2", 1, "a dog")]
    assert made("7, 3, cat\n8, 9, dog\n", ",", True) == [
        ("none_of_the_above", 0, "background"),
        ("7", 3, "cat"),
        ("8", 9, "dog"),
    ]
    assert made("cat\n", background=True)[1] == ("cat", 1, "cat")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a\nb c\n", r"^list\.txt:2: has 2 fields; a line is a name"),
        ("a b c d\n", r"^list\.txt:1: has 4 fields"),
        ("a 1 x\nb y x\n", r'^list\.txt:2: the label "y" is not an integer$'),
        ("a 1 x\nb 1 x\n", r"^list\.txt:2: the label 1 is there twice$"),
        ("a\na\n", r'^list\.txt:2: the name "a" is there twice$'),
        ("\n", r'^the list of classes "list\.txt" is empty$'),
    ],
)
def test_lists_that_are_refused(content: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        made(content)


def test_what_is_made_is_read() -> None:
    made("cat\ndog\n", background=True)
    Path("map.prototxt").write_text(text.format(label_map.create("list.txt", background=True)))
    assert label_map.read_labels("map.prototxt") == {"none_of_the_above": 0, "cat": 1, "dog": 2}


def test_names_that_are_there_twice() -> None:
    Path("map.prototxt").write_text('item { name: "a" label: 1 } item { name: "a" label: 2 }')
    with pytest.raises(DataError, match=r'^map\.prototxt: the name "a" is in it twice$'):
        label_map.read_labels("map.prototxt")
