from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from caffe_lite import TEST, Net
from caffe_lite.training_report.images import data_uri, filters, filters_figure, stretched
from caffe_lite.training_report.worst import Blobs, Worst, find_blobs

INPUT = """
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 6 dim: 3 dim: 5 dim: 4 } shape { dim: 6 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.4 } } }
"""
LOSS = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "l" %s }\n'
ACCURACY = 'layer { name: "a" type: "Accuracy" bottom: "ip" bottom: "label" top: "a" %s }\n'


def pixels(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def built(tmp_path, text):
    (tmp_path / "n.prototxt").write_text(text)
    return Net(str(tmp_path / "n.prototxt"), TEST)


def expected(scores, labels, by_loss, ignored=None):
    """(badness, number, label, answer) of each image, by the definition, the worst first."""
    found = []
    for number, (row, label) in enumerate(zip(scores.tolist(), labels.tolist(), strict=True)):
        label = int(label)
        if label == ignored:
            continue
        if by_loss:
            bad = -math.log(math.exp(row[label]) / sum(map(math.exp, row)))
        else:
            bad = max(value for other, value in enumerate(row) if other != label) - row[label]
        found.append((bad, number, label, row.index(max(row))))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("by_loss", [True, False])
@pytest.mark.parametrize(("ignored", "limit"), [(None, 4), (2, 4), (None, 12)])
def test_the_worst_answers_of_two_batches(tmp_path, by_loss, ignored, limit):
    rest = "" if ignored is None else f"ignore_label: {ignored}"
    heads = (LOSS % f"loss_param {{ {rest} }}" + ACCURACY % "") if by_loss else ""
    net = built(tmp_path, INPUT + (heads or ACCURACY % f"accuracy_param {{ {rest} }}"))
    blobs = find_blobs(net)
    assert blobs == Blobs("data", "label", "ip", ignored, by_loss)
    net.share_memory(backward=False, keep=[blobs.image, blobs.label, blobs.scores])
    worst, random = Worst(blobs, limit), np.random.default_rng(8)
    images = random.standard_normal((12, 3, 5, 4))
    labels = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3])
    scores = []
    for begin in (0, 6):
        net.blobs["data"].data[...] = images[begin : begin + 6]
        net.blobs["label"].data[...] = labels[begin : begin + 6]
        net.compute_loss()
        weights, bias = (blob.data for blob in net.params["ip"])
        scores.append(images[begin : begin + 6].reshape(6, -1) @ weights.T + bias)
        worst.add(net)
    wanted = expected(np.concatenate(scores), labels, by_loss, ignored)
    found = worst.answers
    assert [each.badness for each in found] == pytest.approx(
        [w[0] for w in wanted[:limit]], rel=1e-4
    )
    assert [(-each.number, each.label, each.answered) for each in found] == [
        each[1:] for each in wanted[:limit]
    ]
    for answer in found:
        image = images[-answer.number]
        shown = np.rint((image - image.min()) * 255 / (image.max() - image.min()))
        assert np.abs(pixels(answer.image) - shown[::-1].transpose(1, 2, 0)).max() <= 1
    assert worst.wrong == sum(label != answer for _, _, label, answer in wanted)
    assert worst.tested == 12


def test_scores_that_are_not_finite_are_the_worst(tmp_path):
    net = built(tmp_path, INPUT + LOSS % "")
    worst = Worst(find_blobs(net), limit=1)
    net.params["ip"][0].data[1] = np.nan
    net.blobs["data"].data[...] = 1.0
    net.compute_loss()
    worst.add(net)
    assert worst.answers[0].badness == math.inf


