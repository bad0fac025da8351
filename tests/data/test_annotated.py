"""Images with boxes, through the layer AnnotatedData: SSD's batches, and boxes on their pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import caffe_lite.layers.annotated_data  # noqa: F401  (registers the type)
from caffe_lite.blob import Blob
from caffe_lite.data.db import create_db
from caffe_lite.errors import DataError
from caffe_lite.layers import registry
from caffe_lite.proto import caffe_pb2, text
from tests.cases.annotated_data import annotated
from tests.data.conftest import Make, run
from tests.project import copy_golden, golden

RECORDED = [path.stem for path in golden("forks/annotated_data") if path.match("*.npz")]
DB = 'type: "AnnotatedData" data_param { source: "db" backend: LMDB batch_size: %d } '


def write(records: list[caffe_pb2.AnnotatedDatum]) -> None:
    with create_db("db", "lmdb") as writer:
        for index, record in enumerate(records):
            writer.put(b"%08d" % index, record.SerializeToString())


@pytest.mark.parametrize("name", RECORDED)
def test_batches_are_those_of_ssd(name: str, make: Make, tmp_path: Path) -> None:
    copy_golden("forks/annotated_data", tmp_path)
    net = caffe_pb2.NetParameter()
    text.parse(Path(f"{name}.prototxt").read_text(), net, name)
    layer = make(text.format(net.layer[0]), caffe_pb2.TEST)
    with np.load(f"{name}.npz") as recorded:
        for batch in range(4):
            data, label = run(layer)
            np.testing.assert_array_equal(data, recorded[f"data/{batch}"])
            wanted = recorded[f"label/{batch}"]
            np.testing.assert_allclose(label, wanted, rtol=0, atol=6e-8)  # one rounding


# -- boxes stay on their pixels ------------------------------------------------------------

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def painted() -> caffe_pb2.AnnotatedDatum:
    """A dark image of 90 x 120 with three rectangles, each in a colour of its own."""
    image = np.full((3, 90, 120), 20, np.uint8)
    boxes = [(10, 8, 50, 40), (60, 20, 110, 50), (20, 55, 80, 85)]
    for colour, (x0, y0, x1, y1) in zip(COLOURS, boxes, strict=True):
        image[:, y0:y1, x0:x1] = np.array(colour)[:, None, None]
    return annotated([(i + 1, i, i == 1, box) for i, box in enumerate(boxes)], image)


def seen(image: np.ndarray, label: int) -> np.ndarray | None:
    """The box of the pixels of a label's colour, in pixels; None if there are none."""
    channel = int(np.argmax(COLOURS[label - 1]))
    others = [c for c in range(3) if c != channel]
    mask = (image[channel] > 150) & (image[others] < 100).all(axis=0)
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


STEPS = {
    "whole": "",
    "warp": "transform_param { resize_param { height: 60 width: 50 } }",
    "fit": "transform_param { resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 60 "
    "width: 40 pad_value: 7 } }",
    "fit the other side": "transform_param { resize_param { height: 50 width: 100 "
    "resize_mode: FIT_LARGE_SIZE_AND_PAD pad_mode: REPEAT_NEAREST } }",
    "cover": "transform_param { resize_param { resize_mode: FIT_SMALL_SIZE height: 60 "
    "width: 60 } }",
    "mirror": "transform_param { mirror: true }",
    "crop": "transform_param { mirror: true crop_h: 50 crop_w: 70 }",
    "expand": "transform_param { expand_param { max_expand_ratio: 3 } mean_value: 20 "
    "resize_param { height: 80 width: 100 } }",
    "sample": "transform_param { resize_param { height: 70 width: 80 } } annotated_data_param { "
    "batch_sampler { max_sample: 1 sampler { min_scale: 0.6 min_aspect_ratio: 0.5 "
    "max_aspect_ratio: 2 } } }",
    "jitter": "transform_param { resize_param { height: 70 width: 80 } } annotated_data_param { "
    "yolo_data_jitter: 0.6 }",
    "policies": "transform_param { mirror: true resize_param { height: 60 width: 80 prob: 0.4 } "
    "resize_param { height: 90 width: 70 prob: 0.6 resize_mode: FIT_LARGE_SIZE_AND_PAD } }",
    "all": "transform_param { mirror: true crop_size: 70 mean_value: 20 resize_param { height: 80 "
    "width: 90 interp_mode: LINEAR interp_mode: AREA interp_mode: CUBIC interp_mode: NEAREST } "
    "expand_param { max_expand_ratio: 1.5 } distort_param { brightness_prob: 1 "
    "brightness_delta: 15 contrast_prob: 1 contrast_lower: 0.9 contrast_upper: 1.1 } } "
    "annotated_data_param { batch_sampler { max_sample: 1 sampler { min_scale: 0.6 } } }",
}


