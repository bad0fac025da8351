"""Batches from databases and image lists, through the layers that deliver them."""

from __future__ import annotations

import gc
import io
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_lite.layers.data  # noqa: F401  (registers the types)
from caffe_lite.blob import Blob
from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import create_db
from caffe_lite.errors import CaffeError, DataError, LayerError
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.proto import caffe_pb2, text

Make = Callable[..., Layer]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Builds a layer in a folder of its own; `tops` are its tops."""
    monkeypatch.chdir(tmp_path)

    def build(config: str, tops: int = 2, seed: int = 3) -> Layer:
        param = caffe_pb2.LayerParameter()
        text.parse(config, param, "layer")
        layer = registry.create(param, np.float32, np.random.default_rng(seed))
        request.addfinalizer(layer.close)
        layer.build([], [Blob() for _ in range(tops)])
        return layer

    return build


def write_db(images: Sequence[np.ndarray], name: str = "db") -> None:
    with create_db(name, "lmdb") as writer:
        for index, image in enumerate(images):
            writer.put(b"%03d" % index, array_to_datum(image, index).SerializeToString())


def write_images(sizes: Sequence[tuple[int, int]]) -> None:
    """i.png of the given (height, width), all of its pixels i, and list.txt."""
    for index, size in enumerate(sizes):
        file = io.BytesIO()
        Image.fromarray(np.full(size, index, np.uint8)).save(file, "PNG")
        Path(f"{index}.png").write_bytes(file.getvalue())
    Path("list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(len(sizes))))


def run(layer: Layer, times: int, tops: int = 2) -> list[list[np.ndarray]]:
    blobs = [Blob() for _ in range(tops)]
    found = []
    for _ in range(times):
        layer.prepare([], blobs)
        layer.forward([], blobs)
        found.append([blob.data.copy() for blob in blobs])
    return found


def labels(layer: Layer, times: int) -> list[list[float]]:
    return [list(batch[1]) for batch in run(layer, times)]


DATA = 'type: "Data" data_param { source: "db" backend: LMDB batch_size: 2 } '
IMAGES = 'type: "ImageData" image_data_param { source: "list.txt" batch_size: 2 %s }'


def flat(height: int, width: int, value: int = 0) -> np.ndarray:
    return np.full((1, height, width), value, np.uint8)


def test_data_goes_round(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    write_db([flat(2, 3, i) for i in range(3)])
    layer = make(DATA)
    with caplog.at_level(logging.INFO, "caffe_lite.data"):
        assert labels(layer, 3) == [[0, 1], [2, 0], [1, 2]]
    assert "Restarting data prefetching from start." in caplog.messages


def test_one_top_has_no_labels(make: Make) -> None:
    write_db([flat(2, 3, i) for i in range(2)])
    [[data]] = run(make(DATA, tops=1), 1, tops=1)
    np.testing.assert_array_equal(data[:, 0, 0, 0], [0, 1])


def test_two_layers_share_a_database(make: Make) -> None:
    write_db([flat(2, 3, i) for i in range(3)])
    one, two = make(DATA), make(DATA)
    assert labels(one, 2) == labels(two, 2) == [[0, 1], [2, 0]]


def test_the_seed_decides_whatever_is_drawn(make: Make) -> None:
    rng = np.random.default_rng(0)
    write_db(list(rng.integers(0, 256, (5, 3, 9, 9), np.uint8)))
    config = DATA + "transform_param { crop_size: 4 mirror: true }"
    first, again, other = (run(make(config, seed=seed), 6) for seed in (1, 1, 2))
    np.testing.assert_array_equal([b[0] for b in first], [b[0] for b in again])
    assert any(np.any(b[0] != c[0]) for b, c in zip(first, other, strict=True))


def test_each_batch_has_the_shape_of_its_first(make: Make) -> None:
    write_db([flat(2, 3), flat(2, 3), flat(4, 5), flat(4, 5)])
    assert [data.shape for data, _ in run(make(DATA), 3)] == [
        (2, 1, 2, 3),
        (2, 1, 4, 5),
        (2, 1, 2, 3),
    ]


def test_another_shape_in_a_batch_is_refused(make: Make) -> None:
    write_db([flat(2, 3), flat(2, 4)])
    layer = make(DATA)
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            run(layer, 1)
        assert caught.value.message.startswith(
            'record "001" of "db" has shape (1, 2, 4), but the first of its batch has (1, 2, 3)'
        )


def test_crops_of_images_of_any_size(make: Make) -> None:
    write_db([flat(4, 3), flat(3, 9), flat(2, 9)])
    layer = make(DATA + "transform_param { crop_size: 3 }")
    assert run(layer, 1)[0][0].shape == (2, 1, 3, 3)
    with pytest.raises(DataError, match='record "002" of "db": crop_size 3 is larger than the im'):
        run(layer, 1)


def test_records_that_are_no_datums(make: Make) -> None:
    with create_db("db", "lmdb") as writer:
        writer.put(b"\xff7", b"\xff\xff")
    with pytest.raises(DataError, match=r'record "\\xff7" of "db": the 2 bytes .* not a Datum'):
        make(DATA)


def test_the_first_image_is_smaller_than_the_crop(make: Make) -> None:
    write_db([flat(4, 3)])
    with pytest.raises(LayerError, match="crop_size 4 is larger than the image, 4 x 3") as caught:
        make(DATA + "transform_param { crop_size: 4 }")
    assert caught.value.field == ".transform_param.crop_size"


def test_images_one_by_one_may_differ_in_size(make: Make) -> None:
    write_images([(2, 3), (4, 5)])
    layer = make((IMAGES % "").replace("batch_size: 2", ""))
    assert [data.shape for data, _ in run(layer, 3)] == [
        (1, 3, 2, 3),
        (1, 3, 4, 5),
        (1, 3, 2, 3),
    ]
    with pytest.raises(DataError, match=r'image "1.png" has shape \(3, 4, 5\)'):
        run(make(IMAGES % ""), 1)


def test_shuffle_draws_a_new_order_each_time_round(make: Make) -> None:
    write_images([(2, 3)] * 8)
    rounds = [labels(make(IMAGES % "shuffle: true", seed=seed), 8) for seed in (1, 1, 2)]
    assert rounds[0] == rounds[1] != rounds[2]
    drawn = [label for batch in rounds[0] for label in batch]
    first, second = drawn[:8], drawn[8:]
    assert sorted(first) == sorted(second) == list(range(8))
    assert first != second


def test_rand_skip(make: Make) -> None:
    write_images([(2, 3)] * 4)
    starts = {labels(make(IMAGES % "rand_skip: 4", seed=seed), 1)[0][0] for seed in range(30)}
    assert starts == {0, 1, 2, 3}
    with pytest.raises(DataError, match="images to skip, but the list has 4"):
        make(IMAGES % "rand_skip: 4000")


def test_a_skip_as_long_as_the_list_is_refused(make: Make) -> None:
    """rand_skip 5 draws 0 to 4, and Caffe refuses 4 of 4."""
    write_images([(2, 3)] * 4)
    starts, refused = set(), 0
    for seed in range(30):
        try:
            starts.add(labels(make(IMAGES % "rand_skip: 5", seed=seed), 1)[0][0])
        except DataError as error:
            refused += "rand_skip drew 4 images to skip, but the list has 4" in str(error)
    assert starts == {0, 1, 2, 3}
    assert 0 < refused < 30


def test_more_than_the_memory_holds(make: Make) -> None:
    write_images([(2, 3)])
    with pytest.raises(
        CaffeError, match="an image of 2000000 x 1000000 pixels has more than the limit"
    ):
        make(IMAGES % "new_height: 1000000 new_width: 2000000")
    with pytest.raises(CaffeError, match=r"4000000000 batches \(2, 3, 20, 30\) read ahead"):
        make(IMAGES % "new_height: 20 new_width: 30" + "data_param { prefetch: 4000000000 }")


def test_an_image_that_is_missing(make: Make) -> None:
    write_images([(2, 3)] * 3)
    Path("2.png").unlink()
    layer = make(IMAGES % "")
    assert labels(layer, 1) == [[0, 1]]
    with pytest.raises(DataError, match=r'cannot read the image "2\.png"'):
        run(layer, 1)


def test_a_forgotten_layer_ends_its_thread(make: Make, tmp_path: Path) -> None:
    write_db([flat(2, 3)])
    before = threading.active_count()
    param = caffe_pb2.LayerParameter()
    text.parse(DATA, param, "layer")
    layer: Any = registry.create(param)
    layer.build([], [Blob(), Blob()])
    run(layer, 1)
    assert threading.active_count() == before + 1
    del layer
    gc.collect()
    assert threading.active_count() == before
    with create_db("other", "lmdb") as writer:  # the first is closed: it may be removed
        writer.put(b"a", b"b")
