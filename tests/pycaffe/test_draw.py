from __future__ import annotations

import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from caffe_lite import draw
from caffe_lite.draw import graph, picture
from caffe_lite.errors import CaffeError, NetError
from caffe_lite.proto import caffe_pb2, files, text

MODELS = Path(__file__).parent.parent.parent / "models"
SVG = "{http://www.w3.org/2000/svg}"
DIRECTIONS = ["TB", "BT", "LR", "RL"]


def net_of(content):
    net = caffe_pb2.NetParameter()
    text.parse(content, net, "net.prototxt")
    return net


def layer_of(content):
    return net_of(f"layer {{ {content} }}").layer[0]


SMALL = net_of("""
    name: "small"
    layer { name: "data" type: "Data" top: "x" top: "label" data_param { batch_size: 64 } }
    layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
            convolution_param { num_output: 20 kernel_size: 5 } }
    layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
    layer { name: "drop" type: "Dropout" bottom: "y" top: "y" include { phase: TRAIN } }
    layer { name: "acc" type: "Accuracy" bottom: "y" bottom: "label" top: "acc"
            include { phase: TEST } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
""")


# -- labels --------------------------------------------------------------------------------


def test_pooling_types():
    names = draw.get_pooling_types_dict()  # those of forks come after Caffe's
    assert [names[number] for number in range(3)] == ["MAX", "AVE", "STOCHASTIC"]


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        ('type: "Data" data_param { batch_size: 64 }', "Batch 64"),
        ('type: "Convolution" convolution_param { num_output: 20 }', "20"),
        ('type: "Deconvolution" convolution_param { num_output: 21 }', "21"),
        ('type: "InnerProduct" inner_product_param { num_output: 10 }', "10"),
        ('type: "ReLU"', '""'),
    ],
)
def test_edge_labels(layer, label):
    assert draw.get_edge_label(layer_of(layer)) == label


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("", (1, 1)),
        ("param { lr_mult: 2 }", (2, 1)),
        ("param { lr_mult: 0.5 } param { lr_mult: 3 }", (0.5, 3)),
        ('param { name: "w" } param { lr_mult: 0 }', (1, 0)),
    ],
)
def test_lr_mult(params, expected):
    assert draw.get_layer_lr_mult(layer_of(f'type: "InnerProduct" {params}')) == expected


def test_lr_mult_of_other_layers():
    with pytest.raises(ValueError, match="ReLU"):
        draw.get_layer_lr_mult(layer_of('type: "ReLU"'))
    with pytest.raises(ValueError, match="3 param"):
        draw.get_layer_lr_mult(layer_of('type: "Convolution" param {} param {} param {}'))


CONV = 'name: "c" type: "Convolution" convolution_param { %s }'
POOL = 'name: "p" type: "Pooling" pooling_param { %s }'


@pytest.mark.parametrize(
    ("layer", "rankdir", "label"),
    [
        ('name: "r" type: "ReLU"', "TB", '"r (ReLU)"'),
        ('name: "r" type: "ReLU"', "LR", r'"r\n(ReLU)"'),
        (
            CONV % "kernel_size: 7 stride: 2 pad: 3",
            "BT",
            '"c (Convolution) kernel size: 7 stride: 2 pad: 3"',
        ),
        (
            CONV % "kernel_size: 3",
            "RL",
            r'"c\n(Convolution)\nkernel size: 3\nstride: 1\npad: 0"',
        ),
        (
            CONV % "kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 1",
            "TB",
            '"c (Convolution) kernel size: 3x5 stride: 2x1 pad: 0"',
        ),
        (
            CONV % "kernel_size: 3 kernel_size: 3 pad: 1 pad: 2",
            "TB",
            '"c (Convolution) kernel size: 3 stride: 1 pad: 1x2"',
        ),
        (
            POOL % "pool: AVE kernel_size: 3 stride: 2",
            "TB",
            '"p (Pooling AVE) kernel size: 3 stride: 2 pad: 0"',
        ),
        (POOL % "pool: AVE global_pooling: true", "TB", '"p (Pooling AVE) kernel size: all"'),
        (
            POOL % "kernel_h: 2 kernel_w: 3 pad: 1",
            "TB",
            '"p (Pooling MAX) kernel size: 2x3 stride: 1 pad: 1"',
        ),
    ],
)
def test_layer_labels(layer, rankdir, label):
    assert draw.get_layer_label(layer_of(layer), rankdir) == label


