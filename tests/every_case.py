"""Every case and every refusal of `tests/cases`.

The environment variable CAFFE_LITE_FAMILIES, as in ``shape,pooling``, leaves only those of some
families: for a quick look after a change.
"""

from __future__ import annotations

import importlib
import os
import pkgutil

import tests.cases
from caffe_lite.testing import Case, Refusal

FAMILIES = os.environ.get("CAFFE_LITE_FAMILIES", "").split(",")
SOME = FAMILIES != [""]
"""Whether some families are left out."""

_MODULES = [
    importlib.import_module(f"tests.cases.{module.name}")
    for module in pkgutil.iter_modules(tests.cases.__path__)
    if not SOME or module.name in FAMILIES
]
CASES: list[Case] = [case for module in _MODULES for case in module.CASES]
REFUSALS: list[Refusal] = [refusal for module in _MODULES for refusal in module.REFUSALS]


def label(value: Case | Refusal | str | int) -> str:
    """The id of a test."""
    if isinstance(value, (str, int)):
        return str(value)
    return f"{value.type}-{' '.join(value.config.split())[:60]}"
