"""The common battery: every check of `caffe_lite.testing` on every case that it applies to."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numba.core.config import NUMBA_NUM_THREADS

from caffe_lite.kernels.parallel import set_num_threads
from caffe_lite.layers.registry import layer_types
from caffe_lite.testing import (
    CHECKS,
    Case,
    Refusal,
    applicable,
    check_refusal,
    results,
    run_check,
)
from tests.every_case import CASES, REFUSALS, SOME, label

SOURCES = {
    "AnnotatedData", "Data", "DenseImageData", "DetectionData", "DummyData", "EvalData",
    "HDF5Data", "ImageData", "ImageGtData", "ImageLabelmapData", "ImageSegData", "Input",
    "MemoryData", "MultiLabelImageData", "VideoData", "WindowData",
}  # fmt: skip
NO_GRADIENT = SOURCES | {
    "Accuracy", "ArgMax", "BboxAccuracy", "BoxAnnotatorOHEM", "BoxGroupOutput", "BoxOutput",
    "CTCGreedyDecoder", "ContinuationIndicator", "DecodeBBox", "DetectionAccuracy",
    "DetectionEvaluate", "DetectionGroupAccuracy", "DetectionOutput", "EvalDetection",
    "FrcnnOutput", "HDF5Output", "PriorBox", "PriorBoxClustered", "Proposal", "ProposalTarget",
    "ScaleRoute", "SegAccuracy", "Threshold", "YoloDetectionOutput", "Yolov3DetectionOutput",
}  # fmt: skip
# The layer types that a check applies to in no case, or, for the rarer checks, in some case.  A
# layer that stops declaring a gradient would otherwise lose its checks without a failure.
NEVER = {
    "float64": set(),
    "float32": set(),
    "gradient": NO_GRADIENT  # the cases of these say why
    | {
        "Clip",
        "GeneralTripletLoss",
        "KLDivLoss",
        "RegionLoss",
        "WarpCTCLoss",
        "YoloSeg",
        "Yolov3",
    },
    "diffs": NO_GRADIENT,
    "reshape": SOURCES  # axis 0 is not the same thing in all bottoms of some
    | {
        "BoxGroupOutput",
        "DetectionEvaluate",
        "HDF5Output",
        "LSTMUnit",
        "Parameter",
        "Silence",
        "WarpCTCLoss",
    },
    "counts": set(),
}
SOMETIMES = {
    "in_place": {
        "BN", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Exp", "HardSigmoid",
        "HardSwish", "LabelSpecificAdd", "LabelSpecificRescale", "Log", "MVN", "NegReLU", "PReLU",
        "Power", "ReLU", "ReLU6", "Scale", "SeLu", "SeLuDropout", "Sigmoid", "Softmax", "Swish",
        "TanH", "Threshold",
    },
    "random": {
        "AnnotatedData", "Data", "DenseBlock", "DenseImageData", "DetectionData",
        "DetectionGroupLoss", "DetectionLoss", "Dropout", "DummyData", "ImageGtData",
        "ImageLabelmapData", "ImageSegData", "Pooling", "SeLuDropout", "VideoData",
    },
    "saved": {
        "BN", "BatchNorm", "Bias", "CenterLoss", "ChannelScale", "Convolution",
        "Convolution3D", "ConvolutionDepthwise", "Deconvolution", "Deconvolution3D", "DenseBlock",
        "DepthwiseConvolution", "Embed",
        "InnerDistance", "InnerProduct", "LSTM", "Lstm", "LargeMarginInnerProduct",
        "MarginInnerProduct", "Mul", "MultiStageMeanfield", "Normalize", "PReLU", "Parameter",
        "RNN", "Scale",
    },
}  # fmt: skip
COMPUTES_NOTHING = {"HDF5Output"}  # it has neither a top nor a gradient


def checks_of(case: Case) -> list[str]:
    """The checks to run; every one for a case that cannot be built, so that each says why."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return applicable(case, Path(folder))
        except Exception:
            return list(CHECKS)


PAIRS = [(case, check) for case in CASES for check in checks_of(case)]


@pytest.mark.parametrize(("case", "check"), PAIRS, ids=label)
def test_case(case: Case, check: str, tmp_path: Path) -> None:
    run_check(check, case, tmp_path)


def test_every_case_has_checks() -> None:
    found = Counter(id(case) for case, _ in PAIRS)
    few = [label(case) for case in CASES if found[id(case)] < (2 if case.random else 3)]
    assert few == []


@pytest.mark.skipif(SOME, reason="some families are left out")
@pytest.mark.parametrize("check", CHECKS)
def test_every_check_has_its_layer_types(check: str) -> None:
    types = {case.type for case, name in PAIRS if name == check}
    every = {case.type for case in CASES}
    assert types == (SOMETIMES[check] if check in SOMETIMES else every - NEVER[check])


def test_a_check_that_is_left_out_has_nothing_to_compare(tmp_path: Path) -> None:
    applies = {(id(case), check) for case, check in PAIRS}
    left_out = [(c, n) for c in CASES for n in CHECKS if (id(c), n) not in applies]
    assert left_out
    for number, (case, check) in enumerate(left_out):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert CHECKS[check].run(case, folder) == 0, f"{check} applies to {label(case)}"
        with pytest.raises(AssertionError, match=f"{check}: nothing was compared"):
            run_check(check, case, folder)


@pytest.mark.parametrize("refusal", REFUSALS, ids=label)
def test_refusal(refusal: Refusal) -> None:
    check_refusal(refusal)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="has no threads")
@pytest.mark.skipif(NUMBA_NUM_THREADS < 2, reason="this machine has one core")
@pytest.mark.parametrize("case", [c for c in CASES if c.type not in COMPUTES_NOTHING], ids=label)
def test_threads_do_not_change_a_bit(case: Case, tmp_path: Path) -> None:
    found = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        set_num_threads(threads)
        try:
            found.append(results(case, folder))
        finally:
            set_num_threads(NUMBA_NUM_THREADS)
    assert found[0]
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.skipif(SOME, reason="some families are left out")
def test_every_type_has_a_case() -> None:
    covered = {case.type for case in CASES} | {"Python"}  # that has test_python.py
    assert sorted(set(layer_types()) - covered) == []