def test_layer_label_with_multipliers():
    layer = layer_of('name: "f" type: "InnerProduct" param { lr_mult: 1 } param { lr_mult: 2 }')
    assert draw.get_layer_label(layer, "TB", True) == '"f (InnerProduct) lr mult: 1.0, 2.0"'
    frozen = layer_of('name: "f" type: "InnerProduct" param { lr_mult: 0 } param { lr_mult: 0 }')
    assert draw.get_layer_label(frozen, "TB", display_lrm=True) == '"f (InnerProduct)"'


def test_colors_and_styles():
    kinds = ["Convolution", "Deconvolution", "Pooling", "InnerProduct", "Data"]
    colors = [draw.choose_color_by_layertype(kind) for kind in kinds]
    assert colors == ["#FF5050", "#FF5050", "#FF9900", "#CC33FF", "#6495ED"]
    assert draw.LAYER_STYLE_DEFAULT["fillcolor"] == "#6495ED"
    assert draw.NEURON_LAYER_STYLE["fillcolor"] == "#90EE90"
    assert draw.BLOB_STYLE == {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}


# -- graphs --------------------------------------------------------------------------------


def shape_of(net, phase=None):
    """Each vertex as its parts' names, and each edge as the names of first parts."""
    built = graph.build_graph(net, "TB", phase)
    vertices = [tuple(part.name for part in vertex.parts) for vertex in built.vertices]
    edges = {(vertices[e.source][0], vertices[e.target][0], e.label) for e in built.edges}
    return vertices, edges


def test_layers_in_place_are_attached_to_their_blob():
    vertices, edges = shape_of(SMALL, caffe_pb2.TRAIN)
    assert vertices == [("data",), ("x",), ("label",), ("conv",), ("y", "relu", "drop"),
                        ("loss",), ("loss",)]  # fmt: skip
    assert ("conv", "y", "20") in edges
    assert ("data", "label", "Batch 64") in edges
    assert ("y", "loss", "") in edges


@pytest.mark.parametrize(
    ("phase", "absent"), [(caffe_pb2.TRAIN, "acc"), (caffe_pb2.TEST, "drop"), (None, None)]
)
def test_phase(phase, absent):
    vertices, _ = shape_of(SMALL, phase)
    names = {name for vertex in vertices for name in vertex}
    assert {"acc", "drop"} - names == ({absent} if absent else set())


def test_what_is_written_in_place_beside_another_blob_is_drawn_anew():
    net = net_of("""
        layer { name: "in" type: "Input" top: "x" top: "s" }
        layer { name: "scale" type: "Scale" bottom: "x" bottom: "s" top: "x" }
        layer { name: "end" type: "ReLU" bottom: "x" top: "y" }
    """)
    vertices, edges = shape_of(net)
    assert [v for v in vertices if v == ("x",)] == [("x",)] * 2
    assert ("x", "scale", "") in edges
    assert ("scale", "x", "") in edges
    assert len(edges) == 7


def test_two_layers_of_two_phases_share_a_blob():
    net = net_of("""
        layer { name: "data" type: "Data" top: "x" include { phase: TRAIN } }
        layer { name: "data" type: "Data" top: "x" include { phase: TEST } }
    """)
    assert shape_of(net)[0] == [("data",), ("x",), ("data",)]


