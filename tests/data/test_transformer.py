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
    ("config", "size"),
    [
        ("", (6, 9)),
        ("crop_size: 5", (5, 5)),
        ("crop_h: 4 crop_w: 7", (4, 7)),
        ("crop_h: 6 crop_w: 9", (6, 9)),
        ("crop_h: 4", (6, 9)),
        ("crop_w: 4", (6, 9)),
        ("crop_size: 3 crop_h: 4 crop_w: 7", (3, 3)),
        ("resize_param { height: 20 width: 31 }", (20, 31)),
        ("resize_param { height: 20 width: 31 } crop_h: 20 crop_w: 2", (20, 2)),
    ],
)
def test_shapes_of_what_comes_out(config: str, size: tuple[int, int]) -> None:
    assert transformer(config).output_shape(IMAGE.shape) == (3, *size)


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
@pytest.mark.parametrize("config", ["crop_h: 4 crop_w: 7", "crop_size: 3", "mirror: true", ""])
def test_a_placement_says_what_was_taken(config: str, phase: int) -> None:
    transform = transformer(config, phase)
    _, height, width = transform.output_shape(IMAGE.shape)
    y, places = np.empty((3, height, width), np.float32), set()
    for _ in range(300):
        place = transform.apply(IMAGE, y)
        part = IMAGE[:, place.row : place.row + height, place.column : place.column + width]
        np.testing.assert_array_equal(y, part[:, :, ::-1] if place.mirror else part)
        left, top = place.column / 9, place.row / 6
        np.testing.assert_allclose(
            place.window, [left, top, left + width / 9, top + height / 6], rtol=1e-6
        )
        places.add((place.row, place.column, place.mirror))
    mirrors = (False, True) if "mirror" in config else (False,)
    rows, columns = range(7 - height), range(10 - width)
    if phase == caffe_pb2.TEST:
        rows, columns = [(6 - height) // 2], [(9 - width) // 2]
    assert places == {(i, j, mirror) for i in rows for j in columns for mirror in mirrors}


@pytest.mark.parametrize(
    ("config", "means"), [("", [0, 0, 0]), ("mean_value: 7", [7] * 3),
                          ("mean_value: 7 mean_value: 1.5 mean_value: 90", [7, 1.5, 90])],
)  # fmt: skip
def test_values_less_means_and_scaled(config: str, means: list[float]) -> None:
    transform = transformer(f"{config} scale: 0.25")
    y = np.empty(IMAGE.shape, np.float64)
    transform.apply(IMAGE, y)
    wanted = (IMAGE - np.reshape(means, (3, 1, 1))) * 0.25
    np.testing.assert_allclose(y, wanted, rtol=1e-12)
    assert transform.mean.shape == (1 if len(set(means)) == 1 else 3, 1, 1)
    np.testing.assert_array_equal(np.broadcast_to(transform.mean.ravel(), 3), means)
    with pytest.raises(LayerError, match="3 mean_value fields for 2 channels"):
        transformer("mean_value: [7, 1, 9]").output_shape((2, 4, 4))
    assert transformer("mean_value: [7, 1, 9]").output_shape((3, 4, 4)) == (3, 4, 4)


@pytest.mark.parametrize(("config", "color"), [("", None), ("force_color: true", True),
                                               ("force_gray: true", False)])  # fmt: skip
def test_how_images_are_decoded(config: str, color: bool | None) -> None:
    assert transformer(config).color is color


@pytest.mark.parametrize("name", ["resize_param { height: 3 width: 4 }", "noise_param { }"])
def test_one_of_each_is_possible(name: str) -> None:
    transformer(name)
    with pytest.raises(LayerError, match=f"2 {name.split()[0]}; one is possible here"):
        transformer(f"{name} {name}")


def test_a_mean_of_two_kinds_is_refused() -> None:
    with pytest.raises(LayerError, match="mean_file and mean_value cannot both be set"):
        transformer('mean_file: "x" mean_value: 1')
    with pytest.raises(LayerError, match="force_color and force_gray cannot both be set"):
        transformer("force_color: true force_gray: true")


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ("crop_size: 7", "crop_size", "crop_size 7 is larger than the image, 6 x 9"),
        ("crop_h: 7 crop_w: 2", "crop_h", "crop_h 7, crop_w 2 is larger than the image, 6 x 9"),
        ("crop_h: 2 crop_w: 10", "crop_h", "crop_h 2, crop_w 10 is larger"),
        ("mean_value: 1 mean_value: 2", "mean_value", "2 mean_value fields for 3 channels"),
    ],
)
def test_refused_for_the_image(config: str, field: str, says: str) -> None:
    with pytest.raises(LayerError, match=says) as caught:
        transformer(config).output_shape(IMAGE.shape)
    assert caught.value.field == f".transform_param.{field}"
