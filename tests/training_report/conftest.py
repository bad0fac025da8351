"""Runs of a small net of images, in a folder of their own."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from caffe_lite import rng
from caffe_lite.solver import get_solver

NET = """
name: "small <net>"
layer { name: "rows" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "list.txt" batch_size: 3 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_h: 3 kernel_w: 2 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 random_seed: 3
max_iter: 6 display: 2 test_iter: 2 test_interval: 2 snapshot_prefix: "run"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: net, solver, and seven images (3, 6, 5) of four classes."""
    random = np.random.default_rng(4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = random.standard_normal((7, 3, 6, 5))
        file["label"] = np.arange(7) % 4
    (tmp_path / "list.txt").write_text("a.h5\n")
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    rng.set_random_seed(-1)


@pytest.fixture
def make(folder):
    """Makes the solver, with another net, and settings in place of the usual ones."""
    made = []

    def build(settings="", net=NET, **options):
        (folder / "net.prototxt").write_text(net)
        usual = SOLVER
        for key in re.findall(r"\w+:", settings):
            usual = re.sub(rf"\b{key} \S+", "", usual)
        (folder / "solver.prototxt").write_text(usual + settings)
        made.append(get_solver("solver.prototxt", **options))
        return made[-1]

    yield build
    for solver in made:
        solver.close()
