from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite import limits
from caffe_lite.errors import CaffeError, OutOfMemory
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, nodes, text
from caffe_lite.solver import get_solver

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { %s } } }\n'
SHAPE = "dim: 2 dim: 3 dim: 8 dim: 9"


@pytest.fixture(autouse=True)
def _limit_as_before():
    yield
    limits.set_memory_limit(None)


def build(layers, phase=caffe.TRAIN):
    written = caffe_pb2.NetParameter()
    where = text.parse(INPUT % SHAPE + layers, written, "net.prototxt")
    return Net(nodes.from_message(written, where, "net.prototxt"), phase)


def layer(kind, config, top="y"):
    return f'layer {{ name: "l" type: "{kind}" bottom: "x" top: "{top}"\n{config} }}'


FORCED = "\nforce_backward: true"
INNER = "inner_product_param { weight_filler { std: 1 }\n num_output: %d }"


def test_a_budget_counts_each_piece_once():
    limits.set_memory_limit(100)
    budget = limits.Budget()
    budget.ask("a", 60, "a")
    budget.ask("a", 60, "a")
    with pytest.raises(OutOfMemory, match=r"the net with b, 4.1e-08 GB, would take 1.01e-07 GB"):
        budget.ask("b", 41, "b")
    assert budget.total == 60  # what was refused is not taken
    budget.ask("b", 40, "b")
    budget.ask("a", 10, "a")
    budget.ask_at_most("b", 7, "b")
    assert (budget.total, budget.taken("b"), budget.taken("c")) == (50, 40, 0)


@pytest.mark.parametrize("limit", [0, -5, 1.5, "2GB", True, b"1", [3]])
def test_a_limit_is_a_positive_number_of_bytes(limit):
    with pytest.raises(CaffeError, match="a memory limit"):
        caffe.set_memory_limit(limit)


def test_a_net_counts_what_it_takes():
    net = build(layer("InnerProduct", INNER % 5) + FORCED)
    x, y, weights = 2 * 3 * 8 * 9, 2 * 5, 5 * 216 + 5
    assert net.budget.total == 4 * (x + y + weights)
    net.forward()
    net.backward()
    assert net.budget.total == 2 * 4 * (x + y + weights)


def test_every_array_of_a_net_was_asked_for():
    config = 'convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }'
    pool = (
        'layer { name: "m" type: "Pooling" bottom: "y" top: "z" pooling_param { kernel_size: 2 } }'
    )
    net = build(layer("Convolution", config) + pool + FORCED)
    net.forward()
    net.backward()
    arrays = [blob.data_memory.array for blob in net.blob_list]
    arrays += [blob.diff_memory.array for blob in net.blob_list]
    for each in net.layers:
        arrays += [a for blob in each.blobs for a in (blob.data_memory.array, blob.diff)]
        arrays += [a for a in vars(each.buf).values() if isinstance(a, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= net.budget.total


FAR = "pooling_param { pool: AVE stride: 99999999 pad: 99999999\n kernel_size: 100000000 }"


@pytest.mark.parametrize(
    ("kind", "config", "says"),
    [
        ("InnerProduct", INNER % 300_000, r"a blob of shape \(300000, 216\)"),
        ("Pooling", FAR, "its workspace"),
        ("Tile", "tile_param {\n tiles: 99999999 }", "a blob of shape"),
        ("Convolution", "convolution_param { kernel_size: 1\n num_output: 9999999 }", "a blob"),
    ],
)
def test_an_error_names_the_field(kind, config, says):
    limits.set_memory_limit(10**8)
    with pytest.raises(OutOfMemory, match=says) as caught:
        build(layer(kind, config))
    assert str(caught.value).startswith("net.prototxt:4:")
    assert f'layer "l" ({kind})' in str(caught.value)
    assert "the memory limit is 0.1 GB" in str(caught.value)


def test_the_net_is_refused_where_it_becomes_too_large():
    limits.set_memory_limit(4 * 432 * 3)
    with pytest.raises(OutOfMemory, match=r'net.prototxt:6:1: layer "l" \(Exp\)'):
        build(layer("Exp", "", "y") + "\n" + layer("Exp", "", "z") + "\n" + layer("Exp", "", "w"))


def test_gradients_are_asked_for_before_backward():
    limits.set_memory_limit(4 * (2 * 432 + 10 + 1085 + 100))
    net = build(layer("InnerProduct", INNER % 5) + FORCED)
    net.forward()
    with pytest.raises(OutOfMemory, match=r"gradients|those of its") as caught:
        net.backward()
    assert str(caught.value).startswith("net.prototxt:2:")
    assert not any(blob.has_diff for blob in net.params["l"])


def test_shared_memory_is_what_is_counted():
    layers = "".join(
        f'layer {{ name: "{i}" type: "Exp" bottom: "{"x" if i == 0 else i}" top: "{i + 1}" }}\n'
        for i in range(6)
    )
    net = build(layers, caffe.TEST)
    apart = net.budget.total
    net.share_memory(backward=False)
    assert apart == 4 * 432 * 7
    assert net.budget.total < apart
    net.forward()
    assert net.budget.total < apart


def test_a_reshape_is_asked_for():
    net = build(layer("Exp", ""))
    limits.set_memory_limit(10**6)
    net.blobs["x"].reshape(2, 3, 150, 200)
    with pytest.raises(OutOfMemory, match=r'net.prototxt:2:1: layer "l" \(Exp\)'):
        net.reshape()
    net.blobs["x"].reshape(2, 3, 100, 100)
    net.reshape()
    assert net.forward()["y"].shape == (2, 3, 100, 100)


def test_a_solver_asks_for_its_history(tmp_path):
    net = INPUT % SHAPE + layer("InnerProduct", INNER % 5)
    net += 'layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }'
    path = tmp_path / "solver.prototxt"
    (tmp_path / "net.prototxt").write_text(net)
    path.write_text(
        f'net: "{tmp_path}/net.prototxt" type: "Adam" lr_policy: "fixed" momentum: 0.9'
    )
    with get_solver(str(path)) as solver:
        assert solver.net.budget.taken("history") == 2 * 4 * 1085
    limits.set_memory_limit(solver.net.budget.total - 1)
    with pytest.raises(OutOfMemory, match=r"solver.prototxt: the net with the gradients"):
        get_solver(str(path))


def test_more_than_the_machine_gives_is_an_error_of_the_layer(monkeypatch):
    def fails(*_):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("caffe_lite.layers.base.fillers.fill", fails)
    with pytest.raises(OutOfMemory, match=r'net.prototxt:2:1: layer "l".* Unable to allocate'):
        build(layer("InnerProduct", INNER % 5))
