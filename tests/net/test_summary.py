"""Numbers are compared with sums written out from the papers' and Caffe's own shapes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import caffe_lite as caffe
from caffe_lite import cli
from caffe_lite.errors import CaffeError, DataError, LayerError, NetError
from caffe_lite.layers.data import Data
from caffe_lite.net.summary import bytes_text, count_text, shape_text, summarize
from caffe_lite.proto import caffe_pb2, files, nodes, text
from tests.project import copy_golden

MODELS = Path(__file__).parent.parent.parent / "models"
TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST


def source_of(content):
    net = caffe_pb2.NetParameter()
    where = text.parse(content, net, "net.prototxt")
    return nodes.from_message(net, where, "net.prototxt")


def rows_of(content, **settings):
    return {row.name: row for row in summarize(source_of(content), **settings).rows}


def test_alexnet_as_in_the_paper():
    summary = summarize(files.read_net(MODELS / "alexnet" / "deploy.prototxt"))
    # outputs, inputs of a group, kernel, and the places of the top
    convolutions = [
        (96, 3, 11, 55),
        (256, 48, 5, 27),
        (384, 256, 3, 13),
        (384, 192, 3, 13),
        (256, 192, 3, 13),
    ]
    products = [(4096, 256 * 6 * 6), (4096, 4096), (1000, 4096)]
    weights = [n * c * k * k for n, c, k, _ in convolutions] + [n * c for n, c in products]
    biases = [n for n, *_ in (*convolutions, *products)]
    work = [n * c * k * k * size * size for n, c, k, size in convolutions]
    work += [n * c for n, c in products]
    rows = [row for row in summary.rows if row.parameters]
    assert [row.parameters for row in rows] == [w + b for w, b in zip(weights, biases)]
    assert [row.multiply_adds for row in rows] == [summary.items * each for each in work]
    assert summary.parameters == 60_965_224
    assert summary.multiply_adds == summary.items * 724_406_816


def test_lenet():
    source = files.read_net(MODELS / "lenet" / "deploy.prototxt")
    summary = summarize(source)
    expected = {
        "conv1": (20 * 25 + 20, 64 * 20 * 25 * 24 * 24),
        "conv2": (50 * 20 * 25 + 50, 64 * 50 * 20 * 25 * 8 * 8),
        "ip1": (500 * 800 + 500, 64 * 500 * 800),
        "ip2": (10 * 500 + 10, 64 * 10 * 500),
    }
    found = {row.name: (row.parameters, row.multiply_adds) for row in summary.rows}
    assert {name: found[name] for name in expected} == expected
    assert summary.parameters == 431_080
    assert (summary.items, summary.name) == (64, "LeNet")


CONVOLUTION = """
    layer { name: "in" type: "Input" top: "x"
            input_param { shape { dim: 2 dim: 6 dim: 9 dim: 8 } } }
    layer { name: "c" type: "%s" bottom: "x" top: "y" convolution_param {
        num_output: %d group: %d kernel_h: 3 kernel_w: 2 stride: 2 bias_term: %s } }
