"""Which layer types are exported: each is, or there is a reason."""

from __future__ import annotations

import pytest

from caffe_lite.export import registry
from caffe_lite.export.refused import REFUSED
from caffe_lite.layers.registry import layer_types
from tests.every_case import CASES, SOME


def test_each_type_is_exported_or_refused_for_a_reason() -> None:
    here = {name for name in layer_types() if name.isascii()}
    exported = registry.exported_types()
    assert not set(exported) & set(REFUSED)
    assert set(exported) | set(REFUSED) == here
    assert all(exported.values())
    assert all(REFUSED.values())


@pytest.mark.skipif(SOME, reason="families are left out")
def test_each_type_that_is_exported_has_a_case() -> None:
    assert set(registry.exported_types()) <= {case.type for case in CASES}


def test_a_type_of_a_program_is_refused_for_a_reason_of_its_own() -> None:
    assert "comes from a program" in registry.reason_against("MyLayer")
