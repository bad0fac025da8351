from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.errors import CaffeError
from caffe_lite.solver import Observer
from caffe_lite.tensorboard import TensorBoard
from tests.training_report.conftest import folder, make

__all__ = ["folder", "make"]  # fixtures


def events(folder):
    """The events of the newest file: records of a length, its check, a message and its check."""
    from tensorboardX.proto.event_pb2 import Event

    content = max(Path(folder).glob("events.*"), key=lambda path: path.name).read_bytes()
    found = []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return found


def scalars(found):
    values = {}
    for event in found:
        for value in event.summary.value:
            if value.HasField("simple_value"):
                values.setdefault(value.tag, []).append((event.step, value.simple_value))
    return values


class Heard(Observer):
    def __init__(self):
        self.losses, self.tests = [], []

    def iteration_ended(self, iteration, loss, rate):
        self.losses.append((iteration, np.float32(loss)))

    def test_ended(self, iteration, index, outputs, loss):
        self.tests.append((iteration, {each.name: np.float32(each.value) for each in outputs}))


def test_what_is_written_is_what_the_solver_tells(make, folder):
    pytest.importorskip("tensorboardX")
    solver, heard = make('lr_policy: "step" gamma: 0.5 stepsize: 3'), Heard()
    solver.add_observer(heard)
    with TensorBoard(solver, folder / "logs" / "first"):
        solver.solve()
    found = events(folder / "logs" / "first")
    values = scalars(found)
    assert values["loss"] == [pair for pair in heard.losses if pair[0] % 2 == 0]
    assert values["lr"] == [
        (n, np.float32(rate)) for n, rate in ((0, 0.05), (2, 0.05), (4, 0.025))
    ]
    assert [step for step, _ in values["images_per_second"]] == [2, 4]
    for name in ("accuracy", "loss"):
        assert values[f"test/{name}"] == [(step, test[name]) for step, test in heard.tests]
    assert [step for step, _ in heard.tests] == [0, 2, 4, 6]
    images = [
        (event.step, value)
        for event in found
        for value in event.summary.value
        if value.HasField("image")
    ]
    assert [(step, value.tag) for step, value in images] == [
        (step, "filters/conv") for step in (0, 2, 4, 6)
    ]
    assert (images[0][1].image.height, images[0][1].image.width) == (2 * 4 - 1, 3 * 3 - 1)
    assert values.keys() == {"loss", "lr", "images_per_second", "test/accuracy", "test/loss"}


def test_a_continued_run_begins_anew_at_its_iteration(make, folder):
    pytest.importorskip("tensorboardX")
    with make("snapshot: 4") as solver:
        solver.solve()
    with make() as solver:
        solver.restore("run_iter_4.solverstate")
        with TensorBoard(solver, "logs"):
            solver.solve()
    found = events("logs")
    assert [event.step for event in found if event.HasField("session_log")] == [4]
    assert [step for step, _ in scalars(found)["loss"]] == [4]


def test_refusals(make, folder, monkeypatch):
    pytest.importorskip("tensorboardX")
    Path("file").write_text("")
    with pytest.raises(CaffeError, match="file: cannot be written: File exists"):
        TensorBoard(make(), "file")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(CaffeError, match=r"pip install 'caffe_lite\[tensorboard\]'"):
        TensorBoard(make(), "logs")
