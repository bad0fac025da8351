"""Runner: forward and backward over the layers of a net."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from caffe_lite.blob import CHANGES, Storage
from caffe_lite.errors import CaffeError, NetError
from caffe_lite.kernels import compiling
from caffe_lite.limits import Budget
from caffe_lite.net import log
from caffe_lite.net.errors import located
from caffe_lite.net.link import Link
from caffe_lite.net.passes import fuse
from caffe_lite.net.passes.plan import Plan
from caffe_lite.net.passes.slices import Slice, find_slices, place
from caffe_lite.net.passes.wiring import Wires
from caffe_lite.net.running import steps
from caffe_lite.net.running.stretches import Stretch, join_backward, join_forward
from caffe_lite.proto.nodes import Node

Hook = Callable[[int], None]


@dataclass
class Hooks:
    """Functions that are called with the index of each layer."""

    before_forward: list[Hook] = field(default_factory=list)
    after_forward: list[Hook] = field(default_factory=list)
    before_backward: list[Hook] = field(default_factory=list)
    after_backward: list[Hook] = field(default_factory=list)
    gradients_ready: list[Hook] = field(default_factory=list)
    """Called in backward after each step, with its first layer: that one's gradients, and those of
    all layers after it, are complete.  Layers stay fused."""


class Runner:
    """Runs the layers of a net: fused where nothing reads the values between, else one by one.

    `fusions` are the layers that run as one, `steps` what a whole forward and backward run.
    `slices` are bottoms that may lie in tops, if the net runs only forward.
    `nanoseconds` is how long each layer took in the last forward: 0 for one that did not run, and
    the time of layers that run as one is at the first of them.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        links: Sequence[Link],
        wires: Wires,
        plan: Plan,
        budget: Budget,
    ) -> None:
        self.hooks = Hooks()
        self._budget = budget
        self._asked_at = -1  # budget.changes when the gradients were asked for
        self._running = threading.RLock()  # several threads may run nets, but one net in turns
        self._nodes = nodes
        self._links = links
        self._wires = wires
        self._plan = plan
        self.slices: list[Slice] = []
        self._placed: object = None  # the last change after which all slices were in place
        self._forward_only = False
        self._weights_stay = False
        self._shares_memory = False
        self._ready = False  # a forward has run to the end, and no backward after it
        self._sources = next(
            (index for index, link in enumerate(links) if link.bottom), len(links)
        )  # how many layers come before the first that has bottoms
        self._layer = 0  # that runs
        self._spent = [0] * len(links)  # nanoseconds
        self._stretched = False  # whether the last forward ran the parts
        self._in_use = compiling.Use(self._running_layer)
        self._single = steps.single_steps(links, plan.bottoms)
        self._losses = [
            [top for top, weight in zip(link.top, link.layer.loss_weights, strict=False) if weight]
            for link in links
        ]
        self._fuse()

    def _fuse(self) -> None:
        self.fusions = fuse.find_fusions(self._wires, self._links)
        self.steps = steps.fused_steps(self._links, self.fusions, self._single)
        self._join()

    def _join(self) -> None:
        steps = self.steps.forward
        self._parts = join_forward(steps, self._links, self._losses, self._weights_stay)
        back = [step for step in self.steps.backward if self._plan.layers[step.layers[0]]]
        self._parts_back = join_backward(back[::-1], self._links)

    def forbid_backward(self) -> None:
        """Refuse backward from now on: no layer keeps anything for it, and more are fused."""
        self._forward_only = True
        for link in self._links:
            link.layer.goes_backward = False
        self._fuse()
        if not self._shares_memory:
            self._set_slices(find_slices(self._links))

    def _set_slices(self, slices: list[Slice]) -> None:
        self.slices, self._placed = slices, None
        self._place_slices()

    def _place_slices(self) -> None:
        """After a change of shapes or of memory, let bottoms be slices of tops again."""
        latest = CHANGES.latest  # before looking: another thread may change something meanwhile
        if self._placed is not latest:
            place(self.slices)
            self._placed = latest

    def freeze(self) -> None:
        """Compute what depends on the weights alone once: these stay as they are from now on."""
        if self._shares_memory and not self._forward_only:
            raise NetError("freeze the net before its blobs share memory (share_memory)")
        what = "its weights in the order in which they are read"
        for index, link in enumerate(self._links):
            try:
                self._budget.ask((link.layer, "prepared"), link.layer.prepared(), what)
            except (CaffeError, MemoryError) as error:
                raise self._located(error, index) from None
        self._weights_stay = True
        self.forbid_backward()

    def weights_changed(self) -> None:
        """Compute anew what depends on weights that were to stay."""
        with self._running:
            if self._weights_stay:
                self._join()

    def share_memory(self, parts: Container[Storage]) -> None:
        """Refuse from now on to go on from values that a run has overwritten.

        parts: the slices that memory was shared with; no other one has a place from now on.
        """
        self._shares_memory = True
        self._set_slices([each for each in self.slices if each.part in parts])

    def forward(self, start: int, end: int, debug: bool = False) -> float:
        """Run layers `start` to `end`, both included; the weighted loss of these.

        Layers are fused in a whole run without hooks.  `debug` logs what each layer computes.
        Raises NetError for a run from the middle after `share_memory`; the layers that only bring
        data may be left out.
        """
        if start > self._sources and self._shares_memory:
            raise NetError(
                f"forward cannot start at layer {start}: this net's blobs share memory "
                "(share_memory), so what is before it was overwritten; run all layers"
            )
        hooks = self.hooks
        whole = start == 0 and end == len(self._links) - 1
        fused = whole and not (hooks.before_forward or hooks.after_forward or debug)
        loss = 0.0
        self._ready = False
        with self._running, self._in_use, np.errstate(all="ignore"):  # as in Caffe, no warnings
            self._spent = [0] * len(self._links)
            self._stretched = fused
            if fused:
                for part in self._parts:
                    if isinstance(part, Stretch):
                        part.run(self._run_step)
                    else:
                        self._run_step(part)
                        loss += self._loss_of(part.layers[-1])
            else:
                self._unfold()
                for index in range(start, end + 1):
                    loss += self._run_single(index, debug)
            if whole:
                self._place_slices()  # those of layers that have been reshaped on the way
        self._ready = start <= self._sources and end == len(self._links) - 1
        return loss

    def _run_single(self, index: int, debug: bool) -> float:
        """Run a layer with its hooks; the loss that it adds."""
        self._layer = index
        for hook in self.hooks.before_forward:
            hook(index)
        self._run_step(self._single.forward[index])
        loss = self._loss_of(index)
        if debug:
            log.debug_forward(self._links[index], self._wires.top_names(index))
        for hook in self.hooks.after_forward:
            hook(index)
        return loss

    def _run_step(self, step: steps.Step) -> int:
        """Run a step; how many nanoseconds it took.  Raises the located error of its layer."""
        self._layer = step.layers[-1]
        began = time.perf_counter_ns()
        try:
            step.run()
        except (CaffeError, MemoryError) as error:
            self._refuse(step, error)
        spent = time.perf_counter_ns() - began
        self._spent[step.layers[0]] = spent
        return spent

    def _loss_of(self, index: int) -> float:
        """The weighted loss of a layer that has just run."""
        return sum(float(np.vdot(blob.data, blob.diff)) for blob in self._losses[index])

    @property
    def nanoseconds(self) -> list[int]:
        """How long each layer took in the last forward; see the class."""
        spent = list(self._spent)
        for part in self._parts if self._stretched else ():
            if isinstance(part, Stretch):
                for index, its_own in part.nanoseconds():
                    spent[index] = its_own
        return spent

    def _running_layer(self) -> str:
        """The layer that runs, for whoever waits for its kernels to be compiled."""
        layer = self._nodes[self._layer]
        return f'layer {self._layer + 1} of {len(self._nodes)} "{layer.param.name}"'

    def _unfold(self) -> None:
        """Before layers run one by one: give them what a fused forward has left out."""
        for chain in self.steps.returning:
            chain.unfold()

    def _refuse(self, step: steps.Step, error: CaffeError | MemoryError) -> NoReturn:
        """Raise a step's error; of a fused step, the one that its layers raise one by one."""
        if len(step.layers) > 1:
            for index in step.layers:
                single = self._single.forward[index]
                try:
                    single.run()
                except (CaffeError, MemoryError) as its_own:
                    self._refuse(single, its_own)
        raise self._located(error, step.layers[0]) from None

    def _refuse_back(self, step: steps.Step, error: CaffeError | MemoryError) -> NoReturn:
        """Raise a backward step's error, at the layer that is not as forward left it."""
        for index in step.layers:
            try:
                self._links[index].check_prepared()
            except CaffeError as its_own:
                raise self._located(its_own, index) from None
        raise self._located(error, step.layers[0]) from None

    def _located(self, error: CaffeError | MemoryError, index: int) -> CaffeError:
        return located(error, self._nodes[index], self._links[index].layer.config_field)

    def backward(self, start: int, end: int, debug: bool = False) -> None:
        """Run layers `start` down to `end`, both included, where the plan has a gradient.

        Layers are fused as in `forward`.  Raises NetError after `forbid_backward`; and after
        `share_memory` unless all layers run, after a whole forward of its own.
        """
        if self._forward_only:
            raise NetError(
                "this net was set to run forward only: freeze() or share_memory(backward=False)"
            )
        before, after = self.hooks.before_backward, self.hooks.after_backward
        whole = start == len(self._links) - 1 and end == 0
        fused = whole and not (before or after or debug)
        if self._shares_memory and not (whole and self._ready):
            raise NetError(
                "backward must run all layers, and once after each whole forward: this net's "
                "blobs share memory (share_memory), so a run overwrites what another would read"
            )
        self._ready = False
        chosen = self.steps.backward if fused else self._single.backward[end : start + 1]
        with self._running, self._in_use, np.errstate(all="ignore"):  # as in Caffe, no warnings
            if self._asked_at != self._budget.changes:
                self.ask_for_gradients()
            if fused and not self.hooks.gradients_ready:
                self._run_parts_back()
                return
            if not fused:
                self._unfold()
            for step in reversed(chosen):
                index = self._layer = step.layers[0]
                for hook in before:
                    hook(index)
                if self._plan.layers[index]:
                    self._run_step_back(step)
                    if debug:
                        names, wanted = self._wires.bottom_names(index), self._plan.bottoms[index]
                        log.debug_backward(self._links[index], names, wanted)
                for hook in after:
                    hook(index)
                for hook in self.hooks.gradients_ready:
                    hook(index)

    def _run_parts_back(self) -> None:
        """A whole backward that nobody looks at between the steps."""
        for part in self._parts_back:
            if not isinstance(part, Stretch):
                self._run_step_back(part)
                continue
            try:
                part.run(self._run_step_back)
            except MemoryError as error:
                self._refuse_back(part.steps[0], error)

    def _run_step_back(self, step: steps.Step) -> int:
        """Run a backward step; how many nanoseconds it took.  Raises its located error."""
        self._layer = step.layers[0]
        began = time.perf_counter_ns()
        try:
            step.run()
        except (CaffeError, MemoryError) as error:
            self._refuse_back(step, error)
        return time.perf_counter_ns() - began

    def ask_for_gradients(self) -> None:
        """Ask for the memory of all diffs that backward will touch."""
        for index, link in enumerate(self._links):
            if not self._plan.layers[index]:
                continue
            wanted = zip(link.bottom, self._plan.bottoms[index], strict=True)
            learns = zip(link.layer.blobs, self._plan.params[index], strict=False)
            try:
                link.layer.ask_for_diff(link.top, "the gradients of its tops")
                link.layer.ask_for_diff([b for b, yes in wanted if yes], "those of its bottoms")
                link.layer.ask_for_diff([b for b, yes in learns if yes], "those of its weights")
            except (CaffeError, MemoryError) as error:
                raise self._located(error, index) from None
        self._asked_at = self._budget.changes

    def reshape(self) -> None:
        """Shape all blobs for bottoms that have been reshaped."""
        with self._running:
            for index, link in enumerate(self._links):
                try:
                    link.prepare()
                except (CaffeError, MemoryError) as error:
                    raise self._located(error, index) from None
            self._place_slices()
