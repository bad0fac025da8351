"""Every case, and whole nets, in memory between protected pages; see tests/guard.py.

All mixtures of types, places and threads: ``python -m tests.guard``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numba
import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.blob import Array, Blob
from caffe_lite.layers.neuron import ReLU
from caffe_lite.testing import Case, Rig
from tests.guard import (
    CASES,
    PAGE,
    PLACES,
    SUPPORTED,
    Job,
    guarded,
    guarded_memory,
    jobs_of,
    run_all,
)
from tests.net import source

pytestmark = [
    pytest.mark.skipif(not SUPPORTED, reason="this system has no fork"),
    pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="NumPy checks bounds"),
]

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 dim: 9 dim: 7 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "n1" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2"
  convolution_param { num_output: 6 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "cat" type: "Concat" bottom: "c2" bottom: "p1" top: "cat" }
layer { name: "ip" type: "InnerProduct" bottom: "cat" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "r3" type: "ReLU" bottom: "ip" top: "ip" }
force_backward: true
"""


@dataclass(frozen=True)
class NetJob:
    """A net whose layers are fused, in guarded memory."""

    phase: int
    dtype: str
    place: str

    def results(self) -> list[Array]:
        caffe.set_random_seed(4)
        net = caffe.Net(source(NET), self.phase, dtype=self.dtype)
        assert any(len(step.layers) > 1 for step in net.runner.steps.forward)
        x = net.blobs["x"]
        for sizes in ((3, 4, 9, 7), (5, 4, 9, 7)):
            x.reshape(*sizes)
            x.data[...] = np.random.default_rng(1).standard_normal(sizes)
            net.forward()
            net.blobs["ip"].diff[...] = 1
            net.backward()
        return [net.blobs["ip"].data, x.diff, *(b.diff for p in net.params.values() for b in p)]

    def run(self) -> int:
        wanted = self.results()
        with guarded_memory(self.place) as count:
            found = self.results()
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(got, want)
        return count[0]


def test_no_kernel_leaves_its_arrays() -> None:
    outcome = run_all(jobs_of(CASES, quick=True))
    assert outcome.wrong == []
    assert outcome.jobs == 2 * len(CASES)
    assert outcome.arrays > 4 * outcome.jobs


def test_no_fused_layers_leave_their_arrays() -> None:
    jobs = [
        NetJob(phase, dtype, place)
        for phase in (caffe.TRAIN, caffe.TEST)
        for dtype in ("float32", "float64")
        for place in PLACES
    ]
    outcome = run_all(jobs)
    assert outcome.wrong == []
    assert outcome.arrays > 20 * outcome.jobs


# -- that it would be seen ----------------------------------------------------------------


@numba.njit
def _read(array: Array, index: int, into: Array) -> None:
    into[0] = array[index]


@numba.njit
def _write(array: Array, index: int, into: Array) -> None:
    array[index] = into[0]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kernel", [_read, _write])
@pytest.mark.parametrize("blob", ["bottom", "top"])
def test_a_kernel_that_leaves_its_array_by_one_element(
    place: str,
    kernel: numba.core.dispatcher.Dispatcher,
    blob: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outside = 35 if place == "after" else -36  # Numba adds 35 to an index below 0

    def broken(self: ReLU, bottom: list[Blob], top: list[Blob]) -> None:
        array = (bottom if blob == "bottom" else top)[0].data.reshape(-1)
        kernel(array, outside if array.size == 35 else 0, np.zeros(1, np.float32))

    monkeypatch.setattr(ReLU, "forward", broken)
    small, wrong = Case("ReLU", [(2, 3)], gradient=()), Case("ReLU", [(5, 7)])
    jobs = [Job(case, "float32", place, 1) for case in (small, wrong, small)]
    for job in jobs:
        object.__setattr__(job, "run", lambda job=job: _forward(job))
    outcome = run_all(jobs)
    (line,) = outcome.wrong
    assert line.startswith("ReLU [(5, 7)]")
    assert line.endswith(("SIGSEGV", "SIGBUS"))


def _forward(job: Job) -> int:
    with guarded_memory(job.place) as count:
        Rig(job.case, job.dtype).forward()
    return count[0]


def test_a_result_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def where(self: ReLU, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].data[...] = top[0].data.ctypes.data

    monkeypatch.setattr(ReLU, "forward", where)
    outcome = run_all([Job(Case("ReLU", [(5, 7)]), "float64", "after", 1)])
    (line,) = outcome.wrong
    assert line.startswith("ReLU [(5, 7)]")
    assert "AssertionError" in line


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [1, 7, PAGE // 4, PAGE // 4 + 1])
def test_a_guarded_array_is_flush(place: str, size: int) -> None:
    array = guarded(np.arange(size, dtype=np.float32), place)
    edge = array.ctypes.data + (array.nbytes if place == "after" else 0)
    assert edge % PAGE == 0
    np.testing.assert_array_equal(array, np.arange(size))
