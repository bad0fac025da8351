"""What of a file is trained: which decides what most rules look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite.checking import check
from tests.checking.files import NET, SOLVER, changed, found, write

DEPLOY = """name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 1 dim: 8 dim: 9 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  param { lr_mult: 0 } param { lr_mult: 1 }
  inner_product_param { num_output: 3 weight_filler { type: "msra" } } }
"""
"""Whose bias, if this were trained, would learn while its weights do not."""
FROZEN = changed(
    NET,
    "param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n  convolution",
    "param { lr_mult: 0 }\n  param { lr_mult: 2 }\n  convolution",
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_net_with_a_loss_is_trained_without_a_solver_too() -> None:
    write(net=FROZEN)
    assert found(check("net.prototxt")) == ["bias-not-frozen"]
    assert check("net.prototxt").forecast is not None


@pytest.mark.parametrize("phase", [None, 0, 1])
def test_a_net_without_a_loss_is_not_trained(phase: int | None) -> None:
    write(net=DEPLOY)
    report = check("net.prototxt", phase=phase)
    assert report.findings == ()
    assert report.forecast is None


def test_a_solver_trains_its_net_even_if_it_has_no_loss() -> None:
    write(net=DEPLOY, solver=changed(SOLVER, "test_iter: 3\ntest_interval: 20\n", ""))
    assert "no-loss" in found(check("solver.prototxt"))


def test_a_net_for_tests_only_is_not_trained() -> None:
    write(net=FROZEN)
    assert found(check("net.prototxt", phase=1)) == []
    assert check("net.prototxt", phase=1).forecast is None
