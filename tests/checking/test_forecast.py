"""The forecast: memory against what a solver allocates, time against what it is made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.checking import check
from caffe_lite.checking.dry import look
from caffe_lite.checking.forecast import machine, time
from caffe_lite.checking.forecast.machine import Machine
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver import get_solver
from tests.checking.files import SOLVER, write
from tests.net import source
from tools.bench import nets
from tools.bench.report import RESULTS


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def forecast(net: str, batch: int, solver: str = SOLVER):
    settings = solver.replace("test_iter: 3\ntest_interval: 20\n", "")
    write(net=nets.prototxt(net, batch, train=True), solver=settings)
    found = check("solver.prototxt").forecast
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("net", "type_", "arrays"),
    [("lenet", "SGD", 1), ("cifar10_quick", "Adam", 2), ("squeezenet", "SGD", 1)],
)
def test_the_memory_is_what_a_solver_allocates(net, type_, arrays, monkeypatch):
    monkeypatch.setattr("caffe_lite.fillers.fill", lambda *_: None)
    monkeypatch.setattr("caffe_lite.huge_pages.zeros", np.zeros)  # no chunks: each has its own
    memory = forecast(net, 3, SOLVER + f'type: "{type_}"\n').memory
    with get_solver("solver.prototxt") as solver:
        solver.net.share_memory()
        params = sum(each.blob.data.nbytes for each in solver.net.learnable)
        assert memory.weights == 2 * params
        assert memory.history == sum(each.nbytes for each in solver._rule.history)
        assert memory.history == arrays * params
        storages = {
            id(memory): memory
            for blob in solver.net.blob_list
            for memory in (blob.data_memory, blob.diff_memory)
        }
        arenas = {
            id(base): base.nbytes
            for each in storages.values()
            if isinstance(base := each.array.base, np.ndarray)
        }
        alone = sum(each.array.nbytes for each in storages.values() if each.array.base is None)
        assert len(arenas) == 1
        (arena,) = arenas.values()
        assert arena <= memory.blobs <= arena + alone + 4096


def test_the_history_depends_on_the_solver():
    sgd, adam = (forecast("lenet", 2, SOLVER + each).memory for each in ("", 'type: "Adam"\n'))
    assert adam.history == 2 * sgd.history
    assert dataclasses.replace(adam, history=sgd.history) == sgd


def test_test_nets_are_counted_too():
    write()
    with_tests = check("solver.prototxt").forecast
    without = Path("solver.prototxt").read_text().replace("test_iter: 3\ntest_interval: 20\n", "")
    Path("solver.prototxt").write_text(without)
    alone = check("solver.prototxt").forecast
    assert with_tests is not None
    assert alone is not None
    assert with_tests.memory.tests > 0
    assert dataclasses.replace(with_tests.memory, tests=0) == alone.memory


JOINED = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 1 dim: 3 dim: 30 dim: 40 } shape { dim: 1 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 7 kernel_size: 1 } }
layer { name: "b" type: "Convolution" bottom: "data" top: "b"
  convolution_param { num_output: 5 kernel_size: 1 } }
layer { name: "t" type: "Concat" bottom: "a" bottom: "b" top: "t" }
layer { name: "pool" type: "Pooling" bottom: "t" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_slices_of_a_top_are_counted_once():
    def tests(text: str) -> int:
        write(net=text)
        found = check("solver.prototxt").forecast
        assert found is not None
        return found.memory.tests

    in_place = 'layer { name: "relu" type: "ReLU" bottom: "t" top: "t" }\n'  # so all is copied
    copied = JOINED.replace('layer { name: "pool"', in_place + 'layer { name: "pool"')
    assert tests(copied) - tests(JOINED) == pytest.approx(4 * 12 * 30 * 40, rel=0.1)


def test_the_time_grows_with_the_work_and_shrinks_with_the_speed():
    slow, fast = Machine(50e9, 10e9), Machine(100e9, 20e9)
    small, large = forecast("squeezenet", 8), forecast("squeezenet", 16)
    assert large.seconds(slow) == pytest.approx(2 * small.seconds(slow), rel=0.1)
    assert small.seconds(fast) == pytest.approx(small.seconds(slow) / 2, rel=0.1)
    twice = dataclasses.replace(small, iter_size=2)
    assert twice.seconds(slow) == pytest.approx(2 * small.seconds(slow), rel=0.1)


@pytest.mark.parametrize(
    ("net", "batch", "milliseconds"),
    [  # tools/bench/results/nets.md, with its speeds: nets as a whole were not fitted, but LeNet
        ("lenet", 64, 8.52),
        ("mobilenet", 8, 273),
        ("resnet50", 8, 1071),
        ("alexnet", 64, 1090),
    ],
)
def test_the_time_is_what_was_measured_on_a_quiet_machine(net, batch, milliseconds):
    seconds = forecast(net, batch).seconds(Machine(197.6e9, 27.5e9))
    assert seconds == pytest.approx(1e-3 * milliseconds, rel=0.3)


def test_the_machine_is_measured(monkeypatch):
    monkeypatch.setattr(machine, "SECONDS", 0.01)
    found = machine.this_machine.__wrapped__()
    assert 1e8 < found.flops < 1e14
    assert 1e8 < found.bandwidth < 1e13


WAYS = {"forward": 0, "dX": 1, "dW": 2}


@pytest.fixture(scope="module")
def recorded():
    """The machine of the recorded layers; and for each kind of product and each way, the layers
    and their milliseconds.
    """
    file = json.loads((RESULTS / "products.json").read_text(encoding="utf-8"))
    speed = file["environment"]
    state = caffe_pb2.NetState(phase=caffe_pb2.TEST)
    links = {}
    for net in ("alexnet", "vgg16", "resnet50", "googlenet"):
        for batch in (1, 32):
            view = look(source(nets.prototxt(net, batch, train=False)), state)
            for link in view.links or []:
                links[f"{net} {link.layer.name}", batch] = link
    layers = {}
    for name, batch, way, ours, _ in file["products"]:
        link = links[name, batch]
        layers.setdefault((time._kind(link), way), []).append((link, ours))
    assert len(layers) == 12
    return Machine(1e9 * speed["matmul_gflops"], 1e9 * speed["copy_gb_per_second"]), layers


def test_the_factors_are_those_of_recorded_layers(recorded):
    """For each kind of product and each way, the sum of 16 to 78 times that were measured."""
    fast, layers = recorded
    for (kind, way), measured in layers.items():
        factors = time.PRODUCTS[kind][WAYS[way]]
        foreseen = sum(1e3 * time._product(factors, link, fast) for link, _ in measured)
        assert foreseen == pytest.approx(sum(ours for _, ours in measured), rel=0.3), (kind, way)


def test_the_factors_are_those_of_a_fit(recorded):
    """Twice either of them is further from the recorded layers."""
    fast, layers = recorded

    def distance(factors, measured):
        return sum(
            abs(np.log(1e3 * time._product(factors, link, fast) / ours)) for link, ours in measured
        )

    for (kind, way), measured in layers.items():
        a, b = time.PRODUCTS[kind][WAYS[way]]
        least = distance((a, b), measured)
        assert least < distance((2 * a, b), measured), (kind, way)
        assert least < distance((a, 2 * b), measured), (kind, way)


def test_the_factors_of_bytes_are_those_of_recorded_kernels():
    page = (RESULTS / "kernels.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
    rows = {row[1].removesuffix(" 3/2"): (row[4], row[7]) for row in cells if len(row) == 9}
    compared = rows.keys() & time.BYTES.keys()
    assert compared == time.BYTES.keys() - {"SoftmaxWithLoss", "TanH"}
    for name in compared:
        recorded = [float(number) for number in rows[name]]
        assert time.BYTES[name] == pytest.approx(recorded, rel=0.1), name
    assert time.BYTES["TanH"] == time.BYTES["Sigmoid"]
    assert time.BYTES["SoftmaxWithLoss"] == time.BYTES["Softmax"]
    forward, backward = (float(number) for number in rows["depthwise 3x3, 112"])
    found = time.PRODUCTS["depthwise"]
    assert found.forward == (0, pytest.approx(forward, rel=0.1))
    assert (found.bottom[0], found.weight[0]) == (0, 0)
    # Each gradient moves a bottom and a top here; the record counts three such arrays for both.
    assert 2 * (found.bottom[1] + found.weight[1]) == pytest.approx(3 * backward, rel=0.1)
