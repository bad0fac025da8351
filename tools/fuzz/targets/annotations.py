"""Annotations of images: files in XML, JSON and text, lists of them, and AnnotatedDatums."""

from __future__ import annotations

import json
from pathlib import Path

from caffe_lite.data import annotation, images, label_map
from caffe_lite.data.annotation_files import CocoFile, read_text, read_xml
from caffe_lite.proto import caffe_pb2
from tools.fuzz.mutate import text_mutation
from tools.fuzz.targets import Target
from tools.fuzz.targets.messages import datums
from tools.fuzz.targets.text import void
from tools.fuzz.wire import wire_mutation

LABELS = {"dog": 1, "person": 2}

XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<annotation><folder>VOC</folder><size><width>353</width><height>500</height></size>
<!-- none -->
<object><name>dog</name><difficult>1</difficult><bndbox><xmin>48</xmin><ymin>240</ymin>
<xmax>195</xmax><ymax>371.5</ymax></bndbox></object>
<object><name>person</name><part><name>hand</name>
</part><bndbox><xmin>8</xmin><ymin>12</ymin><xmax>352</xmax><ymax>498</ymax></bndbox></object>
</annotation>
"""
DOCTYPE = b"""<!DOCTYPE annotation [<!ENTITY a "dog"><!ENTITY b SYSTEM "a.xml">]>
<annotation><object><name>&a;&b;</name></object></annotation>
"""
OBJECTS = [{"image_id": 4, "category_id": 7, "bbox": [1, 2.5, 3, 4], "iscrowd": 1}]
SET = {
    "images": [{"id": 4, "file_name": "x.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 7, "name": "dog"}],
    "annotations": OBJECTS,
}
ONE = {"image": {"width": 64, "height": 48}, "annotation": OBJECTS}


def _read_json() -> None:
    CocoFile("a.json").of_image("x.jpg", {**LABELS, "7": 1})


def _records() -> list[dict[str, bytes]]:
    found = []
    for datum in datums():
        record = caffe_pb2.AnnotatedDatum(type="BBOX")
        record.datum.ParseFromString(datum)
        group = record.annotation_group.add(group_label=3)
        group.annotation.add(instance_id=1, bbox={"xmin": 0.25, "ymax": 0.75, "difficult": True})
        found.append({"record": record.SerializeToString()})
    return found


def _parse(content: bytes) -> None:
    found = annotation.of_record(annotation.parse(content))
    found.within(annotation.WHOLE, caffe_pb2.EmitConstraint()).mirrored()


TARGETS = [
    Target(
        "annotation_xml",
        lambda: [{"a.xml": XML}, {"a.xml": DOCTYPE}],
        lambda: void(read_xml("a.xml", LABELS)),
        text_mutation,
    ),
    Target(
        "annotation_json",
        lambda: [{"a.json": json.dumps(each).encode()} for each in (SET, ONE)],
        _read_json,
        text_mutation,
    ),
    Target(
        "annotation_text",
        lambda: [{"a.txt": b"3 1 2.5 30 40\n\n-1 0 0 5 6\n"}],
        lambda: void(read_text("a.txt")),
        text_mutation,
    ),
    Target(
        "annotation_list",
        lambda: [{"a.list": b"a/x.jpg b/x.xml\nc.png d.txt\n"}],
        lambda: void(images.read_pairs("a.list")),
        text_mutation,
    ),
    Target(
        "class_list",
        lambda: [{"a.list": b"cat 1 Cat\ndog 7 Dog\n"}, {"a.list": b"cat\ndog\n"}],
        lambda: void(label_map.create("a.list")),
        text_mutation,
    ),
    Target(
        "annotated_datum",
        _records,
        lambda: _parse(Path("record").read_bytes()),
        wire_mutation,
        in_memory=_parse,
    ),
]
