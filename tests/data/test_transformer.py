"""DataTransformer: draws, crops and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data.transformer import DataTransformer, read_mean
from caffe_lite.errors import CaffeError, DataError, LayerError
from caffe_lite.proto import caffe_pb2, files, text
from tests.oracles import image as oracle

IMAGE = np.random.default_rng(2).integers(0, 256, (3, 6, 9), np.uint8)


def transformer(config: str, phase: int = caffe_pb2.TRAIN, seed: int = 1) -> DataTransformer:
    param = caffe_pb2.TransformationParameter()
    text.parse(config, param, "transform")
    return DataTransformer(param, phase, np.random.default_rng(seed))


def results(config: str, phase: int, count: int = 60) -> list[bytes]:
    transform = transformer(config, phase)
    y = np.empty((count, *transform.output_shape(IMAGE.shape)), np.float32)
    transform.apply_all(np.repeat(IMAGE[np.newaxis], count, axis=0), y)
    return [row.tobytes() for row in y]


def crops(rows: range, columns: range, mirrors: list[bool]) -> set[bytes]:
    return {
        oracle.transform(IMAGE, i, j, (4, 4), mirror=mirror).astype(np.float32).tobytes()
        for i in rows
        for j in columns
        for mirror in mirrors
    }


def test_train_crops_anywhere() -> None:
    found = set(results("crop_size: 4", caffe_pb2.TRAIN, 300))
    assert found == crops(range(3), range(6), [False])


def test_test_crops_the_centre_and_mirrors_all_the_same() -> None:
    found = results("crop_size: 4 mirror: true", caffe_pb2.TEST)
    assert set(found) == crops(range(1, 2), range(2, 3), [False, True])
    assert 15 < sum(result == found[0] for result in found) < 45


def test_the_seed_decides() -> None:
    config = "crop_size: 4 mirror: true"
    assert results(config, caffe_pb2.TRAIN) == results(config, caffe_pb2.TRAIN)


def test_mean_file(tmp_path: Path) -> None:
    mean = np.random.default_rng(3).uniform(0, 255, IMAGE.shape).astype(np.float32)
    path = tmp_path / "mean.binaryproto"
    files.write_message(path, files.array_to_blob(mean[np.newaxis]))
    transform = transformer(f'mean_file: "{path}" crop_size: 5 scale: 0.5', caffe_pb2.TEST)
    y = np.empty((3, 5, 5), np.float64)
    transform.apply(IMAGE, y)
    wanted = oracle.transform(IMAGE, 0, 2, (5, 5), mean.astype(np.float64), 0.5)
    np.testing.assert_allclose(y, wanted, rtol=1e-12)
    np.testing.assert_array_equal(transform.mean, mean)
    with pytest.raises(
        LayerError, match=r"mean's shape \(3, 6, 9\) is not the image's, \(3, 6, 8\)"
    ):
        transform.output_shape((3, 6, 8))


def test_mean_that_is_no_image(tmp_path: Path) -> None:
    path = str(tmp_path / "mean.binaryproto")
    files.write_message(path, files.array_to_blob(np.zeros((2, 3, 4, 5), np.float32)))
    with pytest.raises(DataError, match=r"not \(2, 3, 4, 5\)"):
        read_mean(path)
    with pytest.raises(CaffeError, match="nowhere"):
        read_mean("nowhere")


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ("crop_size: 7", "crop_size", "crop_size 7 is larger than the image, 6 x 9"),
        ("mean_value: 1 mean_value: 2", "mean_value", "2 mean_value fields for 3 channels"),
    ],
)
def test_refused_for_the_image(config: str, field: str, says: str) -> None:
    with pytest.raises(LayerError, match=says) as caught:
        transformer(config).output_shape(IMAGE.shape)
    assert caught.value.field == f".transform_param.{field}"