@pytest.mark.parametrize("step", STEPS)
def test_boxes_follow_their_pixels(step: str, make: Make) -> None:
    write([painted()])
    layer = make(DB % 1 + STEPS[step])
    compared, tops = 0, set()
    for _ in range(30):
        (image,), label = run(layer)
        tops.add(image.tobytes())
        if "mean_value" in STEPS[step]:
            image = image + 20
        height, width = image.shape[1:]
        rows = {int(row[1]): row for row in label[0, 0]}
        for colour in (1, 2, 3):
            found = seen(image, colour)
            if colour not in rows:
                # at most a line that interpolation has coloured, or a box cut to less than a pixel
                assert found is None or min(found[2:] - found[:2]) <= 2
                continue
            assert rows[colour][2] == colour - 1
            assert rows[colour][7] == (colour == 2)
            box = rows[colour][3:7] * np.array([width, height] * 2)
            if min(box[2:] - box[:2]) < 4:
                continue
            assert found is not None
            np.testing.assert_allclose(found, box, rtol=0, atol=3)
            compared += 1
    assert compared > 30
    moves = {"whole", "warp", "fit", "fit the other side", "cover"}
    assert (len(tops) == 1) == (step in moves)


def test_labels_of_images_without_boxes_are_one_row(make: Make) -> None:
    write([annotated([], np.zeros((3, 4, 5), np.uint8))])
    layer = make(DB % 2)
    np.testing.assert_array_equal(run(layer)[1], np.full((1, 1, 1, 8), -1))


# -- MobileNet-YOLO's labels, crops and sizes ------------------------------------------------


def test_yolos_boxes_follow_their_pixels(make: Make) -> None:
    """With its jitter, which nobody asked for, and its three numbers more."""
    write([painted()])
    layer = make(DB % 2 + "annotated_data_param { yolo_data_type: 1 } " + STEPS["warp"])
    compared, sizes = 0, set()
    for _ in range(20):
        images, labels = run(layer)
        assert labels.shape == (2, 1, 300, 5)
        for image, rows in zip(images, labels[:, 0], strict=True):
            size = np.array([image.shape[2], image.shape[1]])
            count = int((rows[:, 3] > 0).sum())
            assert (rows[count:] == 0).all()
            for label, *numbers in rows[:count]:
                middle, sides = np.array(numbers[:2]) * size, np.array(numbers[2:]) * size
                if min(sides) < 4:
                    continue
                found = seen(image, int(label) + 1)
                assert found is not None
                box = np.concatenate([middle - sides / 2, middle + sides / 2])
                np.testing.assert_allclose(found, box, rtol=0, atol=3)
                compared += 1
                sizes.add(tuple(sides.round()))
    assert compared > 60
    assert len(sizes) > 10


def test_more_boxes_than_yolos_rows(make: Make) -> None:
    write(
        [annotated([(1, i, 0, (0, 0, 3, 3)) for i in range(301)], np.zeros((3, 4, 5), np.uint8))]
    )
    layer = make(DB % 1 + "annotated_data_param { yolo_data_type: 1 yolo_data_jitter: 0 }")
    with pytest.raises(DataError, match=r'"00000000" of "db": it has 301 boxes, .* have 300 rows'):
        run(layer)


def test_without_yolos_fields_nothing_is_jittered(make: Make) -> None:
    write([painted()])
    for config in ("", "annotated_data_param { yolo_data_type: 1 batch_sampler { } }"):
        layer = make(DB % 1 + config)
        assert len({run(layer)[0].tobytes() for _ in range(12)}) == 1


def test_memory_is_asked_for_the_largest_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write([painted()])
    param = caffe_pb2.LayerParameter(phase=caffe_pb2.TRAIN)
    text.parse(DB % 1 + STEPS["policies"], param, "layer")
    layer = registry.create(param, np.float32, np.random.default_rng(1))
    tops = [Blob(), Blob()]
    layer.build([], tops)
    layer.close()
    assert tops[0].shape == (1, 3, 90, 70)


def test_a_policy_is_for_ten_batches(make: Make) -> None:
    write([painted()])
    layer = make(DB % 1 + STEPS["policies"])
    sizes = []
    for _ in range(25):
        sizes += [run(layer)[0].shape[2:] for _ in range(10)]
        assert len(set(sizes[-10:])) == 1, "a policy ended early"
    assert set(sizes) == {(60, 80), (90, 70)}
    assert 0.2 < np.mean([size == (60, 80) for size in sizes]) < 0.6


