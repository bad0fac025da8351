"""Wrong arguments of every public function are a CaffeError of one line, as a table."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import CaffeError

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "exp" type: "Exp" bottom: "x" top: "y" }
"""
MEMORY = """
layer { name: "in" type: "MemoryData" top: "x" top: "label"
  memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }
"""


class Odd:
    """An object that no function takes."""


class BytesPath:
    def __fspath__(self):
        return b"net.prototxt"


JUNK = [None, 5, -1.5, b"net.prototxt", [], {}, Odd(), BytesPath(), "a\0b", "nowhere", "n" * 5000]
JUNK += [True, 1j, np.zeros(3), object, ["net.prototxt"], "", "\udc80\x1b[2J", float("nan")]
NUMBERS = [None, "3", 2.5, -1, 9, 10**30, [], Odd(), float("nan"), 1j, True, np.zeros(2)]
ARRAYS = [
    None, "text", ["a", "b"], [[1, 2], [3]], Odd(), [Odd(), Odd()], np.zeros((2, 3, 4, 5), object),
    np.zeros((2, 3, 4, 5), complex), np.zeros((2, 3, 4)), np.zeros(()), np.array(["x"] * 2),
    np.zeros((2, 3, 4, 5), "datetime64[s]"), {}, {"a": 1}, b"bytes", 10**400, np.zeros(0),
]  # fmt: skip


def _net():
    return caffe.Net("net.prototxt", caffe.TEST)


def _memory_net():
    return caffe.Net("memory.prototxt", caffe.TEST)


def _transformer():
    return caffe.io.Transformer({"x": (2, 3, 4, 5)})


