"""Images with label images: what belongs together stays together, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_lite.layers.image_pairs  # noqa: F401  (registers the types)
from caffe_lite.errors import DataError, LayerError
from caffe_lite.proto import caffe_pb2
from tests.cases.data import png
from tests.data.conftest import Make, run


def write(count: int = 5, height: int = 20, width: int = 30) -> None:
    """Images whose label images are their own red channel."""
    lines = []
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (3, height, width), np.uint8)
        Path(f"{i}.png").write_bytes(png(pixels))
        Path(f"{i}.label.png").write_bytes(png(pixels[2:]))
        lines.append(f"{i}.png {i}.label.png\n")
    Path("list.txt").write_text("".join(lines))


DENSE = (
    'type: "DenseImageData" dense_image_data_param { source: "list.txt" batch_size: 2 %s } '
    "transform_param { %s }"
)
IMAGES = (
    'type: "%s" image_data_param { source: "list.txt" batch_size: 2 %s } transform_param { %s }'
)


@pytest.mark.parametrize(
    "config",
    [
        DENSE % ("shuffle: true", "mirror: true crop_size: 7"),
        DENSE % ("", "mirror: true crop_h: 5 crop_w: 12"),
        DENSE % ("mirror: true crop_height: 9 crop_width: 14", "crop_h: 5 crop_w: 12"),
        IMAGES % ("ImageSegData", "label_type: PIXEL", "mirror: true crop_size: 9"),
        IMAGES % ("ImageLabelmapData", "shuffle: true", "mirror: true crop_size: 9"),
    ],
)
def test_labels_follow_their_pixels(config: str, make: Make) -> None:
    write()
    layer = make(config)
    windows = set()
    for _ in range(20):
        data, labels = run(layer)
        red = data[:, 2:]
        np.testing.assert_array_equal(labels, red >= 128 if "map" in config else red)
        windows.add(labels.tobytes())
    assert len(windows) == 20


def test_mirror_in_the_layers_own_message(make: Make) -> None:
    """As the copies of SegNet's layer with a field of that name do it."""
    write()
    kinds = set()
    for own, of_transform in (("mirror: true", ""), ("", "mirror: true"), ("", "")):
        layer = make(DENSE % (own, of_transform))
        kinds.add(b"".join(run(layer)[0].tobytes() for _ in range(8)))
    assert len(kinds) == 2  # the first two draw the same numbers


def test_small_labels_follow_their_pixels(make: Make) -> None:
    """Images of squares of 2 x 2 equal pixels, and labels for each square."""
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (3, 6, 10), np.uint8)
        Path(f"{i}.png").write_bytes(png(pixels.repeat(2, axis=1).repeat(2, axis=2)))
        Path(f"{i}.label.png").write_bytes(png(pixels[2:]))
    Path("list.txt").write_text("".join(f"{i}.png {i}.label.png\n" for i in range(2)))
    kinds = set()
    for config in (
        "label_divide_factor: 2",
        "label_divide_factor: 2 new_height: 12 new_width: 20",
    ):
        layer = make(DENSE % (config, "mirror: true"))
        for _ in range(8):
            data, labels = run(layer)
            np.testing.assert_array_equal(labels, data[:, 2:, ::2, ::2])
            kinds.add(labels.tobytes())
    assert len(kinds) == 4, "either image may be mirrored"


def test_crops_that_are_larger_than_their_image(make: Make) -> None:
    write(1)
    says = r"crop_height 21, crop_width 30 is larger than the image, 20 x 30"
    with pytest.raises(LayerError, match=says):
        make(DENSE % ("crop_height: 21 crop_width: 30", ""))


def write_places(height: int = 7, width: int = 9) -> None:
    """An image and its labels, each pixel 16 times its row and its column."""
    pixels = (np.arange(height)[:, None] * 16 + np.arange(width)).astype(np.uint8)
    Path("a.png").write_bytes(png(np.stack([pixels] * 3)))
    Path("b.png").write_bytes(png(pixels[None]))
    Path("list.txt").write_text("a.png b.png\n")


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
@pytest.mark.parametrize(
    ("config", "drawn"),
    [
        (DENSE % ("crop_height: 5 crop_width: 6", ""), True),
        (IMAGES % ("ImageSegData", "label_type: PIXEL", "crop_h: 5 crop_w: 6"), False),
    ],
)
def test_which_parts_may_be_cut_out(config: str, phase: int, drawn: bool, make: Make) -> None:
    """Of 7 x 9 any, in TRAIN; in TEST the middle, but for SegNet's own crop."""
    write_places()
    tops = 2 if drawn else 3
    layer = make(config, phase=phase, tops=tops)
    places = set()
    for _ in range(60):
        data, labels = run(layer, tops)[:2]
        assert data.shape[1:] == (3, 5, 6)
        np.testing.assert_array_equal(labels, data[:, :1])
        places |= {divmod(int(each[0, 0, 0]), 16) for each in data}
    every = {(row, column) for row in range(3) for column in range(4)}
    assert places == (every if drawn or phase == caffe_pb2.TRAIN else {(1, 1)})