@pytest.mark.parametrize("order", [1, -1])
def test_memory_is_asked_for_the_largest_size(
    make: Make, order: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the first batch, which is small; the largest is neither the highest nor widest."""
    caplog.set_level(logging.INFO, "caffe_lite")
    sizes = [(30, 80), (90, 20), (60, 70)][::order]
    write([painted()])
    policies = " ".join(f"resize_param {{ height: {h} width: {w} prob: 0 }}" for h, w in sizes)
    policies += " resize_param { height: 10 width: 10 prob: 1 }"
    make(DB % 2 + f"transform_param {{ {policies} }}")
    assert "output data size: 2,3,60,70" in caplog.text


# -- always the same -----------------------------------------------------------------------

RANDOM = (
    DB % 2 + "transform_param { mirror: true distort_param { hue_prob: 0.5 hue_delta: 20 "
    "saturation_prob: 0.5 saturation_lower: 0.5 saturation_upper: 1.5 random_order_prob: 0.5 } "
    "expand_param { max_expand_ratio: 2 prob: 0.5 } resize_param { height: 20 width: 30 "
    "interp_mode: LINEAR interp_mode: LANCZOS4 } } annotated_data_param { batch_sampler { } "
    "batch_sampler { max_sample: 1 sampler { min_scale: 0.3 } sample_constraint { "
    "min_jaccard_overlap: 0.3 } } }"
)


def five() -> list[caffe_pb2.AnnotatedDatum]:
    random = np.random.default_rng(8)
    return [
        annotated(
            [(1, 0, 0, (2, 3, 20, 18))], random.integers(0, 256, (3, 24, 32), np.uint8), i % 2 == 0
        )
        for i in range(5)
    ]


def test_the_seed_decides(make: Make) -> None:
    write(five())
    first, again, other = (make(RANDOM, seed=seed) for seed in (1, 1, 2))
    differ = False
    for _ in range(6):
        a, b, c = run(first), run(again), run(other)
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
        differ |= a[0].tobytes() != c[0].tobytes()
    assert differ


POLICIES = (
    DB % 2
    + STEPS["policies"]
    + " annotated_data_param { yolo_data_type: 1 yolo_data_jitter: 0.5 }"
)


@pytest.mark.parametrize(("config", "before"), [(RANDOM, 3), (POLICIES, 3), (POLICIES, 10)])
def test_a_state_continues_to_the_bit(config: str, before: int, make: Make) -> None:
    write(five())
    layer = make(config)
    for _ in range(before):
        run(layer)
    state = layer.get_state()
    wanted = [run(layer) for _ in range(12)]
    continued = make(config, seed=9)
    run(continued)
    continued.set_state(state)
    for batch in wanted:
        for x, y in zip(batch, run(continued), strict=True):
            np.testing.assert_array_equal(x, y)


# -- refusals ------------------------------------------------------------------------------


def test_records_that_are_none(make: Make) -> None:
    with create_db("db", "lmdb") as writer:
        writer.put(b"a", b"\xff")
    with pytest.raises(DataError, match=r'record "a" of "db": the 1 bytes .* no.* AnnotatedDatum'):
        make(DB % 1)


def test_plain_datums_are_named(make: Make) -> None:
    with create_db("db", "lmdb") as writer:
        writer.put(b"a", caffe_pb2.Datum(channels=1, height=1, width=1).SerializeToString())
    with pytest.raises(DataError, match='record "a" of "db": '):
        make(DB % 1)


def broken(change: Callable[[caffe_pb2.AnnotatedDatum], None]) -> None:
    records = five()
    change(records[1])
    write(records)


def test_a_record_without_a_type(make: Make) -> None:
    broken(lambda record: record.ClearField("type"))
    with pytest.raises(DataError, match='record "00000001" of "db": it has no annotation type'):
        run(make(DB % 2))
    run(make(DB % 2 + "annotated_data_param { anno_type: BBOX }"))


def test_a_record_of_another_type(make: Make) -> None:
    broken(lambda record: setattr(record, "type", 2))
    with pytest.raises(DataError, match="its annotation type is 2, not BBOX"):
        run(make(DB % 2))


def test_a_box_that_is_not_finite(make: Make) -> None:
    def change(record: caffe_pb2.AnnotatedDatum) -> None:
        record.annotation_group[0].annotation[0].bbox.xmax = float("nan")

    broken(change)
    with pytest.raises(DataError, match=r'record "00000001" .* a box .* is not finite'):
        run(make(DB % 2))


def test_images_of_several_sizes(make: Make) -> None:
    write([*five(), annotated([], np.zeros((3, 5, 6), np.uint8))])
    layer = make(DB % 6)
    with pytest.raises(DataError, match=r"shape \(3, 5, 6\), but the first of its batch"):
        run(layer)


def test_grey_images_have_no_hue(make: Make) -> None:
    write([annotated([], np.zeros((1, 5, 6), np.uint8))])
    layer = make(DB % 1 + "transform_param { distort_param { hue_prob: 1 } }")
    with pytest.raises(DataError, match="three channels of bytes, not of 1 channels of uint8"):
        run(layer)


def test_a_canvas_beyond_all_bounds(make: Make) -> None:
    write(five())
    layer = make(DB % 1 + "transform_param { expand_param { max_expand_ratio: 1e9 } }")
    with pytest.raises(DataError, match=r'record "00000000" of "db": an image of .* pixels'):
        run(layer)
