"""A model's answers for pictures, against what anyone can tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_lite
from caffe_lite.errors import CaffeError
from caffe_lite.net.net import Net
from caffe_lite.pictures import ClassScore, Detection, Model, load
from caffe_lite.proto import caffe_pb2
from tests.pictures import nets
from tests.pictures.nets import BLUE, RED, picture

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 5, 3), np.uint8)
NAMES = ["ant", "bee", "cat", "dog", "eel", "fox"]


def probabilities(weight: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The classifier's answer for a picture (4, 5, 3) in RGB less the mean 100."""
    return nets.softmax(weight @ (pixels[:, :, ::-1].transpose(2, 0, 1).reshape(-1) - 100.0))


@pytest.fixture
def classifier(tmp_path: Path) -> tuple[Model, np.ndarray]:
    (deploy, weights), weight = nets.classifier(tmp_path)
    return load(deploy, weights, mean=100), weight


def test_three_lines(tmp_path: Path) -> None:
    (deploy, weights), weight = nets.classifier(tmp_path)
    Image.fromarray(PIXELS[0]).save(tmp_path / "cat.png")
    model = caffe_lite.load(deploy, weights, mean=(100, 100, 100))
    best = model.classify(tmp_path / "cat.png", labels=NAMES, top=2)
    wanted = probabilities(weight, PIXELS[0])
    order = np.argsort(-wanted)
    assert [(each.name, each.label) for each in best] == [(NAMES[i], i) for i in order[:2]]
    np.testing.assert_allclose([each.score for each in best], wanted[order[:2]], rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_batches_of_any_size(classifier: tuple[Model, np.ndarray], batch: int) -> None:
    model, weight = classifier
    model.batch = batch
    answers = model(list(PIXELS))
    assert [list(each) for each in answers] == [["prob"]] * 5
    got = [each["prob"] for each in answers]
    np.testing.assert_allclose(got, [probabilities(weight, x) for x in PIXELS], rtol=1e-5)
    assert model.net.blobs["data"].shape[0] == (5 % batch or batch if batch <= 5 else 5)


def test_one_has_one_answer_a_list_a_list_a_folder_a_dictionary(
    classifier: tuple[Model, np.ndarray], tmp_path: Path
) -> None:
    model, weight = classifier
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in 2, 0, 1:
        Image.fromarray(PIXELS[index]).save(folder / f"{index}.png")
    one = model(PIXELS[0])["prob"]
    np.testing.assert_allclose(one, probabilities(weight, PIXELS[0]), rtol=1e-5)
    np.testing.assert_array_equal(model(str(folder / "0.png"))["prob"], one)
    assert len(model([PIXELS[0]])) == 1
    for source in folder, f"{folder}/*.png":
        found = model(source)
        assert list(found) == [f"{folder}/{index}.png" for index in (0, 1, 2)]
        np.testing.assert_allclose(
            found[f"{folder}/2.png"]["prob"], model(PIXELS[2])["prob"], 1e-5
        )
    assert len(model(PIXELS)) == 5  # (N, height, width, channels)
    assert len(model(iter([PIXELS[0], folder / "1.png"]))) == 2
    names = [result.picture.name for result in model.run(folder)]
    assert names == list(found)


def test_labels_of_a_file_and_without(
    classifier: tuple[Model, np.ndarray], tmp_path: Path
) -> None:
    model, _ = classifier
    lines = tmp_path / "words.txt"
    lines.write_text("\n".join(f"n{i} {name}" for i, name in enumerate(NAMES)) + "\n")
    best = model.classify(PIXELS[1], labels=lines)
    assert len(best) == 5
    assert isinstance(best[0], ClassScore)
    assert [each.name for each in best] == [f"n{each.label} {NAMES[each.label]}" for each in best]
    assert [each.name for each in model.classify(PIXELS[1])] == [str(each.label) for each in best]
    named = model.classify(PIXELS[1], labels={best[0].label: "best"}, top=2)
    assert [each.name for each in named] == ["best", str(best[1].label)]
    assert len(model.classify(PIXELS[1], top=50)) == 6


def test_equal_scores_are_in_the_order_of_classes(tmp_path: Path) -> None:
    files = nets.segmenter(tmp_path)
    model = load(*files, input_size=(1, 1))
    best = model.classify(picture(3, 3))
    assert [each.label for each in best] == [0, 2, 1]
    assert best[1].score == pytest.approx(-0.1 * (90 + 100 - 95), rel=1e-5)
    black = model.classify(np.zeros((1, 1, 3), np.uint8))
    assert [(each.label, each.score) for each in black] == [(0, 5), (1, 0), (2, 0)]


@pytest.mark.parametrize("batch", [1, 3])
def test_detections_in_the_pixels_of_each_picture(tmp_path: Path, batch: int) -> None:
    model = load(*nets.detector(tmp_path), batch=batch)
    # pictures twice and three times the size of the input: a cell has 20 and 30 pixels
    first = picture(40, 60, (0, 0, 20, 20, RED), (40, 20, 60, 40, BLUE))
    second = picture(60, 90, (30, 30, 60, 60, BLUE))
    empty = picture(20, 30)
    found = model.detect([first, empty, second], labels=["red", "blue"])
    assert [[(each.name, each.label) for each in one] for one in found] == [
        [("red", 1), ("blue", 2)],
        [],
        [("blue", 2)],
    ]
    assert isinstance(found[0][0], Detection)
    np.testing.assert_allclose([each.box for each in found[0]], [(0, 0, 20, 20), (40, 20, 60, 40)])
    np.testing.assert_allclose(found[2][0].box, (30, 30, 60, 60))
    for each in found[0]:
        color = np.array(RED if each.label == 1 else BLUE)[::-1]
        wanted = nets.softmax(nets.SEES @ color + nets.NOTHING)[each.label]
        np.testing.assert_allclose(each.score, wanted, rtol=1e-5)
    rows = model([first, empty])
    assert rows[0]["found"].shape == (2, 7)
    assert rows[1]["found"].shape == (0, 7)


def test_a_crop_moves_the_boxes(tmp_path: Path) -> None:
    model = load(*nets.detector(tmp_path), resize=(40, 50))
    # what the net sees of a picture 80x100: rows 20 to 60, columns 20 to 80
    seen = picture(80, 100, (20, 20, 40, 40, RED), (60, 40, 80, 60, BLUE), (80, 0, 99, 80, RED))
    found = model.detect(seen)
    assert [(each.label, each.box) for each in found] == [
        (1, (20, 20, 40, 40)),
        (2, (60, 40, 80, 60)),
    ]


def test_threshold_and_labels_with_the_background(tmp_path: Path) -> None:
    model = load(*nets.detector(tmp_path))
    faint = picture(20, 30, (0, 0, 10, 10, (185, 70, 70)))
    score = nets.softmax(nets.SEES @ np.array([70, 70, 185]) + nets.NOTHING)[1]
    assert 0.1 < score < 0.5
    assert model.detect(faint) == []
    (found,) = model.detect(faint, ["nothing", "red", "blue"], 0.1)
    assert found.name == "red"
    label_map = tmp_path / "map.prototxt"
    label_map.write_text(
        'item { name: "n0" label: 0 } item { name: "n1" label: 1 display_name: "rouge" }\n'
    )
    (found,) = model.detect(faint, label_map, threshold=0.1)
    assert found.name == "rouge"
    with pytest.raises(CaffeError, match="4 labels, but the net has 3 classes, or 2 without the"):
        model.detect(faint, NAMES[:4])


def test_boxes_and_scores_of_any_net(tmp_path: Path) -> None:
    """The detector without its last layer; and the same boxes in pixels."""
    text = nets.INPUT % ("raw", 1, 3, 20, 30) + nets.DETECTOR
    text += 'layer { name: "s" type: "Silence" bottom: "loc" bottom: "conf" }\n'
    text += 'layer { name: "cut" type: "Slice" bottom: "prior" top: "priors" top: "variances"\n'
    text += "  slice_param { axis: 1 } }\n"
    text += 'layer { name: "silent" type: "Silence" bottom: "variances" }\n'
    text += 'layer { name: "four" type: "Reshape" bottom: "priors" top: "boxes"\n'
    text += "  reshape_param { shape { dim: 1 dim: -1 dim: 4 } } }\n"
    text += 'layer { name: "large" type: "Scale" bottom: "boxes" top: "pixels"\n'
    text += "  scale_param { axis: 2 } }\n"
    text += 'layer { name: "kept" type: "Power" bottom: "boxes" top: "fractions" }\n'
    text = text.replace('bottom: "rows" top: "prob"', 'bottom: "rows" top: "prob_"')
    text = text.replace('bottom: "prob" top: "conf"', 'bottom: "prob_" top: "conf"')
    text += 'layer { name: "out" type: "Power" bottom: "prob_" top: "prob" }\n'
    still = [np.zeros((4, 3, 1, 1), np.float32), np.zeros(4, np.float32)]
    size = np.array([30, 20, 30, 20], np.float32)
    files = nets.write(tmp_path, "raw", text, score=nets.sees(), shift=still, large=[size])
    pixels = picture(40, 60, (0, 0, 20, 20, RED), (40, 20, 60, 40, BLUE))
    wanted = load(*nets.detector(tmp_path)).detect(pixels, labels=["red", "blue"])
    model = load(*files)
    assert sorted(model.net.outputs) == ["fractions", "pixels", "prob"]
    for boxes in "fractions", "pixels":
        found = model.detect(
            pixels, ["red", "blue"], boxes=boxes, scores="prob", pixels=boxes == "pixels"
        )
        assert [(each.name, each.label) for each in found] == [("red", 1), ("blue", 2)]
        np.testing.assert_allclose(
            [each.box for each in found], [each.box for each in wanted], atol=0.02
        )
    everything = model.detect(pixels, boxes="fractions", scores="prob", background=None)
    assert {each.label for each in everything} == {0, 1, 2}
    with pytest.raises(
        CaffeError, match=r"none of the net's outputs .* name those with boxes and"
    ):
        model.detect(pixels)
    with pytest.raises(CaffeError, match="say which output has the answer: scores= one of"):
        model.detect(pixels, boxes="pixels")
    with pytest.raises(CaffeError, match='no output "conf"'):
        model.detect(pixels, boxes="pixels", scores="conf")


def test_overlapping_boxes_are_suppressed() -> None:
    from caffe_lite.pictures.answers import rows_of

    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 0.3, 0.3], [0, 0, 1, 0.5]])
    scores = np.array([0.8, 0.9, 0.7, 0.2])
    rows = rows_of(boxes, scores, 0.5, 0.45, 0)
    np.testing.assert_allclose(rows[:, 1], [0.9, 0.7])  # the first overlaps by 0.9
    np.testing.assert_allclose(rows_of(boxes, scores, 0.1, 0.95, 0)[:, 1], [0.9, 0.8, 0.7, 0.2])
    with pytest.raises(CaffeError, match=r"scores of .* do not fit 4 boxes"):
        rows_of(boxes, scores[:3], 0.5, 0.45, 0)