"""


@pytest.mark.parametrize(
    ("type_", "outputs", "group", "bias"),
    [
        ("Convolution", 10, 1, "true"),
        ("Convolution", 4, 2, "false"),
        ("DepthwiseConvolution", 6, 6, "true"),
        ("Deconvolution", 4, 2, "true"),
    ],
)
def test_multiply_adds_are_counted_one_by_one(type_, outputs, group, bias):
    row = rows_of(CONVOLUTION % (type_, outputs, group, bias))["c"]
    top = (2, outputs, 4, 4) if type_ != "Deconvolution" else (2, outputs, 19, 16)
    assert row.shapes == (top,)
    count = 0
    for _ in range(2):  # items
        for output in range(outputs):
            for channel in range(6):
                if channel * group // 6 == output * group // outputs:
                    places = 9 * 8 if type_ == "Deconvolution" else 4 * 4
                    count += 3 * 2 * places
    assert row.multiply_adds == count
    weights = outputs * 6 // group * 3 * 2
    assert row.parameters == weights + (outputs if bias == "true" else 0)
    assert row.memory == 4 * math.prod(top)


def test_recurrent_multiply_adds():
    rows = rows_of("""
        layer { name: "in" type: "Input" top: "x" top: "cont" top: "s" input_param {
            shape { dim: 7 dim: 3 dim: 5 } shape { dim: 7 dim: 3 } shape { dim: 3 dim: 6 } } }
        layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" bottom: "s" top: "h"
                recurrent_param { num_output: 2 } }
    """)
    each_step, each_stream = 4 * 2 * (5 + 2), 4 * 2 * 6
    assert rows["l"].multiply_adds == 3 * (7 * each_step + each_stream)
    assert rows["l"].parameters == each_step + each_stream + 4 * 2


def test_what_stands_in_anothers_memory_takes_none():
    rows = rows_of("""
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 } } }
        layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
        layer { name: "flat" type: "Flatten" bottom: "x" top: "f" }
        layer { name: "tanh" type: "TanH" bottom: "f" top: "t" }
    """)
    assert [row.memory for row in rows.values()] == [96, 0, 0, 96]
    assert rows["flat"].shapes == ((2, 12),)


def test_shared_parameters_count_once():
    summary = summarize(
        source_of("""
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
                inner_product_param { num_output: 4 } }
        layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" }
                inner_product_param { num_output: 4 } }
    """)
    )
    assert [(row.parameters, row.shared) for row in summary.rows[1:]] == [(16, 0), (4, 12)]
    assert summary.parameters == 20


def test_weights_of_any_size_are_not_made():
    rows = rows_of("""
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 30000 } } }
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param {
            num_output: 30000 weight_filler { type: "gaussian" std: 1 } } }
    """)
    assert rows["a"].parameters == 30000 * 30001


# -- data layers ---------------------------------------------------------------------------

DATA = 'layer {{ name: "d" type: "{}" top: "data" top: "label" {} {} }}'


@pytest.mark.parametrize(
    ("type_", "config", "transform", "shape"),
    [
        (
            "Data",
            'data_param { source: "absent" batch_size: 5 }',
            "crop_size: 9 mean_value: 1 mean_value: 2 mean_value: 3",
            (5, 3, 9, 9),
        ),
        (
            "Data",
            'data_param { source: "absent" batch_size: 5 }',
            "crop_size: 9 force_gray: true",
            (5, 1, 9, 9),
        ),
        (
            "Data",
            'data_param { source: "absent" batch_size: 5 }',
            "crop_size: 9 force_color: true",
            (5, 3, 9, 9),
        ),
        (
            "ImageData",
            'image_data_param { source: "absent" batch_size: 4 new_height: 6 new_width: 7 }',
            "scale: 1",
            (4, 3, 6, 7),
        ),
        (
            "ImageData",
            'image_data_param { source: "absent" batch_size: 4 is_color: false }',
            "crop_size: 5",
            (4, 1, 5, 5),
        ),
        (
            "WindowData",
            'window_data_param { source: "absent" batch_size: 8 }',
            "crop_size: 11",
            (8, 3, 11, 11),
        ),
    ],
)
def test_shapes_come_from_the_prototxt(type_, config, transform, shape):
    rows = rows_of(DATA.format(type_, config, f"transform_param {{ {transform} }}"))
    assert rows["d"].shapes == (shape, shape[:1])


def test_shapes_come_from_the_mean_file(tmp_path):
    mean = caffe_pb2.BlobProto(num=1, channels=3, height=7, width=8, data=[0.0] * 168)
    (tmp_path / "mean").write_bytes(mean.SerializeToString())
    transform = f'transform_param {{ mean_file: "{tmp_path / "mean"}" %s }}'
    config = 'data_param { source: "absent" batch_size: 2 }'
    whole = rows_of(DATA.format("Data", config, transform % ""))
    assert whole["d"].shapes[0] == (2, 3, 7, 8)
    cropped = rows_of(DATA.format("Data", config, transform % "crop_size: 5"))
    assert cropped["d"].shapes[0] == (2, 3, 5, 5)
    (tmp_path / "mean").write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match=r"net\.prototxt:1:.*mean"):
        rows_of(DATA.format("Data", config, transform % ""))


def test_shapes_come_from_the_data_where_it_must(tmp_path, monkeypatch):
    closed = []
    close = Data.close
    monkeypatch.setattr(Data, "close", lambda self: closed.append(self.name) or close(self))
    copy_golden("data/lmdb_64x48", tmp_path / "db")  # reading makes a lock file
    config = f'data_param {{ source: "{tmp_path / "db"}" batch_size: 2 backend: LMDB }}'
    shapes = rows_of(DATA.format("Data", config, ""))["d"].shapes
    assert shapes == ((2, 3, 48, 64), (2,))
    assert closed == ["d"], "its data are open for their shape alone"


def test_given_shapes_come_first():
    config = 'data_param { source: "absent" batch_size: 5 }'
    content = DATA.format("Data", config, "")
    rows = rows_of(content, input_shapes={"data": (2, 3, 4, 5)})
    assert rows["d"].shapes == ((2, 3, 4, 5), (2,))
    rows = rows_of(content, input_shapes={"data": (2, 3, 4, 5), "label": (2, 1, 4, 5)})
    assert rows["d"].shapes == ((2, 3, 4, 5), (2, 1, 4, 5))


def test_given_shapes_of_inputs():
    content = """layer { name: "in" type: "Input" top: "x" top: "y"
        input_param { shape { dim: 2 dim: 3 } shape { dim: 4 } } }"""
    assert rows_of(content, input_shapes={"y": (7,)})["in"].shapes == ((2, 3), (7,))
    assert rows_of(content, input_shapes={"x": (7,)})["in"].shapes == ((7,), (4,))


@pytest.mark.parametrize("type_", ["Python", "AnnotatedData"])
def test_layers_that_cannot_be_run_here_need_only_a_shape(type_):
    content = DATA.format(type_, "", 'python_param { module: "absent" layer: "Absent" }')
    rows = rows_of(content, input_shapes={"data": (1, 3, 6, 6)})
    assert rows["d"].shapes == ((1, 3, 6, 6), (1,))


@pytest.mark.parametrize(
    ("content", "given", "error", "says"),
    [
        (
            DATA.format("Data", 'data_param { source: "absent" batch_size: 5 }', ""),
            {},
            NetError,
            r'net\.prototxt:1:1: layer "d" \(Data\): the prototxt does not say all .*"absent".*'
            r"--input-shape data=N,C,H,W",
        ),
        (
            'layer { name: "in" type: "Input" top: "x" }',
            {},
            NetError,
            r'layer "in" \(Input\): the prototxt gives its top no shape; .*--input-shape x=',
        ),
        (
            'layer { name: "in" type: "Input" top: "x" }',
            {"y": (1, 2)},
            NetError,
            r'a shape is given for "y", but the inputs are: x',
        ),
        (
            DATA.format("Python", "", 'python_param { module: "absent" layer: "Absent" }'),
            {},
            LayerError,
            "--allow-python-layers",
        ),
        (
            'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
            'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param {} }',
            {},
            LayerError,
            r'net\.prototxt:2:\d+: layer "c" \(Convolution\)',
        ),
        (
            'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
            'layer { name: "i" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {\n'
            "  num_output: 3 relu: true } }",
            {},
            LayerError,
            r'net\.prototxt:3:23: layer "i" .* inner_product_param.relu is a field of a fork',
        ),
        (
            'layer { name: "m" type: "MemoryData" top: "x" include { phase: TEST } }\n'
            'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }',
            {},
            NetError,
            r'net\.prototxt:2:40: layer "r" \(ReLU\): unknown bottom "x" .* is produced by '
            r'layer "m" \(net\.prototxt:1:1\) only in TEST$',
        ),
    ],
)
def test_refusals_say_where(content, given, error, says):
    with pytest.raises(CaffeError, match=says) as caught:
        rows_of(content, input_shapes=given)
    assert isinstance(caught.value, error)
    assert "\n" not in str(caught.value)


# -- types that are not here ---------------------------------------------------------------

UNKNOWN = """
    layer { name: "records" type: "PrivateData" top: "records" top: "label" }
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [2, 3, 8, 9] } } }
    layer { name: "act" type: "PrivateNeuron" bottom: "x" top: "x" }
    layer { name: "before" type: "Convolution" bottom: "x" top: "a"
            convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: "gate" type: "PrivateGate" bottom: "a" top: "g" }
    layer { name: "relu" type: "ReLU" bottom: "g" top: "g" }
    layer { name: "after" type: "Convolution" bottom: "g" top: "b"
            convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" }
    layer { name: "beside" type: "InnerProduct" bottom: "a" top: "c"
            inner_product_param { num_output: 5 } }
"""


def test_shapes_that_do_not_depend_on_an_unknown_type_are_right():
    rows = rows_of(UNKNOWN)
    assert rows["records"].shapes == (None, None)
    assert rows["act"].shapes == ((2, 3, 8, 9),), "a layer in place keeps its shape"
    assert (rows["before"].shapes, rows["before"].parameters) == (((2, 4, 6, 7),), 4 * 27 + 4)
    assert rows["gate"].shapes == rows["relu"].shapes == rows["after"].shapes == (None,)
    assert rows["loss"].shapes == ((),), "a loss is a scalar, whatever its bottoms are"
    assert (rows["beside"].shapes, rows["beside"].parameters) == (((2, 5),), 5 * 168 + 5)
    assert [name for name, row in rows.items() if not row.is_known] == [
        "records", "act", "gate", "relu", "after", "loss",
    ]  # fmt: skip


def test_a_shape_can_be_given_to_a_source_of_an_unknown_type():
    rows = rows_of(UNKNOWN, input_shapes={"records": (7, 1)})
    assert rows["records"].shapes == ((7, 1), (7,))


def test_each_unknown_type_is_told_once_with_its_position(caplog):
    rows_of(UNKNOWN + 'layer { name: "again" type: "PrivateGate" bottom: "c" top: "d" }')
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.split(": ")[1] for line in told] == [
        'layer "records" (PrivateData)',
        'layer "act" (PrivateNeuron)',
        'layer "gate" (PrivateGate)',
    ]
    assert all("caffe_lite.register" in line and "net.prototxt:" in line for line in told)


def test_the_table_shows_what_is_unknown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(UNKNOWN)
    assert cli.main(["summarize", "net.prototxt"]) == 0
    out = capsys.readouterr().out.splitlines()
    after = next(line.split() for line in out if line.startswith("after"))
    assert after == ["after", "Convolution", "?", "?", "?", "?"]
    assert out[-1].startswith("not counted:   6 layers of types that are not here")


def test_a_layer_without_tops_and_one_type_that_is_not_here():
    summary = summarize(
        source_of("""
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "gone" type: "PrivateGate" bottom: "x" top: "y" }
        layer { name: "end" type: "Silence" bottom: "x" }""")
    )
    lines = str(summary).splitlines()
    assert lines[3].split() == ["end", "Silence", "-", "-", "-", "-"]
    assert lines[2].split() == ["gone", "PrivateGate", "?", "?", "?", "?"]
    assert lines[-1] == (
        "not counted:   1 layer of types that are not here, or with bottoms of unknown shape"
    )


# -- selection and texts -------------------------------------------------------------------


def test_phase_level_and_stages():
    content = """
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        layer { name: "train" type: "ReLU" bottom: "x" top: "a" include { phase: TRAIN } }
        layer { name: "stage" type: "ReLU" bottom: "x" top: "b" include { stage: "s" } }
        layer { name: "level" type: "ReLU" bottom: "x" top: "c" include { min_level: 2 } }
    """
    assert list(rows_of(content)) == ["in", "train"]
    assert list(rows_of(content, phase=TEST, stages=["s"])) == ["in", "stage"]
    assert list(rows_of(content, phase=TEST, level=2)) == ["in", "level"]


def test_the_source_is_not_changed():
    source = files.read_net(MODELS / "alexnet" / "deploy.prototxt")
    before = source.to_message().SerializeToString()
    assert summarize(source).rows == summarize(source).rows
    assert source.to_message().SerializeToString() == before


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (431_080, "431 k"),
        (60_965_224, "61.0 M"),
        (7_244_068_160, "7.24 G"),
        (5e13, "50.0 T"),
    ],
)
def test_counts(count, said):
    assert count_text(count) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1023 * 1024, "1023.0 KiB"),
        (1024**2, "1.0 MiB"),
        (5 * 1024**3 // 2, "2.5 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (1024**5, "1024.0 TiB"),
    ],
)
def test_bytes(count, said):
    assert bytes_text(count) == said


def test_the_batch_is_the_first_axis_of_the_first_blob():
    """Of a net that is built, too; a scalar is one item."""
    content = """layer { name: "in" type: "Input" top: "x" top: "y"
      input_param { shape { dim: 3 dim: 5 } shape { dim: 7 } } }
      layer { name: "more" type: "Input" top: "z" input_param { shape { dim: 4 } } }"""
    assert summarize(source_of(content)).items == 3
    assert summarize(source_of(UNKNOWN)).items == 1, "of the first blob nothing is known"
    with caffe.Net(source_of(content), TEST) as net:
        assert net.summary().items == 3
    with caffe.Net(source_of(content.replace("dim: 3 dim: 5", "")), TEST) as net:
        assert net.summary().items == 1
    with caffe.Net(source_of('name: "empty"'), TEST) as net:
        assert net.summary().items == 1


def test_a_source_may_have_a_scalar():
    content = """layer { name: "one" type: "DummyData" top: "one"
      dummy_data_param { shape { } } }"""
    assert rows_of(content)["one"].shapes == ((),)


def test_shapes():
    assert shape_text((2, 3, 4)) == "2x3x4"
    assert shape_text(()) == "scalar"


@pytest.mark.parametrize(
    ("kind", "field", "tops"),
    [("AnnotatedData", "data_param", 3), ("DenseImageData", "dense_image_data_param", 4)],
)
def test_a_source_with_more_tops_than_it_takes_is_an_error(kind, field, tops):
    """Forks have such layers: with a label for each pixel beside the boxes."""
    names = " ".join(f'top: "t{index}"' for index in range(tops))
    content = f"""layer {{ name: "data" type: "{kind}" {names}
        {field} {{ source: "x" batch_size: 2 }}
        transform_param {{ crop_size: 8 mean_value: [1, 2, 3] }} }}"""
    with pytest.raises(LayerError, match=f"data.* takes .* top blobs?, not {tops}"):
        summarize(source_of(content), caffe_pb2.TRAIN)
