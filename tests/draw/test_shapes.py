from __future__ import annotations

import pytest

from caffe_lite import TEST, TRAIN, Net
from caffe_lite.draw import blob_shapes, choose_rankdir, draw_net
from caffe_lite.errors import CaffeError
from caffe_lite.proto import files

BODY = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_h: 3 kernel_w: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
NOISE = """layer {{ name: "d" type: "DummyData" top: "data" top: "label" include {{ phase: {} }}
  dummy_data_param {{ shape {{ dim: {} dim: 3 dim: 9 dim: 8 }} shape {{ dim: {} }} }} }}
"""


def net(tmp_path, text):
    (tmp_path / "n.prototxt").write_text(text)
    return files.read_net(str(tmp_path / "n.prototxt"))


def test_shapes_are_those_of_the_nets(tmp_path):
    source = net(tmp_path, NOISE.format("TRAIN", 6, 6) + NOISE.format("TEST", 7, 7) + BODY)
    for phase, count in ((TRAIN, 6), (TEST, 7)):
        built = Net(str(tmp_path / "n.prototxt"), phase)
        shapes = blob_shapes(source, phase)
        assert shapes["data"] == f"{count}x3x9x8"
        for name, text in shapes.items():
            wanted = "x".join(map(str, built.blobs[name].shape)) or "one value"
            assert text == wanted
        assert shapes.keys() == {"data", "label", "conv", "ip", "loss"}
    both = blob_shapes(source)
    assert both["conv"] == "6|7x5x7x7"
    assert both["label"] == "6|7"
    assert both["loss"] == "one value"


def test_different_numbers_of_axes_are_both_shown(tmp_path):
    text = """layer { name: "d" type: "DummyData" top: "x" include { phase: TRAIN }
      dummy_data_param { shape { dim: 2 dim: 3 } } }
    layer { name: "d" type: "DummyData" top: "x" include { phase: TEST }
      dummy_data_param { shape { dim: 5 } } }"""
    assert blob_shapes(net(tmp_path, text)) == {"x": "2x3 | 5"}


def test_data_that_are_not_here(tmp_path):
    data = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param {'
    data += ' source: "absent" batch_size: 6 } }'
    source = net(tmp_path, data + BODY)
    with pytest.raises(CaffeError, match="absent"):
        blob_shapes(source)
    shapes = blob_shapes(source, input_shapes={"data": (6, 3, 9, 8)})
    assert shapes["conv"] == "6x5x7x7"
    one = NOISE.format("TEST", 7, 7) + data.replace(
        'top: "label"', 'top: "label" include { phase: TRAIN }'
    )
    assert blob_shapes(net(tmp_path, one + BODY))["conv"] == "7x5x7x7"


def test_a_picture_shows_them_in_the_boxes_of_the_blobs(tmp_path):
    source = net(tmp_path, NOISE.format("TRAIN", 6, 6) + BODY)
    plain = draw_net(source, "TB", "svg").decode()
    shown = draw_net(source, "TB", "svg", shapes=blob_shapes(source, TRAIN)).decode()
    assert "6x5x7x7" not in plain
    assert shown.count(">6x5x7x7<") == 1
    blob = shown.partition("<title>conv</title>")[2].partition("</g>")[0]
    assert ">conv<" in blob
    assert draw_net(source, "TB", "svg", shapes={}).decode() == plain


def test_a_deep_net_is_drawn_downward(tmp_path):
    layer = 'layer {{ name: "r{0}" type: "ReLU" bottom: "{0}" top: "{1}" }}\n'

    def chain(count):
        return net(tmp_path, "".join(layer.format(i, i + 1) for i in range(count)))

    assert choose_rankdir(chain(16)) == "LR"
    assert choose_rankdir(chain(17)) == "TB"
    phased = chain(17)
    for node in phased.nodes[:3]:
        node.param.include.add(phase=TEST)
    assert choose_rankdir(phased, TRAIN) == "LR"
