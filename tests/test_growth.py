"""A small net does not grow, in a process of its own; tools/measure_growth.py runs it for long."""

from __future__ import annotations

import sys

import pytest

from tools.measure_growth import ALLOWED, in_a_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize(("name", "rounds"), [("train", 1500), ("nets", 150), ("readers", 60)])
def test_resident_memory_does_not_grow(name, rounds):
    assert in_a_process(name, rounds) <= ALLOWED


def test_a_leak_is_seen():
    assert in_a_process("leak", 1500) > ALLOWED
