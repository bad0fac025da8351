"""What a step of a training takes."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_lite.checking.forecast.memory import Memory, memory_of
from caffe_lite.checking.subjects import Checked

__all__ = ["Forecast", "Memory", "forecast"]


@dataclass(frozen=True)
class Forecast:
    """What `caffe-lite train` takes for a net."""

    memory: Memory


def forecast(checked: Checked) -> Forecast | None:
    """The forecast for the net that is trained; None if there is none, or shapes are unknown."""
    found = memory_of(checked)
    return None if found is None else Forecast(found)
