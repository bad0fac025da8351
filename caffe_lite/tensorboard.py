"""A run for TensorBoard: `TensorBoard` writes it while a solver trains, with tensorboardX.

loss, lr            the training loss and the learning rate, as the log has them: every
                    `display` iterations; every iteration where `display` is 0
images_per_second   of training alone, likewise
test/OUTPUT         the mean of each output of a test; of later test nets test_1/OUTPUT, ...
filters/LAYER       after each test the first layer's filters, if they are pictures
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from caffe_lite import arguments
from caffe_lite.errors import CaffeError
from caffe_lite.solver import Observer, Solver
from caffe_lite.solver.report import Output
from caffe_lite.training_report.images import filters
from caffe_lite.training_report.recording import Recording, labels

QUEUE = 1000
"""Values that wait to be written by tensorboardX's thread; training waits when there are more."""


class TensorBoard(Observer):
    """Writes a solver's run to an event file in `folder`, which is made if it is not there.

        with TensorBoard(solver, "logs/first"):
            solver.solve()

    Then ``tensorboard --logdir logs`` shows it.  A run that is continued from a snapshot may write
    to the same folder: from its first iteration on, TensorBoard shows the new values.  Raises
    CaffeError where tensorboardX is missing, and for a folder that cannot be written.
    """

    def __init__(self, solver: Solver, folder: str | os.PathLike[str]) -> None:
        self._folder = arguments.path(folder, "the folder for TensorBoard")
        self._solver = solver
        self._writer: Any = None
        _writer_class()
        try:
            os.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise CaffeError(f"{self._folder}: cannot be written: {error.strerror}") from None

    def __enter__(self) -> TensorBoard:
        self._recording = Recording(self._solver)
        try:
            self._writer = _writer_class()(
                self._folder, max_queue=QUEUE, purge_step=self._solver.iter
            )
        except OSError as error:
            raise CaffeError(f"{self._folder}: cannot be written: {error.strerror}") from None
        self._solver.add_observer(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._solver.remove_observer(self)
        self._writer.close()

    def iteration_started(self, iteration: int) -> None:
        """Pass it on to the recording."""
        self._recording.iteration_started(iteration)

    def iteration_ended(self, iteration: int, loss: float, rate: float) -> None:
        """Write the values that are due."""
        recording = self._recording
        recording.iteration_ended(iteration, loss, rate)
        if iteration % (self._solver.param.display or 1):
            return
        self._writer.add_scalar("loss", self._solver.smoothed_loss, iteration)
        self._writer.add_scalar("lr", rate, iteration)
        recording.note_costs(iteration)
        if recording.speed.points:  # not after the first iteration
            self._writer.add_scalar("images_per_second", recording.speed.last, iteration)

    def test_ended(
        self, iteration: int, index: int, outputs: Sequence[Output], loss: float
    ) -> None:
        """Write the scores, and the filters."""
        group = f"test_{index}" if index else "test"
        for name, output in zip(labels(outputs), outputs, strict=True):
            self._writer.add_scalar(f"{group}/{name}", output.value, iteration)
        found = filters(self._solver.net)
        if index == 0 and found.pixels is not None:
            self._writer.add_image(
                f"filters/{found.layer}", found.pixels, iteration, dataformats="HWC"
            )


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise CaffeError(
            "TensorBoard's files need tensorboardX, which is not installed: "
            "pip install 'caffe_lite[tensorboard]'"
        ) from None
    return SummaryWriter
