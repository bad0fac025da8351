"""The forecast of memory: the parts of a small net counted by hand, and the pages of an array."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caffe_lite.checking.forecast.memory import PAGE, Memory, _touched, memory_of
from caffe_lite.checking.subjects import Request, gather
from caffe_lite.net.passes.memory import Life

NET = """layer { name: "data" type: "DummyData" top: "x" top: "y"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" LOSS }
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def memory(solver: str, net: str = NET.replace("LOSS", "")) -> Memory | None:
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(f'net: "net.prototxt"\nbase_lr: 1\n{solver}')
    return memory_of(gather(Request("solver.prototxt")))


@pytest.mark.parametrize(
    ("type_", "arrays"),
    [("SGD", 1), ("Nesterov", 1), ("AdaGrad", 1), ("RMSProp", 1), ("AdaDelta", 2), ("Adam", 2),
     ("Unknown", 1)],
)  # fmt: skip
def test_weights_and_history(type_: str, arrays: int) -> None:
    found = memory(f'type: "{type_}"\n')
    assert found is not None
    params = 4 * (5 * 3 + 5)
    assert found.weights == 2 * params
    assert found.history == arrays * params
    assert found.tests == 0
    assert found.total == found.weights + found.history + found.blobs + found.workspace


def test_a_net_alone_has_the_history_of_sgd() -> None:
    with_solver = memory("")
    assert memory_of(gather(Request("net.prototxt"))) == with_solver
    assert memory_of(gather(Request("net.prototxt", phase=1))) is None


def test_each_test_net_is_added() -> None:
    alone = memory("")
    once = memory("test_iter: 1\ntest_interval: 1\n")
    nets = 'test_net: "net.prototxt"\n' * 2
    twice = memory(f"{nets}test_iter: 1\ntest_iter: 1\ntest_interval: 1\n")
    assert alone is not None
    assert once is not None
    assert twice is not None
    assert once.tests > 0
    assert replace(once, tests=0) == alone
    assert twice.tests == 2 * once.tests
    assert once.tests < once.blobs  # which have gradients, too
    assert once.total == alone.total + once.tests


def test_what_is_not_trained_has_none() -> None:
    assert memory("", NET.replace("LOSS", "loss_weight: 0")) is None
    unknown = 'layer { name: "d" type: "Data" top: "x" data_param { source: "g" batch_size: 1 } }'
    assert memory("", NET.replace("LOSS", "") + unknown.replace('top: "x"', 'top: "q"')) is None
    only_test = unknown.replace('top: "x"', 'top: "q" include { phase: TEST }')
    net = NET.replace("LOSS", "") + only_test
    assert memory("", net) is not None
    assert memory("test_iter: 1\ntest_interval: 1\n", net) is None


# -- pages ---------------------------------------------------------------------------------------

ELEMENTS = PAGE // 4


def touched(lives: list[tuple[int, int]], size: int, idle: int = 0, **fusion: Any) -> int:
    """Of blobs at offsets, with counts; the last `idle` are buffers of the second layer."""
    placed = [Life(count=count, offset=offset) for offset, count in lives]
    layers = [SimpleNamespace(layer=object()) for _ in range(2)]
    blobs, buffers = placed[: len(placed) - idle], placed[len(placed) - idle :]
    arrangement = SimpleNamespace(
        shared=dict(enumerate(blobs)),
        buffers=[(layers[1].layer, "kept", None, life) for life in buffers],
        size=size,
    )
    fusions = [SimpleNamespace(layers=(0, 1), **fusion)] if fusion else []
    return _touched(arrangement, layers, fusions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lives", "pages"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, ELEMENTS)], 1),
        ([(0, ELEMENTS + 1)], 2),
        ([(ELEMENTS - 1, 1)], 1),
        ([(ELEMENTS - 1, 2)], 2),
        ([(3 * ELEMENTS, 1)], 1),
        ([(0, 1), (ELEMENTS - 1, 1)], 1),
        ([(0, 2 * ELEMENTS), (7, 9)], 2),
        ([(0, 2 * ELEMENTS), (ELEMENTS, 3 * ELEMENTS)], 4),
        ([(5 * ELEMENTS, 1), (0, 1), (2 * ELEMENTS, ELEMENTS)], 3),
        ([(0, 3 * ELEMENTS), (ELEMENTS, 1), (2 * ELEMENTS, ELEMENTS + 1)], 4),
    ],
)
def test_pages_are_counted_once(lives: list[tuple[int, int]], pages: int) -> None:
    assert touched(lives, 100 * ELEMENTS) == pages * PAGE


def test_no_more_than_the_array_is_touched() -> None:
    assert touched([(0, 5)], 7) == 28
    assert touched([(0, ELEMENTS + 1)], ELEMENTS + 9) == 4 * (ELEMENTS + 9)


def test_what_backward_makes_anew_is_not_touched() -> None:
    lives = [(0, 1), (4 * ELEMENTS, ELEMENTS)]
    assert touched(lives, 100 * ELEMENTS, idle=1) == 2 * PAGE
    assert touched(lives, 100 * ELEMENTS, idle=1, returns=True) == PAGE
    assert touched(lives, 100 * ELEMENTS, idle=1, returns=False) == 2 * PAGE
