"""Single steps of a batch of images with boxes: what is cut out, and the shapes of labels."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.annotated import AnnotatedReader, Augmentation, Labels, cropped
from caffe_lite.data.db import create_db
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.proto import caffe_pb2
from tests.cases.annotated_data import annotated


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_pixels_in_a_window() -> None:
    """Whole pixels: where the window begins, and as many as it is long, at least one."""
    image = np.arange(3 * 7 * 10).reshape(3, 7, 10)
    draws = np.random.default_rng(2)
    windows = draws.uniform(-0.3, 1.3, (300, 4)).astype(np.float32)
    windows[:, 2:] = np.maximum(windows[:, 2:], windows[:, :2])
    exact = [[0, 0, 1, 1], [1, 1, 1, 1], [0.5, 0.5, 0.5, 0.5], [0.3, 0, 0.7, 1], [-1, -1, 2, 2]]
    for window in [*windows, *np.array(exact, np.float32)]:
        x0, y0, x1, y1 = (
            float(min(max(edge, np.float32(0)), np.float32(1)) * np.float32(size))
            for edge, size in zip(window, (10, 7, 10, 7), strict=True)
        )
        left, top = min(int(x0), 9), min(int(y0), 6)
        wide = max(int(np.float32(x1) - np.float32(x0)), 1)
        tall = max(int(np.float32(y1) - np.float32(y0)), 1)
        wanted = image[:, top : top + tall, left : left + wide]
        found = cropped(image, window)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, wanted)


def records(counts: list[int], labels: list[int] | None = None) -> None:
    """Images with so many boxes; with labels of their own they have no type."""
    with create_db("db", "lmdb") as writer:
        for index, count in enumerate(counts):
            boxes = [(i + 1, 0, i == 1, (1, 2, 3 + i % 2, 4)) for i in range(count)]
            record = annotated(boxes, np.full((3, 5, 6), index, np.uint8))
            if labels is not None:
                record.ClearField("type")
                record.datum.label = labels[index]
            writer.put(b"%04d" % index, record.SerializeToString())


def reader(labels: Labels, batch_size: int = 2) -> AnnotatedReader:
    param = caffe_pb2.DataParameter(source="db", batch_size=batch_size, backend="LMDB")
    transformer = DataTransformer(
        caffe_pb2.TransformationParameter(), caffe_pb2.TEST, np.random.default_rng(1)
    )
    return AnnotatedReader(param, transformer, Augmentation(), np.float32, labels)


@pytest.mark.parametrize(("count", "rows"), [(0, 1), (1, 1), (3, 3)])
def test_shapes_of_the_first_batch(count: int, rows: int) -> None:
    """Those of the first record: other records may have more boxes."""
    records([count, 5, 2])
    source = reader(Labels())
    assert source.shapes == [(2, 3, 5, 6), (1, 1, rows, 8)]
    assert source.shapes == [(2, 3, 5, 6), (1, 1, rows, 8)]  # which reads nothing away
    first = source.fill(None)
    assert first.labels.shape == (1, 1, count + 5, 8)
    assert first.data[:, 0, 0, 0].tolist() == [0, 1]
    source.close()
    source = reader(Labels(yolo=True))
    assert source.shapes == [(2, 3, 5, 6), (2, 1, 300, 5)]
    assert source.fill(None).labels.shape == (2, 1, 300, 5)
    source.close()


def test_records_without_a_type_have_labels_of_datums() -> None:
    records([1, 2, 0], [7, 4, 9])
    source = reader(Labels(yolo=True))
    assert source.shapes == [(2, 3, 5, 6), (2,)]
    assert source.fill(None).labels.tolist() == [7, 4]
    source.close()
    source = reader(Labels(typed=True), 3)
    labels = source.fill(None).labels
    assert labels.shape == (1, 1, 3, 8)
    assert labels[0, 0, :, 0].tolist() == [0, 1, 1]
    assert labels[0, 0, :, 7].tolist() == [0, 0, 1]
    source.close()


def test_difficult_boxes_are_left_out_of_yolos_if_asked_for() -> None:
    records([3])
    for difficult, classes in ((True, [0, 1, 2]), (False, [0, 2])):
        source = reader(Labels(yolo=True, difficult=difficult), 1)
        rows = source.fill(None).labels[0, 0]
        assert rows[: len(classes), 0].tolist() == classes
        np.testing.assert_allclose(
            rows[0], [0, (1 + 3) / 2 / 6, (2 + 4) / 2 / 5, 2 / 6, 2 / 5], rtol=1e-6
        )
        assert (rows[len(classes) :] == 0).all()
        source.close()


def test_all_rows_of_yolos_may_be_used() -> None:
    records([300])
    source = reader(Labels(yolo=True), 1)
    assert (source.fill(None).labels[0, 0, :, 3] > 0).all()
    source.close()