TABLE = {
    "Net": (JUNK, lambda v: caffe.Net(v, caffe.TEST)),
    "Net phase": ([9, -1, 2.5, [], Odd(), 1j, True, 10**30],
                  lambda v: caffe.Net("net.prototxt", v)),
    "Net phase, a name": (["train", "TEST", ""], lambda v: caffe.Net("net.prototxt", v)),
    "Net level": (NUMBERS[:3] + NUMBERS[5:], lambda v: caffe.Net("net.prototxt", 1, v)),
    "Net stages": (["a", 5, [5], [None], Odd(), b"a", True, [b"a"]],
                   lambda v: caffe.Net("net.prototxt", 1, stages=v)),
    "Net weights": (JUNK[1:], lambda v: caffe.Net("net.prototxt", 1, weights=v)),
    "Net dtype": (["float16", np.int32, int, complex, object, "junk", 5, None, Odd(), ">f4"],
                  lambda v: caffe.Net("net.prototxt", 1, dtype=v)),
    "Net forward inputs": (ARRAYS, lambda v: _net().forward(x=v)),
    "Net forward unknown": ([np.zeros(2)], lambda v: _net().forward(nothing=v)),
    "Net forward blobs": (["x", 5, [5], ["nothing"], [None], Odd()],
                          lambda v: _net().forward(blobs=v)),
    "Net forward start": ([5, "nothing", [], Odd(), b"exp"], lambda v: _net().forward(start=v)),
    "Net forward end": ([5, "nothing", [], Odd(), b"exp"], lambda v: _net().forward(end=v)),
    "Net backward diffs": (["x", 5, [5], ["nothing"]], lambda v: _net().backward(diffs=v)),
    "Net backward tops": (ARRAYS, lambda v: _net().backward(y=v)),
    "Net forward_all": (ARRAYS[:4] + ARRAYS[4:], lambda v: _net().forward_all(x=v)),
    "Net forward_all, nothing": ([None], lambda _: _net().forward_all()),
    "Net forward_backward_all": (ARRAYS, lambda v: _net().forward_backward_all(x=v)),
    "Net forward_from_to": (NUMBERS[:4] + NUMBERS[5:], lambda v: _net().forward_from_to(v, 1)),
    "Net backward_from_to": (NUMBERS[:4] + NUMBERS[5:], lambda v: _net().backward_from_to(1, v)),
    "Net copy_from": (JUNK, lambda v: _net().copy_from(v)),
    "Net load_hdf5": (JUNK, lambda v: _net().load_hdf5(v)),
    "Net share_with": ([None, 5, "net", Odd()], lambda v: _net().share_with(v)),
    "Net save": ([*JUNK[:9], "no/folder/x"], lambda v: _net().save(v)),
    "Net save_hdf5": ([*JUNK[:9], "no/folder/x"], lambda v: _net().save_hdf5(v)),
    "Net share_memory": (["x", 5, [5], ["nothing"]], lambda v: _net().share_memory(keep=v)),
    "Net before_forward": ([None, 5, "x"], lambda v: _net().before_forward(v)),
    "Net set_input_arrays": (ARRAYS, lambda v: _memory_net().set_input_arrays(v, np.zeros(2))),
    "Net set_input_arrays labels": (ARRAYS, lambda v: _memory_net().set_input_arrays(
        np.zeros((2, 3, 4, 5), np.float32), v)),
    "Net set_input_arrays, no MemoryData": ([0], lambda v: _net().set_input_arrays(v, v)),
    "Blob reshape": (NUMBERS[:4] + NUMBERS[5:], lambda v: _net().blobs["x"].reshape(2, v)),
    "Blob": (["shape", 5, [2.5], [None], [-1], [10**30], Odd()], caffe.Blob),
    "Solver": (JUNK, caffe.get_solver),
    "SGDSolver": (JUNK, caffe.SGDSolver),
    "set_random_seed": ([None, "3", 2.5, [], Odd(), 1j], caffe.set_random_seed),
    "set_memory_limit": (["3", 2.5, -1, 0, [], Odd(), True], caffe.set_memory_limit),
    "init_log": (["x", [], Odd(), 1j], caffe.init_log),
    "Classifier": (JUNK, lambda v: caffe.Classifier(v, "nowhere")),
    "Classifier weights": (JUNK[1:], lambda v: caffe.Classifier("net.prototxt", v)),
    "Detector": (JUNK, lambda v: caffe.Detector(v, "nowhere")),
    "register_python_layer": ([None, 5, Odd, "x"], caffe.register_python_layer),
    "io.load_image": (JUNK, caffe.io.load_image),
    "io.resize_image": (ARRAYS[:8] + ARRAYS[9:], lambda v: caffe.io.resize_image(v, (3, 3))),
    "io.resize_image dims": ([None, 5, "ab", [1], [2.5, None], [-1, 3], [10**30, 2], Odd()],
                             lambda v: caffe.io.resize_image(np.zeros((4, 5, 3)), v)),
    "io.oversample": ([None, 5, "ab", [], [5], np.zeros(3), Odd()],
                      lambda v: caffe.io.oversample(v, (2, 2))),
    "io.oversample dims": ([None, 5, "ab", [1], [9, 9], [-1, 2], Odd()],
                           lambda v: caffe.io.oversample([np.zeros((4, 5, 3))], v)),
    "io.array_to_datum": (ARRAYS[:8] + ARRAYS[9:], caffe.io.array_to_datum),
    "io.array_to_datum label": (["x", 2.5, [], Odd(), 10**30],
                                lambda v: caffe.io.array_to_datum(np.zeros((1, 2, 3)), v)),
    "io.datum_to_array": ([None, 5, "x", b"y", Odd(), caffe.proto.caffe_pb2.BlobProto()],
                          caffe.io.datum_to_array),
    "io.blobproto_to_array": ([None, 5, "x", Odd(), caffe.proto.caffe_pb2.Datum()],
                              caffe.io.blobproto_to_array),
    "io.array_to_blobproto": ([None, "text", ["a"], [[1, 2], [3]], Odd(), np.zeros(2, complex)],
                              caffe.io.array_to_blobproto),
    "io.arraylist_to_blobprotovector_str": ([None, 5, ["a"], [None], Odd()],
                                            caffe.io.arraylist_to_blobprotovector_str),
    "io.blobprotovector_str_to_arraylist": ([None, 5, "text", b"\xff\xff", Odd()],
                                            caffe.io.blobprotovector_str_to_arraylist),
    "io.Transformer": ([None, 5, "x", Odd(), [1]], lambda v: caffe.io.Transformer(v)),
    "io.Transformer set_transpose": ([None, 5, (0, 0, 0), (1, 2, 9), "abc", (2.5, 1, 0)],
                                     lambda v: _transformer().set_transpose("x", v)),
    "io.Transformer set_channel_swap": ([None, 5, (0, 0, 7), "abc", (0.5, 1, 2)],
                                        lambda v: _transformer().set_channel_swap("x", v)),
    "io.Transformer set_raw_scale": ([None, "x", [], Odd(), 1j],
                                     lambda v: _transformer().set_raw_scale("x", v)),
    "io.Transformer set_input_scale": ([None, "x", [], Odd(), 1j],
                                       lambda v: _transformer().set_input_scale("x", v)),
    "io.Transformer set_mean": (ARRAYS, lambda v: _transformer().set_mean("x", v)),
    "io.Transformer preprocess": (ARRAYS[:8], lambda v: _transformer().preprocess("x", v)),
    "io.Transformer input": ([None, 5, "y", [], Odd()],
                             lambda v: _transformer().set_raw_scale(v, 2)),
    "NetSpec": ([None, 5, "x", Odd()], lambda v: _spec(v)),
    "layers": ([None, 5, "x", Odd()], lambda v: caffe.net_spec.layers.ReLU(v)),
    "layers ntop": ([None, "x", -1, 2.5, [], 10**9, Odd()],
                    lambda v: caffe.net_spec.layers.Input(ntop=v)),
    "to_proto": ([None, 5, "x", Odd()], caffe.to_proto),
    "draw_net": ([None, 5, "net", Odd()], lambda v: caffe.draw.draw_net(v, "LR")),
    "draw_net rankdir": ([None, 5, "XX", Odd()],
                         lambda v: caffe.draw.draw_net(caffe.proto.caffe_pb2.NetParameter(), v)),
    "draw_net_to_file": ([None, 5, b"x", "x", "x.junk", "no/folder/x.svg", Odd()],
                         lambda v: caffe.draw.draw_net_to_file(
                             caffe.proto.caffe_pb2.NetParameter(), v)),
    "coord_map": ([None, 5, "x", Odd()], lambda v: caffe.coord_map.coord_map_from_to(v, v)),
}  # fmt: skip


def _spec(value):
    spec = caffe.NetSpec()
    spec.x = value
    return spec.to_proto()


ROWS = [(name, index) for name, (values, _) in TABLE.items() for index in range(len(values))]


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "memory.prototxt").write_text(MEMORY)
    monkeypatch.chdir(tmp_path)
    yield
    caffe.set_random_seed(-1)
    caffe.set_memory_limit(None)


@pytest.mark.parametrize(("name", "index"), ROWS)
def test_a_wrong_argument_is_a_caffe_error(name, index):
    values, call = TABLE[name]
    with pytest.raises(CaffeError) as caught:
        call(values[index])
    text = str(caught.value)
    assert text.isprintable()
    assert 0 < len(text) < 2001
