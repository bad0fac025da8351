from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

from caffe_lite.phases import TEST, TRAIN, Phase
from caffe_lite.proto import caffe_pb2


@pytest.mark.parametrize(("phase", "number", "name"), [(TRAIN, 0, "TRAIN"), (TEST, 1, "TEST")])
def test_a_phase_is_a_number_that_prints_as_its_name(phase: Phase, number: int, name: str) -> None:
    assert number == caffe_pb2.Phase.Value(name)
    assert (str(phase), repr(phase), f"{phase}", f"{phase:d}") == (name, name, name, str(number))
    assert phase == number
    assert number == phase
    assert phase == name
    assert name == phase
    assert phase != 1 - number
    assert phase != ("TEST", "TRAIN")[number]
    assert phase != name.lower()
    assert not phase != number  # noqa: SIM202  (it has a method of its own)
    assert not phase != name  # noqa: SIM202
    assert {number: "x"}[phase] == "x"
    assert {name: "x"}[str(phase)] == "x"
    assert ["train", "test"][phase] == name.lower()
    assert json.dumps(phase) == str(number)
    assert np.float32(phase) == number
    for other in (copy.deepcopy(phase), pickle.loads(pickle.dumps(phase))):
        assert (other, str(other)) == (phase, name)


def test_only_two_exist() -> None:
    assert (TEST == None) is False  # noqa: E711
    assert TRAIN != ""
    assert TEST is not True
    assert caffe_pb2.NetState(phase=TEST).phase == caffe_pb2.TEST
