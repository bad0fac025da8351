"""Stretches: steps in a row whose launches run by one compiled call, without Python between them.

At batch 1 the Python between two kernels takes as long as some kernels.  So once a stretch has run
twice with the same shapes and the same memory its launches are recorded, and repeated from then
on.  A recording has addresses and shapes but no values: what a program writes to inputs and
weights is heeded as ever.  Any change of a shape, of memory or of the number of threads ends it.
Where weights stay as they are, what is computed from them alone is left out of the recording.

Only layers that say so take part (`Layer.repeatable`, `Layer.backward_repeatable`).  Hooks,
`debug_info` and partial runs go by the single steps, as before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from caffe_lite.blob import CHANGES
from caffe_lite.kernels.parallel import Recording, clock, get_num_threads, record
from caffe_lite.net.link import Link
from caffe_lite.net.running.steps import Step

LONGEST = 1.5e8
"""Elements that one call touches at most, or a single step: so that Ctrl-C need not wait long."""

_RunStep = Callable[[Step], int]
"""Runs a step; returns how many nanoseconds that took."""


class Stretch:
    """Steps in a row, run one by one or by their recording."""

    def __init__(
        self,
        steps: Sequence[Step],
        links: Sequence[Link],
        backward: bool = False,
        weights_stay: bool = False,
    ) -> None:
        self.steps = tuple(steps)
        self._backward = backward
        self._weights_stay = weights_stay
        self.layers = tuple(index for step in steps for index in step.layers)
        self._links = [links[index] for index in self.layers]
        self._seen: object = None  # the last change after which all was as in `_found`
        self._found: list[object] = []
        self._threads = 0
        self._modes: list[object] = []
        self._parts: list[_Part] = []  # of the recording, if there is one
        self._spent = [0] * len(self.steps)

    def run(self, run_step: _RunStep) -> None:
        """Run all steps.  `run_step` runs one that is not recorded, and raises what is wrong.

        Raises MemoryError if launches that are repeated could not get their workspace.
        """
        same = self._is_same()
        if same and self._parts:
            try:
                self._repeat(run_step)
            except MemoryError:
                self._parts = []
                if self._backward:  # what was added to gradients must not be added again
                    raise
                self._run_steps(run_step)  # raises it again, where it belongs
            return
        self._parts = []
        if same:
            self._record(run_step)
        else:
            self._run_steps(run_step)
            self._look()

    def nanoseconds(self) -> Iterator[tuple[int, int]]:
        """The first layer of each step, and how long the step took."""
        for part in self._parts:
            part.tell(self._spent)
        for step, spent in zip(self.steps, self._spent, strict=True):
            yield step.layers[0], spent

    def _run_steps(self, run_step: _RunStep) -> None:
        self._spent = [run_step(step) for step in self.steps]

    def _record(self, run_step: _RunStep) -> None:
        for number, step in enumerate(self.steps):
            with record(self._weights_stay) as recording:
                self._spent[number] = run_step(step)
            if not recording.complete:
                self._parts.append(_Part([number], None))
                continue
            if not self._parts or not self._parts[-1].takes(recording):
                self._parts.append(_Part([], Recording()))
            self._parts[-1].append(number, recording)
        if not self._is_same():
            self._parts = []

    def _repeat(self, run_step: _RunStep) -> None:
        for part in self._parts:
            if part.recording is None:
                (number,) = part.numbers
                self._spent[number] = run_step(self.steps[number])
            else:
                part.repeat()
                for number in part.numbers:
                    self.steps[number].repeated()

    def _is_same(self) -> bool:
        """Whether everything that the launches get is what it was in the last run."""
        latest = CHANGES.latest  # before looking: another thread may change something meanwhile
        if self._threads != get_num_threads() or (self._backward and self._modes != self._now()):
            return False
        if self._seen is not latest:
            now = list(self._things())
            if len(now) != len(self._found) or any(a is not b for a, b in zip(now, self._found)):
                return False
            self._seen = latest
        return True

    def _look(self) -> None:
        self._seen, self._threads = CHANGES.latest, get_num_threads()
        self._found = list(self._things())
        self._modes = self._now() if self._backward else []

    def _now(self) -> list[object]:
        """What decides which launches backward makes, beside shapes and memory."""
        wanted = [tuple(link.layer.param_propagate_down) for link in self._links]
        return [*wanted, *(step.mode() for step in self.steps)]

    def _things(self) -> Iterator[object]:
        for layer, bottom, top in self._links:
            for blob in (*bottom, *top, *layer.blobs):
                yield blob
                yield blob.shape
                yield blob.data_memory.array
                if self._backward:
                    yield blob.diff_memory.array
            yield from vars(layer.buf).values()


class _Part:
    """Steps, by their numbers in the stretch, with their recording; or one that has none."""

    def __init__(self, numbers: list[int], recording: Recording | None) -> None:
        self.numbers = numbers
        self.recording = recording
        self._launching: list[int] = []  # the numbers of the steps that launch something
        self._times: Any = None
        self._began: int | None = None
        self._spent = 0

    def takes(self, more: Recording) -> bool:
        """Whether launches may be appended."""
        return self.recording is not None and self.recording.elements + more.elements <= LONGEST

    def append(self, number: int, recording: Recording) -> None:
        """Append the launches of a step."""
        assert self.recording is not None
        self.numbers.append(number)
        if len(recording):
            self.recording.append(recording, len(self._launching))
            self._launching.append(number)
            self._times = np.zeros((len(self._launching), 2), np.int64)

    def repeat(self) -> None:
        """Run the launches."""
        if self._launching and self.recording is not None:
            began = time.perf_counter_ns()
            self._began = clock()
            self.recording.repeat(self._times)
            self._spent = time.perf_counter_ns() - began

    def tell(self, spent: list[int]) -> None:
        """Fill in how long each step took the last time; all at the first without a clock."""
        if self._times is None or not self._spent:
            return
        for number in self.numbers:
            spent[number] = 0
        if self._began is None:
            spent[self.numbers[0]] = self._spent
            return
        before = self._began
        for number, (seconds, nanoseconds) in zip(self._launching, self._times.tolist()):
            now = seconds * 10**9 + nanoseconds
            spent[number], before = now - before, now


def join_forward(
    steps: Sequence[Step],
    links: Sequence[Link],
    losses: Sequence[Sequence[object]],
    weights_stay: bool,
) -> list[Step | Stretch]:
    """The steps, with those in a row that can be repeated joined to stretches.

    losses: for each layer its tops that are losses; these are read right after its step.
    weights_stay: whether a recording need not heed what is written to weights.
    """

    def joins(step: Step) -> bool:
        layers = [links[index].layer for index in step.layers]
        return all(layer.repeatable and not layer.dynamic for layer in layers) and not any(
            losses[index] for index in step.layers
        )

    return _join(steps, joins, partial(Stretch, links=links, weights_stay=weights_stay))


def join_backward(steps: Sequence[Step], links: Sequence[Link]) -> list[Step | Stretch]:
    """The same of backward's steps, which are in the order in which they run."""

    def joins(step: Step) -> bool:
        layers = [links[index].layer for index in step.layers]
        return all(layer.backward_repeatable and not layer.dynamic for layer in layers)

    return _join(steps, joins, partial(Stretch, links=links, backward=True))


def _join(
    steps: Iterable[Step], joins: Callable[[Step], bool], stretch: Callable[[list[Step]], Stretch]
) -> list[Step | Stretch]:
    """Stretches of the steps in a row that join, and the other steps."""
    found: list[Step | Stretch] = []
    for joined, group in groupby(steps, joins):
        row = list(group)
        found += [stretch(row)] if joined else row
    return found