@pytest.mark.parametrize(
    ("crop", "size"),
    [("", (7, 9)), ("crop_height: 7 crop_width: 9", (7, 9)),
     ("crop_height: 7 crop_width: 3", (7, 3)),
     ("crop_height: 2 crop_width: 9", (2, 9))],
)  # fmt: skip
def test_a_crop_may_be_as_large_as_the_image(crop: str, size: tuple[int, int], make: Make) -> None:
    write_places()
    data, labels = run(make(DENSE % (crop, "")))
    assert (data.shape, labels.shape) == ((2, 3, *size), (2, 1, *size))
    for wrong in ("crop_height: 8 crop_width: 9", "crop_height: 7 crop_width: 10"):
        with pytest.raises(LayerError, match="is larger than the image, 7 x 9"):
            make(DENSE % (wrong, ""))


def test_an_image_smaller_than_the_crop_lies_at_the_top_left(make: Make) -> None:
    write_places()
    for mirror in ("", "mirror: true"):
        transform = f"crop_h: 10 crop_w: 11 mean_value: 5 scale: 0.5 {mirror}"
        layer = make(IMAGES % ("ImageSegData", "label_type: PIXEL ignore_label: 200", transform),
                     tops=3)  # fmt: skip
        kinds = set()
        for _ in range(8):
            for each, labels, size in zip(*run(layer, 3), strict=True):
                assert size.ravel().tolist() == [7, 9]
                turned = labels[0, 0, 0] == 200
                kinds.add(bool(turned))
                y, z = (part[:, :, ::-1] if turned else part for part in (each, labels))
                pixels = np.arange(7)[:, None] * 16 + np.arange(9)
                np.testing.assert_array_equal(z[0, :7, :9], pixels)
                np.testing.assert_array_equal(y[:, :7, :9], [(pixels - 5) * 0.5] * 3)
                assert (y[:, 7:] == 0).all() and (y[:, :, 9:] == 0).all()  # noqa: PT018
                assert (z[:, 7:] == 200).all() and (z[:, :, 9:] == 200).all()  # noqa: PT018
        assert kinds == ({False, True} if mirror else {False})


def test_scales_are_drawn_in_train_only(make: Make) -> None:
    write_places(8, 12)
    transform = "crop_size: 40 scale_factors: 0.25 scale_factors: 2 scale_factors: 0.05"
    config = IMAGES % ("ImageSegData", "label_type: PIXEL", transform)
    for phase, sizes in ((caffe_pb2.TRAIN, {2 * 3, 16 * 24, 1}), (caffe_pb2.TEST, {8 * 12})):
        layer = make(config, phase=phase, tops=3)
        found = {int((each != 255).sum()) for _ in range(20) for each in run(layer, 3)[1]}
        assert found == sizes


