"""The rules, a file for each family; importing this registers them all."""

from __future__ import annotations

from caffe_lite.checking.rules import (
    building,
    fields,
    losses,
    multipliers,
    phases,
    solvers,
    sources,
    weights,
    wiring,
)

__all__ = [
    "building",
    "fields",
    "losses",
    "multipliers",
    "phases",
    "solvers",
    "sources",
    "weights",
    "wiring",
]
