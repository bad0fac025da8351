"""What layer types say of themselves; and that a new type needs no line outside of its class."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from caffe_lite import coord_map, draw
from caffe_lite import layers as L  # noqa: N812
from caffe_lite.cli import stand_ins
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer, Source
from caffe_lite.layers.description import SAME_COORDINATES, Drawing
from caffe_lite.net.summary import summarize
from caffe_lite.proto import caffe_pb2, nodes, text


def param_of(content: str) -> caffe_pb2.LayerParameter:
    param = caffe_pb2.LayerParameter()
    text.parse(content, param, "layer.prototxt")
    return param


def map_of(content: str):
    param = param_of(content)
    return registry.layer_class(param.type).coordinate_map(param)


WINDOWS = [
    ("Convolution", "convolution_param", (3, 5), (2, 3), (1, 4), (2, 1)),
    ("DepthwiseConvolution", "convolution_param", (1, 4), (3, 1), (0, 2), (1, 3)),
    ("Im2col", "convolution_param", (2, 3), (1, 2), (3, 0), (1, 2)),
    ("Pooling", "pooling_param", (4, 3), (3, 2), (1, 0), (1, 1)),
]


@pytest.mark.parametrize(("type_", "field", "kernel", "stride", "pad", "dilation"), WINDOWS)
def test_windows_map_their_centre_to_their_index(type_, field, kernel, stride, pad, dilation):
    (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w) = kernel, stride, pad
    dilations = "dilation: {} dilation: {}".format(*dilation) if dilation != (1, 1) else ""
    axis, a, b = map_of(f"""type: "{type_}" {field} {{
        kernel_h: {kernel_h} kernel_w: {kernel_w} stride_h: {stride_h} stride_w: {stride_w}
        pad_h: {pad_h} pad_w: {pad_w} {dilations} }}""")
    assert axis == 1
    for index in (0, 1, 4):
        for i in range(2):
            taps = [index * stride[i] - pad[i] + dilation[i] * k for k in range(kernel[i])]
            assert a[i] * np.mean(taps) + b[i] == pytest.approx(index)


def test_a_deconvolution_maps_an_index_to_the_centre_of_what_it_spreads():
    axis, a, b = map_of("""type: "Deconvolution" convolution_param {
        axis: 2 kernel_size: 4 stride: 2 stride: 3 pad: 1 dilation: 2 }""")
    assert axis == 2
    for index in (0, 3):
        for i, stride in enumerate((2, 3)):
            spread = [index * stride - 1 + 2 * k for k in range(4)]
            assert np.broadcast_to(a, 2)[i] * index + np.broadcast_to(b, 2)[i] == pytest.approx(
                np.mean(spread)
            )


@pytest.mark.parametrize(
    "content",
    [
        'type: "Pooling" pooling_param { global_pooling: true }',
        'type: "Pooling"',
        'type: "Convolution"',
        'type: "Deconvolution"',
        'type: "InnerProduct" inner_product_param { num_output: 3 }',
        'type: "Flatten"',
    ],
)
def test_layers_that_map_no_coordinates(content):
    assert map_of(content) is None


def test_a_type_that_is_not_registered_says_nothing():
    param = param_of('name: "x" type: "Fancy" convolution_param { kernel_size: 3 }')
    cls = registry.describing_class("Fancy")
    assert cls is Layer
    assert cls.coordinate_map(param) is None
    assert cls.drawing(param) == Drawing()
    assert cls.source_shapes(param, {"x": (3,)}) is None
    assert not cls.needs_stand_in(param)


@pytest.mark.parametrize(
    ("type_", "field", "name"),
    [
        ("AnnotatedData", "data_param", "source"),
        ("Data", "data_param", "source"),
        ("DenseImageData", "dense_image_data_param", "source"),
        ("ImageData", "image_data_param", "source"),
        ("ImageSegData", "image_data_param", "source"),
        ("WindowData", "window_data_param", "source"),
        ("HDF5Data", "hdf5_data_param", "source"),
    ],
)
def test_sources_need_a_stand_in_where_their_file_is_missing(type_, field, name, tmp_path):
    cls = registry.layer_class(type_)
    path = tmp_path / "data"
    param = param_of(f'type: "{type_}" {field} {{ {name}: "{path}" }}')
    assert cls.needs_stand_in(param)
    assert cls.needs_stand_in(param_of(f'type: "{type_}"'))
    path.touch()
    assert not cls.needs_stand_in(param)


@pytest.mark.parametrize(
    ("type_", "fields", "labels"),
    [
        ("DenseImageData", "dense_image_data_param { %s label_divide_factor: 4 }", (3, 1, 2, 4)),
        ("DenseImageData", "dense_image_data_param { %s }", (3, 1, 9, 17)),
        (
            "DenseImageData",
            "dense_image_data_param { batch_size: 3 crop_height: 9 crop_width: 17 }",
            (3, 1, 9, 17),
        ),
        (
            "AnnotatedData",
            "data_param { batch_size: 3 } annotated_data_param { yolo_data_type: 1 } "
            "transform_param { resize_param { height: 9 width: 17 } }",
            (3, 1, 300, 5),
        ),
        (
            "AnnotatedData",
            "data_param { batch_size: 3 } transform_param { resize_param { height: 8 width: 8 } "
            "resize_param { height: 9 width: 17 } resize_param { height: 9 width: 9 } }",
            (1, 1, 1, 8),
        ),
    ],
)
def test_the_fields_of_a_missing_source_give_shapes(type_, fields, labels):
    fields = fields.replace("%s", "batch_size: 3 new_height: 9 new_width: 17")
    param = param_of(f'type: "{type_}" top: "data" top: "label" {fields}')
    shapes = registry.layer_class(type_).source_shapes(param, {})
    assert shapes == [(3, 3, 9, 17), labels]


@pytest.mark.parametrize(
    ("type_", "needed"),
    [("HDF5Output", True), ("MemoryData", True), ("DummyData", False), ("Input", False)],
)
def test_which_types_always_need_a_stand_in_or_never(type_, needed):
    assert registry.layer_class(type_).needs_stand_in(param_of(f'type: "{type_}"')) is needed


class Rays(Source):
    """A source of two tops that is never here."""

    @classmethod
    def needs_stand_in(cls, param):
        return True

    @classmethod
    def source_shapes(cls, param, items, channels=None):
        return [(2, 3, 4, 5), (2, 7)]


class Tripler(Layer):
    """Multiplies each element three times."""

    keeps_coordinates = True

    def top_shapes(self, x):
        return [x]

    @classmethod
    def drawing(cls, param):
        return Drawing("pooling", "THRICE", outputs=11)

    def multiply_adds(self, bottom, top):
        return 3 * math.prod(bottom[0])


NET = """
    layer { name: "rays" type: "Rays" top: "x" top: "y" }
    layer { name: "three" type: "Tripler" bottom: "x" top: "z" param { lr_mult: 2 } }
