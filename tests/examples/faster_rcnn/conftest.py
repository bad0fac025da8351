"""Python finds the example's modules, as it does where the example runs."""

from __future__ import annotations

import pytest

from tests.project import ROOT


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