def test_a_blob_that_nothing_produces_is_drawn_too():
    net = net_of('layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    assert shape_of(net)[1] == {("x", "r", ""), ("r", "y", "")}


def test_stages_of_the_nets_own_state():
    net = net_of("""
        state { stage: "deploy" }
        layer { name: "a" type: "Input" top: "x" include { stage: "deploy" } }
        layer { name: "b" type: "Input" top: "x" include { stage: "train" } }
    """)
    assert shape_of(net, caffe_pb2.TEST)[0] == [("a",), ("x",)]


def test_old_nets_are_upgraded():
    net = net_of("""
        input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
        layers { name: "c" type: CONVOLUTION bottom: "data" top: "c"
                 convolution_param { num_output: 4 kernel_size: 3 } }
        layers { name: "r" type: RELU bottom: "c" top: "c" }
    """)
    vertices, edges = shape_of(net)
    assert vertices == [("input",), ("data",), ("c",), ("c", "r")]
    assert ("c", "c", "4") in edges


# -- pictures ------------------------------------------------------------------------------


def deep_net():
    """Residual and parallel blocks, in-place layers, long names, a label for three losses."""
    lines = ['layer { name: "data" type: "Data" top: "data" top: "label" }']

    def add(name, kind, bottoms, top):
        reads = " ".join(f'bottom: "{each}"' for each in bottoms)
        lines.append(f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{top}" }}')

    last = "data"
    for block in range(8):
        ends = []
        for branch in range(block % 4 + 1):
            name = f"inception_{block}/branch_with_a_long_name_{branch}"
            above = last
            for step in range(branch + 1):
                add(f"{name}_{step}", "Convolution", [above], f"{name}_{step}")
                add(f"{name}_{step}/relu", "ReLU", [f"{name}_{step}"], f"{name}_{step}")
                above = f"{name}_{step}"
            ends.append(above)
        add(f"sum{block}", "Eltwise", [last, *ends], f"sum{block}")
        last = f"sum{block}"
        if block in (3, 5, 7):
            add(f"loss{block}", "SoftmaxWithLoss", [last, "label"], f"loss{block}")
    return net_of("\n".join(lines))


NETS = {
    "small": SMALL,
    "deep": deep_net(),
    "lenet": files.read_net(MODELS / "lenet" / "train_test.prototxt"),
    "alexnet": files.read_net(MODELS / "alexnet" / "train_val.prototxt"),
}


@pytest.fixture(params=NETS.values(), ids=NETS.keys())
def net(request):
    return request.param


def layers_of(net):
    return [n.param for n in net.nodes] if hasattr(net, "nodes") else list(net.layer)


@pytest.mark.parametrize("rankdir", DIRECTIONS)
def test_every_layer_and_blob_is_drawn_once(net, rankdir):
    root = ET.fromstring(draw.draw_net(net, rankdir, "svg"))
    shown = {"layer": [], "blob": []}
    for group in root.iter(f"{SVG}g"):
        shown[group.get("class")].append(group.find(f"{SVG}title").text)
    layers = layers_of(net)
    assert sorted(shown["layer"]) == sorted(layer.name for layer in layers)
    blobs = {name for layer in layers for name in (*layer.bottom, *layer.top)}
    assert sorted(shown["blob"]) == sorted(blobs)


@pytest.mark.parametrize("rankdir", DIRECTIONS)
def test_texts_lie_in_their_boxes_and_boxes_apart(net, rankdir):
    drawn = picture.draw_picture(graph.build_graph(net, rankdir, None, True), rankdir)
    spans = []
    for box in drawn.boxes:
        xs, ys = zip(*box.corners, strict=True)
        assert min(xs) >= 0
        assert min(ys) >= 0
        assert max(xs) <= drawn.width
        assert max(ys) <= drawn.height
        spans.append((min(xs), min(ys), max(xs), max(ys)))
        for line in box.texts:
            half = picture.text_width(line.text, line.size, line.bold) / 2
            assert min(xs) < line.x - half
            assert line.x + half < max(xs)
            assert min(ys) < line.y - line.size / 2
            assert line.y + line.size / 2 < max(ys)
    for number, a in enumerate(spans):
        for b in spans[:number]:
            touching = 1e-6  # a blob and the layers in place on it
            assert (
                a[2] <= b[0] + touching
                or b[2] <= a[0] + touching
                or a[3] <= b[1] + touching
                or b[3] <= a[1] + touching
            )


@pytest.mark.parametrize(
    ("rankdir", "axis", "sign"), [("TB", 1, 1), ("BT", 1, -1), ("LR", 0, 1), ("RL", 0, -1)]
)
def test_arrows_run_where_they_should(net, rankdir, axis, sign):
    drawn = picture.draw_picture(graph.build_graph(net, rankdir, 0), rankdir)
    for arrow in drawn.arrows:
        steps = [sign * point[axis] for point in (*arrow.points, arrow.head[0])]
        assert all(b >= a - 1e-6 for a, b in pairwise(steps))
        assert sign * (arrow.head[0][axis] - arrow.head[1][axis]) == picture.ARROW_LENGTH


@pytest.mark.parametrize("family", ["DejaVuSans", "DejaVuSans-Bold"])
def test_text_is_measured_wide_enough(family):
    from PIL import ImageFont

    try:
        font = ImageFont.truetype(f"{family}.ttf", 100)
    except OSError:
        pytest.skip("the font is not on this machine")
    for line in ("inception_3a/5x5_reduce", "(SoftmaxWithLoss)", "kernel size: 11, stride: 4"):
        room = picture.text_width(line, 100, "Bold" in family) + 2 * 100 * picture.PAD_X / 13
        assert font.getlength(line) < room


def test_names_are_escaped():
    odd = net_of('name: "<&>" layer { name: "a<b>&\\"c\\x07" type: "Input" top: "<x>" }')
    root = ET.fromstring(draw.draw_net(odd, "TB", "svg"))
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert titles == ["<&>", 'a<b>&"c\N{REPLACEMENT CHARACTER}', "<x>"]
    assert draw.draw_net(odd, "TB", "png").startswith(b"\x89PNG")


def test_png_shows_the_boxes_of_the_svg():
    drawn = picture.draw_picture(graph.build_graph(SMALL, "TB", 0), "TB")
    image = Image.open(io.BytesIO(draw.draw_net(SMALL, "TB", "png", phase=0)))
    scale = image.width / drawn.width
    assert image.height == pytest.approx(scale * drawn.height, abs=1)
    rims = Counter()
    for box in drawn.boxes:
        (left, top), (right, bottom) = min(box.corners), max(box.corners)
        top, bottom = (edge(y for _, y in box.corners) for edge in (min, max))
        for x, y in ((left + 3, top + 9), (right - 9, top + 3), (right - 9, bottom - 3)):
            inside = image.getpixel((round(scale * x), round(scale * y)))
            assert "#{:02X}{:02X}{:02X}".format(*inside) == box.fill
        for y in (top, bottom):
            rims[image.getpixel((round(scale * (right - 9)), round(scale * y)))] += 1
    for rim in rims:  # a line of the box's own colour, darker than what it encloses
        assert max(rim) < 250
    assert image.getpixel((1, 1)) == (255, 255, 255)


def test_png_is_the_default_and_its_size_has_a_bound(monkeypatch):
    from caffe_lite.draw import png

    whole = Image.open(io.BytesIO(draw.draw_net(SMALL, "TB")))
    monkeypatch.setattr(png, "LARGEST_SIDE", whole.height * 3 // 4)
    smaller = Image.open(io.BytesIO(draw.draw_net(SMALL, "TB")))
    assert smaller.height == pytest.approx(whole.height * 3 / 4, abs=2)
    monkeypatch.setattr(png, "LARGEST_SIDE", 1)
    least = Image.open(io.BytesIO(draw.draw_net(SMALL, "TB")))
    assert least.height == pytest.approx(whole.height / png.SCALE, abs=1)


def test_bands_of_a_png_join_without_a_seam(monkeypatch):
    from caffe_lite.draw import png

    whole = draw.draw_net(SMALL, "TB")
    monkeypatch.setattr(png, "BAND", 64)
    a, b = (Image.open(io.BytesIO(content)) for content in (whole, draw.draw_net(SMALL, "TB")))
    different = sum(p != q for p, q in zip(a.tobytes(), b.tobytes()))
    assert different < 0.001 * a.width * a.height


# -- files and graphviz --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "start"), [("n.svg", b"<svg"), ("n.PNG", b"\x89PNG")])
def test_to_file(tmp_path, name, start):
    draw.draw_net_to_file(SMALL, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_old_file_stays_when_the_net_cannot_be_drawn(tmp_path):
    target = tmp_path / "net.svg"
    target.write_text("old")
    wrong = net_of('layer { name: "a" include { phase: TEST } exclude { phase: TRAIN } }')
    with pytest.raises(NetError, match="both include and exclude"):
        draw.draw_net_to_file(wrong, target, "LR", caffe_pb2.TEST)
    assert [path.name for path in tmp_path.iterdir()] == ["net.svg"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((SMALL, "XY", "svg"), "rankdir 'XY' is not one of LR, TB, BT, RL"),
        ((caffe_pb2.NetParameter(), "LR", "svg"), "no layers"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(CaffeError, match=says):
        draw.draw_net(*arguments)


def test_refusals_of_files(tmp_path):
    with pytest.raises(CaffeError, match="the name has no suffix"):
        draw.draw_net_to_file(SMALL, tmp_path / "net")
    with pytest.raises(CaffeError, match="there is no folder"):
        draw.draw_net_to_file(SMALL, tmp_path / "absent" / "net.svg")


def test_without_pydot(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(CaffeError, match="pip install pydot"):
        draw.get_pydot_graph(SMALL, "LR")
    assert draw.draw_net(SMALL, "LR", "svg")


def test_without_graphviz(monkeypatch):
    pytest.importorskip("pydot")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CaffeError, match="install graphviz"):
        draw.draw_net(SMALL, "LR", "pdf")


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for dot is a shell script")
def test_what_graphviz_makes_is_handed_on(tmp_path, monkeypatch):
    pytest.importorskip("pydot")
    program = tmp_path / "dot"
    program.write_text(
        '#!/bin/sh\n[ "$1" = -Tpdf ] || { echo "Format: not known" >&2; exit 1; }\n'
        '[ "$2" = -o ] && printf %%PDF > "$3" && /bin/cat "$4" >> "$3"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    content = draw.draw_net(SMALL, "LR", "pdf")
    assert content.startswith(b"%PDF")
    assert b"digraph" in content
    with pytest.raises(CaffeError, match=r"graphviz cannot make a \.xyz: Format: not known"):
        draw.draw_net(SMALL, "LR", "xyz")


def test_pydot_graph():
    pytest.importorskip("pydot")
    dot = draw.get_pydot_graph(SMALL, "LR", phase=caffe_pb2.TRAIN)
    labels = sorted(node.get_label() for node in dot.get_nodes())
    expected = ['"label"', '"loss"', '"x"', '"y"', r'"data\n(Data)"', r'"drop\n(Dropout)"']
    expected += [r'"conv\n(Convolution)\nkernel size: 5\nstride: 1\npad: 0"', r'"relu\n(ReLU)"']
    assert labels == sorted([*expected, r'"loss\n(SoftmaxWithLoss)"'])
    edges = [edge.get_label() for edge in dot.get_edges()]
    assert len(edges) == 11
    assert sorted(label for label in edges if label != '""') == ["20", "Batch 64", "Batch 64"]
    plain = draw.get_pydot_graph(SMALL, "LR", label_edges=False)
    assert {edge.get_label() for edge in plain.get_edges()} == {'""'}
    assert draw.draw_net(SMALL, "LR", "raw").startswith(b"digraph")


def test_pydot_need_not_be_there_to_import():
    program = (
        "import sys; sys.modules['pydot'] = sys.modules['PIL'] = None; import caffe_lite.draw"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
