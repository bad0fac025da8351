from __future__ import annotations

from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_lite as caffe
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.proto import caffe_pb2

io = caffe.io


def interpolated(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resizing, one number at a time, with the pixels of the edge beyond it."""
    old_h, old_w, channels = image.shape
    made = np.zeros((height, width, channels))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * old_h / height - 0.5, 0), old_h - 1)
            x = min(max((j + 0.5) * old_w / width - 0.5, 0), old_w - 1)
            top, left = int(y), int(x)
            low, right = min(top + 1, old_h - 1), min(left + 1, old_w - 1)
            b, r = y - top, x - left
            made[i, j] = (
                image[top, left] * (1 - b) * (1 - r)
                + image[top, right] * (1 - b) * r
                + image[low, left] * b * (1 - r)
                + image[low, right] * b * r
            )
    return made


# -- messages


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 3, 4, 5), (2, 1, 2, 1, 3)])
def test_a_blob_of_any_shape_and_back(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    values, diff = rng.normal(size=(2, *shape)).astype(np.float32)
    blob = io.array_to_blobproto(values, diff)
    assert list(blob.shape.dim) == list(shape)
    np.testing.assert_array_equal(io.blobproto_to_array(blob), values)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), diff)


def test_a_blob_of_float64_is_stored_as_float32() -> None:
    blob = io.array_to_blobproto(np.array([0.1, 2]))
    assert len(blob.data) == 2
    assert not blob.double_data
    assert io.blobproto_to_array(blob).dtype == np.float32


def test_a_blob_in_the_old_form_has_four_axes() -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=2, height=3, width=4, data=range(24))
    array = io.blobproto_to_array(blob)
    assert array.shape == (1, 2, 3, 4)
    assert array[0, 1, 2, 3] == 23


@pytest.mark.parametrize(
    "blob",
    [
        caffe_pb2.BlobProto(data=range(100)),
        caffe_pb2.BlobProto(data=range(5), shape=caffe_pb2.BlobShape(dim=[2, 3])),
    ],
)
def test_a_blob_whose_shape_does_not_fit_is_a_value_error(blob: caffe_pb2.BlobProto) -> None:
    with pytest.raises(ValueError, match="blob of"):
        io.blobproto_to_array(blob)


def test_a_blob_without_a_shape_may_hold_one_number() -> None:
    assert io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])) == 123


def test_a_list_of_arrays_through_one_string() -> None:
    arrays = [np.arange(6.0).reshape(2, 3), np.array(7.0), np.zeros((1, 2, 1))]
    text = io.arraylist_to_blobprotovector_str(arrays)
    assert isinstance(text, bytes)
    back = io.blobprotovector_str_to_arraylist(text)
    assert [array.shape for array in back] == [(2, 3), (), (1, 2, 1)]
    for array, other in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(array, other)


def test_datums_of_bytes_and_of_floats() -> None:
    bytes_ = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    datum = io.array_to_datum(bytes_, label=3)
    assert (datum.channels, datum.height, datum.width, datum.label) == (2, 3, 4, 3)
    assert datum.data == bytes_.tobytes()
    np.testing.assert_array_equal(io.datum_to_array(datum), bytes_)
    floats = bytes_ / 8
    datum = io.array_to_datum(floats)
    assert not datum.HasField("label")
    assert list(datum.float_data) == list(floats.reshape(-1))
    assert io.datum_to_array(datum).dtype == np.float64
    np.testing.assert_array_equal(io.datum_to_array(datum), floats)


def test_a_label_makes_a_datum_longer() -> None:
    image = np.ones((10, 10, 3))
    with_label, without = io.array_to_datum(image, 1), io.array_to_datum(image)
    assert len(with_label.SerializeToString()) > len(without.SerializeToString())
    assert io.array_to_datum(image, 0).HasField("label")


def test_a_datum_has_three_axes() -> None:
    with pytest.raises(ValueError, match=r"not \(2, 3\)"):
        io.array_to_datum(np.zeros((2, 3)))


# -- images


def saved(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> str:
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path, **options)
    return str(path)


COLOURS = np.array([[[255, 0, 51], [0, 102, 255]], [[3, 4, 5], [200, 100, 50]]], np.uint8)


def test_a_colour_image_is_rgb_from_0_to_1(tmp_path: Path) -> None:
    image = io.load_image(saved(tmp_path / "a.png", COLOURS))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, COLOURS / 255, rtol=1e-6)
    np.testing.assert_allclose(image[0, 0], [1, 0, 0.2], rtol=1e-6)


def test_an_image_is_read_from_an_open_file(tmp_path: Path) -> None:
    name = tmp_path / saved(tmp_path / "a.png", COLOURS)
    wanted = io.load_image(name)
    written = BytesIO()
    written.write(name.read_bytes())  # and not rewound, as open_nsfw's programs leave it
    np.testing.assert_array_equal(io.load_image(written), wanted)
    with name.open("rb") as file:
        np.testing.assert_array_equal(io.load_image(file), wanted)
    for bad in BytesIO(b"no image"), StringIO("text"), file:
        with pytest.raises(DataError, match="image"):
            io.load_image(bad)


def test_a_colour_image_in_grey_is_its_brightness(tmp_path: Path) -> None:
    image = io.load_image(tmp_path / saved(tmp_path / "a.png", COLOURS), color=False)
    assert image.shape == (2, 2, 1)
    np.testing.assert_allclose(image[0, 0, 0], 0.2125 + 0.0721 * 0.2, rtol=1e-5)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    pixels = np.dstack([COLOURS, np.zeros((2, 2), np.uint8)])
    image = io.load_image(saved(tmp_path / "a.png", pixels))
    np.testing.assert_allclose(image, COLOURS / 255, rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_image_in_colour_is_repeated(tmp_path: Path, channels: int) -> None:
    grey = np.array([[0, 51, 255]], np.uint8)
    image = io.load_image(saved(tmp_path / "a.png", grey), color=channels == 3)
    assert image.shape == (1, 3, channels)
    np.testing.assert_allclose(image[0, 1], [0.2] * channels, rtol=1e-6)


def test_sixteen_bits_and_palettes(tmp_path: Path) -> None:
    deep = io.load_image(saved(tmp_path / "deep.png", np.array([[0, 257, 65535]], np.uint16)))
    np.testing.assert_allclose(deep[0, :, 2], [0, 1 / 255, 1], rtol=1e-6)
    few = io.load_image(saved(tmp_path / "few.png", COLOURS, "P"))
    assert few.shape == (2, 2, 3)
    bits = io.load_image(saved(tmp_path / "bits.png", np.array([[0, 255]], np.uint8), "1"), False)
    assert bits.ravel().tolist() == [0, 1]


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'none\.png": No such file'):
        io.load_image(tmp_path / "none.png")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(Exception, match=r'cannot read the image ".*text\.jpg"'):
        io.load_image(tmp_path / "text.jpg")


@pytest.mark.parametrize("size", [(4, 9), (7, 3), (13, 11), (5, 6), (1, 1), (5, 12)])
def test_resizing_is_bilinear(size: tuple[int, int], rng: np.random.Generator) -> None:
    image = rng.normal(size=(5, 6, 3)) * 40
    made = io.resize_image(image, size)
    assert made.dtype == np.float32
    assert made.shape == (*size, 3)
    np.testing.assert_allclose(made, interpolated(image, *size), rtol=1e-5, atol=1e-5)


def test_resizing_knows_rows_from_columns() -> None:
    image = np.arange(8.0).reshape(2, 4, 1)  # value 4 row + column
    np.testing.assert_allclose(io.resize_image(image, (1, 2))[0, :, 0], [2.5, 4.5])
    np.testing.assert_allclose(io.resize_image(image, (4, 4))[:, 0, 0], [0, 1, 3, 4])
    np.testing.assert_allclose(io.resize_image(image, (2, 2), interp_order=0)[0, :, 0], [1, 3])


def test_resizing_takes_bytes_constants_and_any_number_of_channels() -> None:
    bytes_ = np.array([[[0], [255]]], np.uint8)
    np.testing.assert_allclose(io.resize_image(bytes_, (1, 1)), 127.5)
    assert (io.resize_image(np.full((3, 3, 5), 7), (2, 9)) == 7).all()


@pytest.mark.parametrize(
    ("shape", "dims", "order", "says"),
    [
        ((3, 3, 1), (2, 2), 3, "interp_order 3"),
        ((3, 3), (2, 2), 1, "height, width, channels"),
        ((3, 3, 1), (0, 2), 1, "none of them 0"),
        ((3, 3, 1), (2,), 1, "height, width"),
    ],
)
def test_resizing_refuses(
    shape: tuple[int, ...], dims: tuple[int, ...], order: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        io.resize_image(np.zeros(shape), dims, order)


def test_ten_crops_in_order(rng: np.random.Generator) -> None:
    images = [rng.normal(size=(8, 9, 3)).astype(np.float32) for _ in range(2)]
    crops = io.oversample(images, (3, 4))
    assert crops.shape == (20, 3, 4, 3)
    for image, ten in zip(images, crops.reshape(2, 10, 3, 4, 3), strict=True):
        expected = [
            image[:3, :4],
            image[:3, 5:],
            image[5:, :4],
            image[5:, 5:],
            image[2:5, 2:6],  # the centre at 2.5, 2.5, cut off
        ]
        for crop, mirrored, wanted in zip(ten[:5], ten[5:], expected, strict=True):
            np.testing.assert_array_equal(crop, wanted)
            np.testing.assert_array_equal(mirrored, wanted[:, ::-1])


def test_crops_larger_than_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot cut 5x2 out of images of 4x4"):
        io.oversample([np.zeros((4, 4, 3))], (5, 2))


# -- Transformer

SHAPE = (10, 3, 4, 5)


@pytest.fixture
def transformer() -> Any:
    return io.Transformer({"data": SHAPE})


def test_each_step_in_its_order(transformer: Any, rng: np.random.Generator) -> None:
    image = rng.uniform(size=(4, 5, 3)).astype(np.float32)
    mean = np.array([104, 117, 123.0])
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 0, 1))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", mean)
    transformer.set_input_scale("data", 0.017)
    made = transformer.preprocess("data", image)
    assert made.shape == SHAPE[1:]
    assert made.dtype == np.float32
    for c, source in enumerate((2, 0, 1)):
        expected = (image[:, :, source] * 255 - mean[c]) * 0.017
        np.testing.assert_allclose(made[c], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(transformer.deprocess("data", made), image, atol=1e-5)
    np.testing.assert_allclose(transformer.deprocess("data", made[None]), image, atol=1e-5)


def test_nothing_is_done_that_was_not_set(transformer: Any) -> None:
    image = np.arange(60.0).reshape(4, 5, 3)
    made = transformer.preprocess("data", image)
    np.testing.assert_array_equal(made, image)
    made += 1
    assert image[0, 0, 0] == 0  # the caller's array is not the net's


def test_an_image_of_another_size_is_resized(transformer: Any, rng: np.random.Generator) -> None:
    image = rng.uniform(size=(9, 7, 3))
    transformer.set_transpose("data", (2, 0, 1))
    made = transformer.preprocess("data", image)
    np.testing.assert_allclose(made.transpose(1, 2, 0), interpolated(image, 4, 5), rtol=1e-4)


def test_what_was_set_can_be_looked_at(transformer: Any) -> None:
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_input_scale("data", 0.5)
    transformer.set_mean("data", np.array([1, 2, 3]))
    assert transformer.inputs == {"data": SHAPE}
    assert transformer.transpose == {"data": (2, 0, 1)}
    assert transformer.channel_swap == {"data": (2, 1, 0)}
    assert transformer.raw_scale == {"data": 255}
    assert transformer.input_scale == {"data": 0.5}
    assert transformer.mean["data"].shape == (3, 1, 1)


def test_means_of_every_kind(transformer: Any, rng: np.random.Generator) -> None:
    image = np.zeros((3, 4, 5), np.float32)
    transformer.set_transpose("data", (0, 1, 2))
    transformer.inputs = {"data": (1, 3, 3, 4)}  # so that an image (3, 4, 5) keeps its size
    full = rng.normal(size=(3, 3, 4))
    transformer.set_mean("data", full)
    np.testing.assert_array_equal(transformer.mean["data"], full)
    transformer.set_mean("data", full[0])  # one for all channels
    assert transformer.mean["data"].shape == (1, 3, 4)
    big = rng.uniform(size=(3, 9, 8))
    transformer.set_mean("data", big)
    expected = interpolated(big.transpose(1, 2, 0), 3, 4).transpose(2, 0, 1)
    np.testing.assert_allclose(transformer.mean["data"], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="does not fit an image"):
        transformer.preprocess("data", image)


REFUSALS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda t: t.set_transpose("data", (1, 0)), "a transpose of 2 axes"),
    (lambda t: t.set_channel_swap("data", (1, 0)), "2 channels to swap, but 3"),
    (lambda t: t.set_mean("data", np.zeros(4)), "a mean of 4 channels"),
    (lambda t: t.set_mean("data", np.zeros((2, 4, 5))), r"a mean of \(2, 4, 5\)"),
    (lambda t: t.set_mean("data", np.zeros((1, 3, 4, 5))), r"a mean of \(1, 3, 4, 5\)"),
    (lambda t: t.set_raw_scale("x", 1), '"x" is not one of the inputs'),
    (lambda t: t.set_input_scale("x", 1), '"x" is not one of the inputs'),
    (lambda t: t.preprocess("x", np.zeros((4, 5, 3))), '"x" is not one of the inputs'),
    (lambda t: t.deprocess("x", np.zeros((3, 4, 5))), '"x" is not one of the inputs'),
]


@pytest.mark.parametrize(("call", "says"), REFUSALS)
def test_what_does_not_fit_is_a_value_error(
    transformer: Any, call: Callable[[Any], Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as told:
        call(transformer)
    assert isinstance(told.value, CaffeError)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
