"""Absurd values in numeric fields of layers; tools/sweep_fields.py tries all, of all types."""

from __future__ import annotations

import sys

import pytest

from tools import sweep_fields

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        ("Pooling", 5),
        ("InnerProduct", 7),
        ("DummyData", 3),
        ("DetectionEvaluate", 2),
        ("Exp", 1),
        ("LabelSpecificAdd", 2),
    ],
)
def test_absurd_values_are_refused_or_computed(kind, every):
    tried, misbehaved = sweep_fields.sweep(kind, most=1, timeout=120, every=every)
    assert misbehaved == []
    assert tried > 10


def test_a_net_that_misbehaves_is_seen(monkeypatch):
    from tests.cases.shape import CASES

    case = next(each for each in CASES if each.type == "Tile")
    what, param = next(sweep_fields.tries(case, ""))
    assert what == "as it is"
    assert sweep_fields.run(case, param) == ""

    def fail(*_):
        raise ValueError("of NumPy's")

    monkeypatch.setattr("caffe_lite.layers.shape.Tile.forward", fail)
    assert sweep_fields.run(case, param) == "ValueError: of NumPy's"