@pytest.mark.parametrize(
    "text",
    [
        INPUT.replace("dim: 3 dim: 5 dim: 4", "dim: 60") + LOSS % "",
        INPUT.replace("dim: 3 dim", "dim: 2 dim") + LOSS % "",
        INPUT.replace("InnerProduct", "Convolution")
        .replace(
            "inner_product_param { num_output: 4",
            "convolution_param { num_output: 4 kernel_size: 1",
        )
        .replace("shape { dim: 6 } }", "shape { dim: 6 dim: 1 dim: 5 dim: 4 } }")
        + LOSS % "",
        INPUT.replace("shape { dim: 6 } }", "shape { dim: 6 dim: 4 } }")
        + 'layer { name: "l" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "l" }',
    ],
    ids=["rows", "two channels", "an answer for each pixel", "another loss"],
)
def test_nets_without_images_or_one_answer_for_each(tmp_path, text):
    assert "no SoftmaxWithLoss or Accuracy" in find_blobs(built(tmp_path, text))


# -- filters -------------------------------------------------------------------------------


def conv(channels, outputs=7):
    return f"""
layer {{ name: "in" type: "Input" top: "data"
  input_param {{ shape {{ dim: 2 dim: {channels} dim: 9 dim: 8 }} }} }}
layer {{ name: "conv <1>" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
  num_output: {outputs} kernel_h: 3 kernel_w: 2 weight_filler {{ type: "gaussian" std: 1 }} }} }}
"""


def test_filters_of_three_channels_are_pictures_of_one_scale(tmp_path):
    net = built(tmp_path, conv(3))
    weights = net.params["conv <1>"][0].data
    shown = filters(net).pixels
    assert shown.shape == (2 * 4 - 1, 4 * 3 - 1, 4)  # 7 in 4 columns, with gaps of a pixel
    low, high = weights.min(), weights.max()
    for index, (row, column) in enumerate((r, c) for r in range(2) for c in range(4)):
        part = shown[4 * row : 4 * row + 3, 3 * column : 3 * column + 2]
        assert (part[..., 3] == (255 if index < 7 else 0)).all()
        if index < 7:
            wanted = np.rint((weights[index, ::-1] - low) * 255 / (high - low)).transpose(1, 2, 0)
            assert np.abs(part[..., :3].astype(int) - wanted).max() <= 1
    assert (shown[3] == 0).all()
    figure = filters_figure(filters(net))
    assert (pixels(figure.partition('src="')[2].partition('"')[0]) == shown).all()
    assert 'alt="7 of 7 filters of &quot;conv &lt;1&gt;&quot; (Convolution)."' in figure


def test_filters_of_many_channels_are_a_row_each(tmp_path):
    found = filters(built(tmp_path, conv(5, 20)))
    assert found.pixels.shape == (16 * 4 - 1, 5 * 3 - 1, 4)
    assert (
        found.words == '16 of 20 filters of "conv <1>" (Convolution), a row each: 5 of 5 channels.'
    )


def test_weights_for_an_image_are_pictures(tmp_path):
    found = filters(built(tmp_path, INPUT))
    assert found.pixels.shape == (2 * 6 - 1, 3 * 5 - 1, 4)
    assert found.words == '4 of 4 filters of "ip" (InnerProduct).'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (INPUT.replace("dim: 3 dim: 5 dim: 4", "dim: 60"), "has none that are pictures"),
        (conv(3).replace("kernel_h: 3 kernel_w: 2", "kernel_size: 1"), "has none that"),
        (INPUT.partition('layer { name: "ip"')[0], "No layer of the net has weights"),
    ],
)
def test_layers_without_pictures(tmp_path, text, says):
    assert filters(built(tmp_path, text)).pixels is None
    assert says in filters(built(tmp_path, text)).words


def test_weights_that_are_not_finite_are_not_shown(tmp_path):
    net = built(tmp_path, conv(1))
    net.params["conv <1>"][0].data[0, 0, 0, 0] = np.inf
    assert filters(net).words == 'The weights of "conv <1>" (Convolution) are not all finite.'


def test_a_flat_image_is_black():
    assert stretched(np.full((1, 2, 3), 7.0)).max() == 0
    assert pixels(data_uri(stretched(np.arange(6.0).reshape(1, 2, 3)))).tolist() == [
        [0, 51, 102],
        [153, 204, 255],
    ]
