"""The records of an image list: their order, and what each image becomes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffe_lite.data import imageset
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2

SIZES = [(2, 3), (5, 4), (300, 200)]


@pytest.fixture
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Forty images of three sizes, in the current folder; each has one grey level, its number."""
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        height, width = SIZES[number % 3]
        Image.new("L", (width, height), number).save(f"{number}.png")
    return [(f"{number}.png", number % 7) for number in range(40)]


def test_order_labels_and_pixels(items: list[tuple[str, int]]) -> None:
    records = list(imageset.records(items, imageset.Settings()))
    assert [record.key for record in records] == [b"%08d_%d.png" % (i, i) for i in range(40)]
    for number, record in enumerate(records):
        datum = caffe_pb2.Datum.FromString(record.value)
        assert datum.label == number % 7
        assert record.shape == (datum.channels, datum.height, datum.width)
        assert record.shape == (3, *SIZES[number % 3])
        assert set(datum.data) == {number}
        assert datum.HasField("encoded")
        assert not datum.encoded


def test_names_that_are_not_utf8_keep_their_bytes(items: list[tuple[str, int]]) -> None:
    name = b"\xe4.png".decode(errors="surrogateescape")
    try:
        Path(name).write_bytes(Path("1.png").read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    (record,) = imageset.records([(name, 1)], imageset.Settings())
    assert record.key == b"00000000_\xe4.png"
    assert record.value


def test_only_a_few_images_are_decoded_ahead(
    items: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    real = imageset._record

    def slowly(number: int, *rest: Any) -> imageset.Record:
        decoded.append(number)
        time.sleep(0.02)
        return real(number, *rest)

    monkeypatch.setattr(imageset, "_record", slowly)
    monkeypatch.setattr(imageset, "_threads", lambda: 2)
    records = imageset.records(items, imageset.Settings())
    next(records)
    records.close()
    assert len(decoded) <= 5  # of the nine that were waiting
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_same_size(items: list[tuple[str, int]]) -> None:
    same = imageset.Settings(same_size=True)
    assert len(list(imageset.records(items[::3], same))) == 14
    with pytest.raises(DataError, match=r'"1.png" has shape \(3, 5, 4\), but the first, "0.png"'):
        list(imageset.records(items, same))


def test_root_is_put_before_names_as_it_is(items: list[tuple[str, int]]) -> None:
    (record,) = imageset.records([(".png", 3)], imageset.Settings(root="./1", gray=True))
    assert record.shape == (1, 5, 4)
    assert record.key == b"00000000_.png"


@pytest.mark.parametrize("encoding", ["png", "bmp", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_encoding_keeps_pixels(encoding: str, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), np.uint8)
    encoded = np.frombuffer(imageset.encode(image, encoding), np.uint8)
    got = cv2.imdecode(encoded, -1).reshape(5, 7, channels)
    np.testing.assert_array_equal(got.transpose(2, 0, 1), image)


def test_shuffled() -> None:
    items = [(str(i), i) for i in range(50)]
    assert sorted(imageset.shuffled(items, 1)) == sorted(items)
    assert imageset.shuffled(items, 1) == imageset.shuffled(items, 1) != items
    assert imageset.shuffled(items, 1) != imageset.shuffled(items, 2)