"""


@pytest.fixture
def _new_types(monkeypatch):
    monkeypatch.setitem(registry._LAYERS, "Rays", Rays)
    monkeypatch.setitem(registry._LAYERS, "Tripler", Tripler)


def read(content: str) -> nodes.NetSource:
    net = caffe_pb2.NetParameter()
    where = text.parse(content, net, str(Path("net.prototxt")))
    return nodes.from_message(net, where, "net.prototxt")


@pytest.mark.usefixtures("_new_types")
def test_a_new_type_is_summarized():
    rays, three = summarize(read(NET)).rows
    assert rays.shapes == ((2, 3, 4, 5), (2, 7))
    assert (rays.kind, rays.multiply_adds) == ("", 0)
    assert (three.kind, three.multiply_adds) == ("pooling", 3 * 2 * 3 * 4 * 5)


@pytest.mark.usefixtures("_new_types")
def test_a_new_type_is_drawn():
    layer = read(NET).nodes[1].param
    label = draw.get_layer_label(layer, "TB", display_lrm=True)
    assert label == '"three (Tripler THRICE) lr mult: 2.0, 1.0"'
    assert draw.get_edge_label(layer) == "11"
    assert draw.choose_color_by_layertype("Tripler") == draw.choose_color_by_layertype("Pooling")


@pytest.mark.usefixtures("_new_types")
def test_a_new_type_has_a_stand_in():
    source = read(NET)
    stand_ins.replace(source, {})
    rays, three = (node.param for node in source.nodes)
    assert (rays.name, rays.type, list(rays.top)) == ("rays", "DummyData", ["x", "y"])
    shapes = [tuple(shape.dim) for shape in rays.dummy_data_param.shape]
    assert shapes == [(2, 3, 4, 5), (2, 7)]
    assert three.type == "Tripler"


@pytest.mark.usefixtures("_new_types")
def test_a_new_type_maps_coordinates():
    assert coord_map.coord_map(L.Tripler(L.Input()).fn) == SAME_COORDINATES
