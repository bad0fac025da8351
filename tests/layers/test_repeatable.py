"""Layers whose launches a net may repeat: these then compute what forward does."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numba import config

from caffe_lite.blob import Blob
from caffe_lite.kernels.parallel import record
from caffe_lite.layers.base import Layer, Neuron
from caffe_lite.layers.registry import layer_class
from caffe_lite.testing import Case, Rig
from tests.every_case import CASES, SOME, label

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")

REPEATED = {
    "AbsVal", "Axpy", "BN", "BNLL", "BatchNorm", "Bias", "Clip", "Concat", "Convolution",
    "ConvolutionDepthwise", "Deconvolution", "DepthwiseConvolution", "Dropout", "ELU", "Eltwise",
    "Flatten", "HardSigmoid", "HardSwish", "InnerProduct", "Input", "LRN", "Log", "NegReLU",
    "Normalize", "PReLU", "Permute", "Pooling", "Pooling3D", "Power", "PriorBox",
    "PriorBoxClustered", "ReLU", "ReLU6", "Reshape", "Scale", "Sigmoid", "Slice", "Softmax",
    "Split", "Squeeze", "Swish", "TanH", "Transpose",
}  # fmt: skip
"""The types that have a case whose whole forward is launches."""


def repeats(case: Case, folder: Path, in_place: bool = False, stay: bool = False) -> bool:
    """Whether the layer's launches can be repeated; then AssertionError if they do anything else.

    The values of bottoms and parameters are other ones by then, or of bottoms alone if the
    parameters `stay`.
    """
    rig = Rig(case, np.float32, folder, in_place=in_place)
    try:
        if not rig.layer.repeatable or rig.layer.dynamic:
            return False
        return _repeats(rig, stay)
    finally:
        rig.layer.close()


def _repeats(rig: Rig, stay: bool) -> bool:
    given = [blob.data.copy() for blob in rig.bottom]
    rig.forward()  # which allocates
    _write(rig.bottom, given)
    with record(stay) as recording:
        rig.forward()
    if not recording.complete:
        return False
    for blob in () if stay else rig.layer.blobs:
        blob.data[...] = 1.25 * blob.data.reshape(-1)[::-1].reshape(blob.shape)
    given = [1.25 * values.reshape(-1)[::-1].reshape(values.shape) for values in given]
    _write(rig.bottom, given)
    recording.repeat(np.zeros((0, 2), np.int64))
    got = _seen(rig)
    _write(rig.bottom, given)
    rig.forward()
    for one, other in zip(got, _seen(rig), strict=True):
        np.testing.assert_array_equal(one, other)
    return True


REPEATED_BACK = {
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Concat", "Convolution", "ConvolutionDepthwise",
    "Deconvolution", "DepthwiseConvolution", "Dropout", "ELU", "Eltwise", "Flatten",
    "HardSigmoid", "HardSwish", "InnerProduct", "LRN", "Log", "NegReLU", "Permute", "Pooling",
    "Power", "ReLU", "ReLU6", "Reshape", "Scale", "Sigmoid", "Slice", "Split", "Squeeze", "Swish",
    "TanH", "Transpose",
}  # fmt: skip
"""The types that have a case whose whole backward is launches."""


def repeats_back(case: Case, folder: Path, in_place: bool = False) -> bool:
    """`repeats` for backward: on other values of bottoms, parameters, tops and their gradients.

    Gradients of parameters are added to those of the backward before.
    """
    rig, plain = (Rig(case, np.float32, folder, in_place=in_place) for _ in range(2))
    try:
        layer = rig.layer
        if not (layer.backward_repeatable and layer.differentiable) or layer.dynamic:
            return False
        without = {*layer.no_gradient, *layer.zero_gradient}
        flags = [index not in without for index in range(len(rig.bottom))]
        given = [blob.data.copy() for blob in rig.bottom]
        for each in (rig, plain):
            each.forward()
            each.backward(flags)  # which allocates
            _write(each.bottom, given)
            each.forward()
        diffs = rig.top_diffs()
        with record() as recording:
            rig.backward(flags)
        plain.backward(flags)
        if not recording.complete:
            return False
        for number in range(2):
            for each in (rig, plain):
                for blob in each.layer.blobs:
                    blob.data[...] = 1.25 * blob.data.reshape(-1)[::-1].reshape(blob.shape)
                _write(each.bottom, [(1.25 + number) * values for values in given])
                each.forward()
                for blob, diff in zip(each.top, diffs, strict=True):
                    blob.diff[...] = (number - 0.5) * diff
            recording.repeat(np.zeros((0, 2), np.int64))
            plain.layer.backward(plain.top, flags, plain.bottom)
            for pair in zip(
                [*rig.bottom, *rig.layer.blobs], [*plain.bottom, *plain.layer.blobs], strict=True
            ):
                np.testing.assert_array_equal(*(blob.diff for blob in pair))
        return True
    finally:
        rig.layer.close()
        plain.layer.close()


def _write(blobs: list[Blob], values: list[np.ndarray]) -> None:
    for blob, each in zip(blobs, values, strict=True):
        blob.data[...] = each


def _seen(rig: Rig) -> list[np.ndarray]:
    """The tops, and what is kept for backward."""
    layer = rig.layer
    kept = [n for n, buffer in layer.declared_buffers.items() if buffer.kept]
    arrays = [*(blob.data for blob in rig.top), *(getattr(layer.buf, name) for name in kept)]
    return [array.copy() for array in arrays]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_repeated_launches_do_what_forward_does(case: Case, tmp_path: Path) -> None:
    if not repeats(case, tmp_path):
        pytest.skip("does not repeat launches")
    repeats(case, tmp_path, stay=True)
    if layer_class(case.type).in_place and len(case.bottoms) == 1 and case.tops in (None, 1):
        repeats(case, tmp_path, in_place=True)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_repeated_launches_do_what_backward_does(case: Case, tmp_path: Path) -> None:
    if not repeats_back(case, tmp_path):
        pytest.skip("does not repeat launches")
    if layer_class(case.type).in_place and len(case.bottoms) == 1 and case.tops in (None, 1):
        repeats_back(case, tmp_path, in_place=True)


@pytest.mark.skipif(SOME, reason="some families are left out")
def test_the_types_that_repeat_backward(tmp_path: Path) -> None:
    found = set()
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        if case.type not in found and repeats_back(case, folder):
            found.add(case.type)
    assert found == REPEATED_BACK


@pytest.mark.skipif(SOME, reason="some families are left out")
def test_the_types_that_repeat(tmp_path: Path) -> None:
    found = set()
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        if case.type not in found and repeats(case, folder):
            found.add(case.type)
    assert found == REPEATED


class Doubling(Neuron):
    """A layer that says what is not true."""

    repeatable = True
    config_field: ClassVar[None] = None

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        bottom[0].diff[...] = 2 * top[0].diff


def test_work_that_is_no_launch_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def resolved(cls: type[Layer], param: object, python_layers: bool) -> type[Layer]:
        return Doubling

    monkeypatch.setattr(layer_class("AbsVal"), "resolve", classmethod(resolved))
    with pytest.raises(AssertionError):
        repeats(Case("AbsVal", [(2, 3)]), tmp_path)