def test_a_class_for_each_pixel(tmp_path: Path) -> None:
    files = nets.segmenter(tmp_path)
    pixels = picture(16, 24, (0, 0, 12, 4, RED), (20, 10, 24, 16, BLUE))
    wanted = np.zeros((16, 24), np.uint8)
    wanted[:4, :12], wanted[10:, 20:] = 1, 2
    found = load(*files, input_size="any").segment(pixels)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(load(*files).segment(pixels), wanted)  # of half the size
    cropped = load(*files, resize=(16, 24)).segment(pixels)  # its centre, 8x12
    seen = np.full((16, 24), 255)
    seen[4:12, 6:18] = wanted[4:12, 6:18]
    np.testing.assert_array_equal(cropped, seen)
    sizes = load(*files, input_size="any").segment([pixels, pixels[:8], pixels[:8]])
    assert [each.shape for each in sizes] == [(16, 24), (8, 24), (8, 24)]


def test_maps_of_one_channel() -> None:
    from caffe_lite.pictures.answers import label_map
    from caffe_lite.pictures.preprocessing import Frame

    frame = Frame((2, 3), (2, 3), (0, 0), (2, 3))
    labels = np.array([[[0, 1, 20], [7, 0, 3]]], np.float32)
    np.testing.assert_array_equal(label_map(labels, frame), labels[0])
    mask = np.array([[[0.2, 0.5, 0.9], [0, 1, 0.49]]])
    np.testing.assert_array_equal(label_map(mask, frame), [[0, 1, 1], [0, 1, 0]])
    many = np.array([[[0, 1, 300], [7, 0, np.nan]]])
    assert label_map(many, frame).dtype == np.uint16
    np.testing.assert_array_equal(label_map(many, frame), [[0, 1, 300], [7, 0, 0]])
    with pytest.raises(CaffeError, match=r"\(classes, height, width\), not \(6,\)"):
        label_map(np.zeros(6), frame)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (
            lambda model: model.classify(PIXELS[0], NAMES[:5]),
            "5 labels, but the net has 6 classes",
        ),
        (lambda model: model.classify(PIXELS[0], "nowhere.txt"), 'read the labels "nowhere.txt"'),
        (lambda model: model.classify(PIXELS[0], top=0), "top must be at least 1"),
        (
            lambda model: model.classify(PIXELS[0], output="ip"),
            r'no output "ip", but \[\'prob\'\]',
        ),
        (lambda model: model.classify("nowhere.jpg"), 'cannot read the image "nowhere.jpg"'),
        (lambda model: model.segment(PIXELS[0]), r"not \(6,\)"),
        (lambda model: model.detect(PIXELS[0]), "none of the net's outputs"),
        (lambda model: model([PIXELS[0], "nowhere.jpg"]), "nowhere.jpg"),
    ],
)
def test_refusals(classifier: tuple[Model, Any], act: Any, says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        act(classifier[0])


def test_nets_that_take_no_pictures(tmp_path: Path) -> None:
    (deploy, weights), _ = nets.classifier(tmp_path)
    with pytest.raises(CaffeError, match="caffemodel must be a path, not None"):
        load(deploy, None)  # type: ignore[arg-type]
    with pytest.raises(CaffeError, match="batch must be at least 1"):
        load(deploy, weights, batch=0)
    message = caffe_pb2.NetParameter(input=["a", "b"])
    for _ in range(2):
        message.input_shape.add(dim=[1, 3, 4, 5])
    with pytest.raises(CaffeError, match=r"takes one input, but the net's are \['a', 'b'\]"):
        Model(Net(message, caffe_pb2.TEST))
    with pytest.raises(CaffeError, match=r"the output has shape .* a map .* use segment"):
        load(*nets.segmenter(tmp_path)).classify(PIXELS[0])


def test_outputs_that_are_not_of_one_item(tmp_path: Path) -> None:
    (deploy, weights), _ = nets.classifier(tmp_path)
    with Path(deploy).open("a") as file:
        file.write('layer { name: "sum" type: "Reduction" bottom: "prob" top: "sum" }\n')
    assert load(deploy, weights, batch=1)(list(PIXELS))[3]["sum"] == pytest.approx(1)
    with pytest.raises(
        CaffeError, match=r'"sum" has shape \(\) for 5 pictures; load with batch=1'
    ):
        load(deploy, weights)(list(PIXELS))


def test_yolo_s_layers_run_one_picture_at_a_time(tmp_path: Path) -> None:
    text = (
        nets.INPUT % ("yolo", 1, 3, 1, 1)
        + """
        layer { name: "map" type: "Convolution" bottom: "data" top: "map"
          convolution_param { num_output: 7 kernel_size: 1 } }
        layer { name: "found" type: "YoloDetectionOutput" bottom: "map" top: "found"
          yolo_detection_output_param { num_classes: 2 num_box: 1 coords: 4 biases: 0.5
            biases: 0.25 confidence_threshold: 0.3 nms_threshold: 0.4 } }"""
    )
    weight = np.zeros((7, 3, 1, 1), np.float32)
    weight[5, 2], weight[6, 0] = 0.1, 0.1  # red, blue
    bias = np.array([0, 0, 0, 0, 9, 0, 0], np.float32)
    model = load(*nets.write(tmp_path, "yolo", text, map=[weight, bias]))
    red, blue = picture(40, 60, (0, 0, 60, 40, RED)), picture(20, 80, (0, 0, 80, 20, BLUE))
    (first,), (second,) = model.detect([red, blue], labels=["red", "blue"])
    assert (first.name, second.name) == ("red", "blue")
    # at the middle, half the width and a quarter of the height
    np.testing.assert_allclose(first.box, (15, 15, 45, 25))
    np.testing.assert_allclose(second.box, (20, 7.5, 60, 12.5))


def test_a_model_closes_its_net_and_says_what_it_is(tmp_path: Path) -> None:
    with load(*nets.segmenter(tmp_path)) as model:
        assert repr(model).startswith('<Model of <Net "segmenter" (TEST): inputs data 1x3x8x12;')


def test_weights_of_another_net_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (deploy, _), _ = nets.classifier(tmp_path)
    _, weights = nets.detector(tmp_path)
    with pytest.raises(CaffeError) as caught:
        load(deploy, weights)
    assert str(caught.value) == (
        f"{weights} has weights for score, shift, which are no layers of this net; the net's "
        "layers with weights are ip"
    )
    assert not caplog.records
    with pytest.raises(CaffeError, match="the given message has no weights; the net's layers"):
        load(deploy, caffe_pb2.NetParameter())


def test_weights_for_one_layer_are_enough(tmp_path: Path) -> None:
    deploy, _ = nets.detector(tmp_path)
    _, weights = nets.segmenter(tmp_path)  # of which "score" is one of the detector's layers
    assert load(deploy, weights).net.outputs == ["found"]


def test_a_net_without_weights_takes_any(tmp_path: Path) -> None:
    text = (
        nets.INPUT % ("plain", 1, 3, 8, 12)
        + """
        layer { name: "prob" type: "Softmax" bottom: "data" top: "prob" }"""
    )
    deploy, _ = nets.write(tmp_path, "plain", text)
    _, weights = nets.segmenter(tmp_path)
    assert load(deploy, weights).net.outputs == ["prob"]
