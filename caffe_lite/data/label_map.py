"""Label maps: the numbers of classes, and their names, in a prototxt of SSD's."""

from __future__ import annotations

from caffe_lite.data import images
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.files import read_label_map

BACKGROUND = "none_of_the_above"


def read_labels(path: str) -> dict[str, int]:
    """The label of each name in a label map; DataError for a name that is in it twice."""
    labels: dict[str, int] = {}
    for item in read_label_map(path).item:
        if item.name in labels:
            raise DataError(f'{path}: the name "{item.name}" is in it twice')
        labels[item.name] = item.label
    if not labels:
        raise DataError(f"{path}: names no class")
    return labels


def create(path: str, delimiter: str = " ", background: bool = False) -> caffe_pb2.LabelMap:
    """The label map of a text file with a line for each class, all with as many fields.

    The fields are the name; or the name and the name to show; or the name, the label and the
    name to show.  Without labels the classes are numbered: from 1 if `background` adds a class 0
    that is none of them, else from 0.  Raises DataError, with the line number.
    """
    made = caffe_pb2.LabelMap()
    if background:
        made.item.add(name=BACKGROUND, label=0, display_name="background")
    count, labels, names = 0, set(range(len(made.item))), {item.name for item in made.item}
    for number, line in images.text_lines(path, "list of classes"):
        if not line.isascii() and any("\ud800" <= letter <= "\udfff" for letter in line):
            raise DataError(f"{path}:{number}: has bytes that are not UTF-8")
        fields = [field.strip() for field in line.split(delimiter)]
        count = count or len(fields)
        if len(fields) != count or count > 3:
            raise DataError(
                f"{path}:{number}: has {len(fields)} fields; a line is a name, a name and a name "
                f'to show, or a name, a label and a name to show, separated by "{delimiter}", '
                "and all lines have as many fields"
            )
        label = images.integer(fields[1]) if count == 3 else len(made.item)
        if label is None:
            raise DataError(f'{path}:{number}: the label "{fields[1]}" is not an integer')
        if label in labels or fields[0] in names:
            twice = f"label {label}" if label in labels else f'name "{fields[0]}"'
            raise DataError(f"{path}:{number}: the {twice} is there twice")
        labels.add(label)
        names.add(fields[0])
        made.item.add(name=fields[0], label=label, display_name=fields[-1])
    if not made.item:
        raise DataError(f'the list of classes "{path}" is empty')
    return made
