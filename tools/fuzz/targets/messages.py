"""Binary protobuf files: weights, states, means and Datums."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from caffe_lite.data.datum import datum_to_array, parse
from caffe_lite.errors import WeightsError
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, files, nodes, text
from caffe_lite.proto.upgrade import upgrade_in_place
from caffe_lite.solver import get_solver
from caffe_lite.solver.solver import Solver
from tools.fuzz.targets import GOLDEN, Files, Target
from tools.fuzz.wire import wire_mutation

SMALL = """
name: "small"
layer { name: "in" type: "DummyData" top: "x"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "z" top: "loss" }
"""


def small_net() -> caffe_pb2.NetParameter:
    """The net that weights and states are put into."""
    param = caffe_pb2.NetParameter()
    text.parse(SMALL, param, "net.prototxt")
    return param


@cache
def solver() -> Solver:
    """A solver of the small net."""
    param = caffe_pb2.SolverParameter(
        base_lr=0.1, lr_policy="fixed", momentum=0.9, snapshot_after_train=False
    )
    param.net_param.CopyFrom(small_net())
    return get_solver(param)


@cache
def _net() -> Net:
    return Net(nodes.from_message(small_net(), None, ""), caffe_pb2.TEST)


def weights_message() -> caffe_pb2.NetParameter:
    """Weights of the small net."""
    net = caffe_pb2.NetParameter(name="small")
    rng = np.random.default_rng(1)
    for name, shapes in (("conv", [(2, 3, 3, 3), (2,)]), ("ip", [(2, 12), (2,)])):
        layer = net.layer.add(name=name, type="Convolution")
        for shape in shapes:
            values = rng.standard_normal((2, *shape)).astype(np.float32)
            files.put_array(layer.blobs.add(), *values)
    return net


def _weights() -> list[Files]:
    new = weights_message()
    raw = caffe_pb2.NetParameter()  # half precision of NVIDIA's Caffe, and legacy shapes
    layer = raw.layer.add(name="ip")
    for shape in ((1, 1, 2, 12), (1, 1, 1, 2)):
        blob = layer.blobs.add(**dict(zip(("num", "channels", "height", "width"), shape)))
        blob.raw_data = np.ones(shape, np.float16).tobytes()
        blob.raw_data_type = caffe_pb2.FLOAT16
    old = caffe_pb2.NetParameter()  # caffemodels of 2014 and of 2013
    old.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    oldest = caffe_pb2.NetParameter()
    oldest.layers.add().layer.name = "ip"
    oldest.layers[0].layer.type = "innerproduct"
    for blobs in (old.layers[0].blobs, oldest.layers[0].layer.blobs):
        blobs.add(num=1, channels=1, height=2, width=12, data=range(24))
        blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    return [{"w.caffemodel": net.SerializeToString()} for net in (new, raw, old, oldest)]


def states() -> list[caffe_pb2.SolverState]:
    """A state of `solver`."""
    state = caffe_pb2.SolverState(iter=7, current_step=1)
    for array in solver()._rule.history:
        files.put_array(state.history.add(), array)
    return [state]


def _states() -> list[Files]:
    seeds = [{"s.solverstate": state.SerializeToString()} for state in states()]
    named = states()[0]
    named.learned_net = "w.caffemodel"
    weights = weights_message().SerializeToString()
    return [
        *({**seed, "w.caffemodel": weights} for seed in seeds),
        {"s.solverstate": named.SerializeToString(), "w.caffemodel": weights},
    ]


def _means() -> list[Files]:
    mean = np.linspace(0, 255, 3 * 4 * 5).reshape(3, 4, 5)
    blobs = [files.array_to_blob(mean), files.array_to_blob(mean.astype(np.float32))]
    blobs.append(caffe_pb2.BlobProto(num=1, channels=2, height=1, width=2, data=[1, 2, 3, 4]))
    return [{"mean.binaryproto": blob.SerializeToString()} for blob in blobs]


def datums() -> list[bytes]:
    """Records of each kind: pixels, floats, an encoded image."""
    pixels = caffe_pb2.Datum(channels=3, height=4, width=5, data=bytes(60), label=3)
    floats = caffe_pb2.Datum(channels=2, height=1, width=2, float_data=[1, 2, 3, 4], label=-1)
    encoded = caffe_pb2.Datum(encoded=True, label=1)
    encoded.data = (GOLDEN / "data/images/color.png").read_bytes()[:2000]
    return [datum.SerializeToString() for datum in (pixels, floats, encoded)]


def _read_weights() -> None:
    net = files.read_weights("w.caffemodel")
    for layer in net.layer:
        for blob in layer.blobs:
            files.blob_to_array(blob)
    _net().copy_from("w.caffemodel")


def _restore() -> None:
    solver().restore("s.solverstate")


def _read_mean() -> None:
    blob = files.read_blob("mean.binaryproto")
    files.blob_to_array(blob)
    if blob.diff or blob.double_diff:
        files.blob_to_array(blob, diff=True)


def _read_datum() -> None:
    _parse_datum(Path("datum").read_bytes())


def _parse_datum(content: bytes) -> None:
    datum = parse(content)
    if not datum.encoded:  # decoding is the business of the target `image`
        datum_to_array(datum)


def _parse_weights(content: bytes) -> None:
    """What `read_weights` does after it has read the file."""
    net = caffe_pb2.NetParameter()
    try:
        net.ParseFromString(content)
    except DecodeError as error:
        raise WeightsError("damaged") from error
    try:
        upgrade_in_place(net)
    except UnicodeDecodeError as error:
        raise WeightsError("not UTF-8") from error
    for layer in net.layer:
        for blob in layer.blobs:
            files.blob_to_array(blob)


TARGETS = [
    Target("caffemodel", _weights, _read_weights, wire_mutation),
    Target("solverstate", _states, _restore, wire_mutation, ("s.solverstate",)),
    Target("binaryproto", _means, _read_mean, wire_mutation),
    Target("wire", _weights, _read_weights, wire_mutation, in_memory=_parse_weights),
    Target(
        "datum",
        lambda: [{"datum": record} for record in datums()],
        _read_datum,
        wire_mutation,
        in_memory=_parse_datum,
    ),
]
