"""What a step of a training takes."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_lite.checking.dry import View
from caffe_lite.checking.forecast.machine import Machine, this_machine
from caffe_lite.checking.forecast.memory import Memory, memory_of
from caffe_lite.checking.forecast.time import seconds_of
from caffe_lite.checking.subjects import Checked

__all__ = ["Forecast", "Machine", "Memory", "forecast_of", "this_machine"]


@dataclass(frozen=True)
class Forecast:
    """What `caffe-lite train` takes for a net."""

    memory: Memory
    """Bytes, beside those of the program itself."""
    view: View
    """The net that is trained."""
    iter_size: int = 1
    """How many batches a step has."""

    def seconds(self, machine: Machine | None = None) -> float:
        """How long a step takes, without its data; on this machine, measured now, if None."""
        found = seconds_of(self.view, machine or this_machine(), self.iter_size)
        assert found is not None  # the shapes are known, as there is a `Memory`
        return found


def forecast_of(checked: Checked) -> Forecast | None:
    """The forecast for the net that is trained; None if there is none, or shapes are unknown."""
    memory, view = memory_of(checked), checked.train
    if memory is None or view is None:
        return None
    param = checked.settings.param if checked.settings is not None else None
    return Forecast(memory, view, max(1, param.iter_size) if param is not None else 1)
