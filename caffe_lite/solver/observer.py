"""What a solver tells those who look on while it trains."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_lite.net.net import Net
from caffe_lite.solver.report import Output


class Observer:
    """Methods that a solver calls; each does nothing here.

    They may read the solver and its nets, and change neither: training has the same numbers with
    any observer and without one.  What a method raises ends the run.
    """

    def iteration_started(self, iteration: int) -> None:
        """Called before the first forward of an iteration, after the tests that are due."""

    def iteration_ended(self, iteration: int, loss: float, rate: float) -> None:
        """Called after an update: with the iteration's own loss, and the learning rate."""

    def test_started(self, iteration: int, index: int, batches: int) -> None:
        """Called before the first batch of test net `index`."""

    def batch_tested(self, index: int, net: Net) -> None:
        """Called after each forward of test net `index`, while `net` has its values."""

    def test_ended(
        self, iteration: int, index: int, outputs: Sequence[Output], loss: float
    ) -> None:
        """Called after a whole test: with the mean outputs, and the mean of the weighted loss.

        Not called for a test that was interrupted.
        """