def test_scaled_and_padded_labels(make: Make) -> None:
    """A flat image of two halves: where it is bright, the label is 1, and 255 in the padding."""
    pixels = np.zeros((3, 20, 30), np.uint8)
    pixels[:, :, 15:] = 200
    Path("a.png").write_bytes(png(pixels))
    Path("b.png").write_bytes(png(pixels[:1] // 200))
    Path("list.txt").write_text("a.png b.png\n")
    layer = make(
        IMAGES
        % (
            "ImageSegData",
            "label_type: PIXEL",
            "mirror: true crop_size: 32 mean_value: 100 scale_factors: 0.5 scale_factors: 2",
        ),
        tops=3,
    )
    sizes = set()
    for _ in range(20):
        data, labels, dims = run(layer, 3)
        assert dims.tolist() == [[[[20, 30]]]] * 2  # before it is scaled
        bright, ignored = data > 0, labels == 255
        assert (data[np.broadcast_to(ignored, data.shape)] == 0).all()
        clear = ~np.broadcast_to(ignored, data.shape) & (np.abs(data) > 90)
        np.testing.assert_array_equal(
            np.broadcast_to(labels == 1, data.shape)[clear], bright[clear]
        )
        sizes |= {(32 * 32 - each.sum()) for each in ignored}
    assert sizes == {10 * 15, 32 * 32}


@pytest.mark.parametrize(
    ("kind", "line", "ignored", "labels"),
    [
        ("IMAGE", "a.png 300", 7, {255, 7}),
        ("IMAGE", "a.png -2", 300, {0, 255}),
        ("NONE", "a.png", -1, {0}),
    ],
)
def test_labels_are_bytes(
    kind: str, line: str, ignored: int, labels: set[int], make: Make
) -> None:
    """As in DeepLab, whose label images OpenCV fills: what is too large becomes 255."""
    Path("a.png").write_bytes(png(np.zeros((3, 4, 5), np.uint8)))
    Path("list.txt").write_text(f"{line}\n")
    config = f"label_type: {kind} ignore_label: {ignored}"
    layer = make(IMAGES % ("ImageSegData", config, "crop_size: 6"), tops=3)
    assert set(run(layer, 3)[1].ravel()) == labels


@pytest.mark.parametrize(
    "config",
    [
        DENSE % ("shuffle: true rand_skip: 3", "mirror: true crop_size: 7"),
        IMAGES
        % (
            "ImageSegData",
            "label_type: PIXEL shuffle: true",
            "mirror: true crop_size: 9 scale_factors: 0.5 scale_factors: 1",
        ),
        IMAGES % ("ImageLabelmapData", "shuffle: true", "mirror: true crop_size: 9"),
    ],
)
def test_a_state_continues_to_the_bit(config: str, make: Make) -> None:
    write()
    layer = make(config)
    for _ in range(4):
        run(layer)
    state = layer.get_state()
    wanted = [run(layer) for _ in range(5)]
    continued = make(config, seed=8)
    run(continued)
    continued.set_state(state)
    for batch in wanted:
        for x, y in zip(batch, run(continued), strict=True):
            np.testing.assert_array_equal(x, y)


def test_sizes_that_differ(make: Make) -> None:
    write(1)
    Path("0.label.png").write_bytes(png(np.zeros((1, 19, 30), np.uint8)))
    layer = make(DENSE % ("", ""))
    with pytest.raises(
        DataError,
        match=r'^image "0.png": its label image "0.label.png" has 19 x 30 pixels, not 20 x 30$',
    ):
        run(layer)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a.png\n", r'list\.txt:1: a line must be two words, not "a\.png"'),
        ("a.png b.png\nc d e\n", r'list\.txt:2: a line must be two words, not "c d e"'),
        ("\n", r'the list of images and label images "list\.txt" is empty'),
    ],
)
def test_lists_of_pairs_that_are_refused(content: str, says: str, make: Make) -> None:
    Path("list.txt").write_text(content)
    with pytest.raises(DataError, match=says):
        make(DENSE % ("", ""))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a.png\n", r'list\.txt:1: a line must be a file name and numbers, not "a\.png"'),
        ("a.png 1 x\n", r"list\.txt:1: a line must be"),
        ("a.png nan\n", r"list\.txt:1: a line must be"),
        ("a.png 1 2\nb.png 1\n", r"list\.txt:2: has 1 labels, but the first line 2"),
        ("\n", r'the image list "list\.txt" is empty'),
    ],
)
def test_lists_of_labels_that_are_refused(content: str, says: str, make: Make) -> None:
    Path("list.txt").write_text(content)
    with pytest.raises(DataError, match=says):
        make(IMAGES % ("MultiLabelImageData", "", ""))


def test_an_empty_list_without_labels(make: Make) -> None:
    Path("list.txt").write_text("")
    with pytest.raises(DataError, match=r'the image list "list\.txt" is empty'):
        make(IMAGES % ("ImageSegData", "label_type: NONE", ""))


# -- as their authors wrote them -----------------------------------------------------------

AUTHORS = {
    # alexgkendall/SegNet-Tutorial, Models/segnet_train.prototxt
    "DenseImageData": """name: "data" type: "DenseImageData" top: "data" top: "label"
      dense_image_data_param { source: "list.txt" batch_size: 4 shuffle: true }""",
    # s9xie/hed, examples/hed/train_val.prototxt
    "ImageLabelmapData": """name: "data" type: "ImageLabelmapData" top: "data" top: "label"
      include { phase: TRAIN } transform_param { mirror: false mean_value: 104.00699
      mean_value: 116.66877 mean_value: 122.67892 } image_data_param { root_folder: "./"
      source: "list.txt" batch_size: 1 shuffle: true new_height: 0 new_width: 0 }""",
    # DeepLab's train.prototxt
    "ImageSegData": """name: "data" type: "ImageSegData" top: "data" top: "label" top: "data_dim"
      include { phase: TRAIN } image_data_param { root_folder: "./" source: "list.txt"
      batch_size: 2 shuffle: true label_type: PIXEL } transform_param { mean_value: 104.008
      mean_value: 116.669 mean_value: 122.675 crop_size: 321 mirror: true }""",
}


@pytest.mark.parametrize("name", AUTHORS)
def test_layers_as_their_authors_wrote_them(name: str, make: Make) -> None:
    write()
    tops = 3 if name == "ImageSegData" else 2
    layer = make(AUTHORS[name], tops=tops)
    found = run(layer, tops)
    size = (321, 321) if name == "ImageSegData" else (20, 30)
    count = {"DenseImageData": 4, "ImageLabelmapData": 1, "ImageSegData": 2}[name]
    assert [each.shape for each in found[:2]] == [(count, 3, *size), (count, 1, *size)]
