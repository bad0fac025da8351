"""Solver: the training loop, in Caffe's order, with pycaffe's names."""

from __future__ import annotations

import difflib
import math
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from caffe_lite import glog, modes, rng
from caffe_lite.blob import Blob
from caffe_lite.distributed import Group
from caffe_lite.errors import OutOfMemory, SolverError
from caffe_lite.kernels.update import sum_of_squares
from caffe_lite.limits import check_memory
from caffe_lite.net import log as net_log
from caffe_lite.net.net import Net
from caffe_lite.net.weights import warn_of_unshared
from caffe_lite.solver import lr_policy, report, resume, snapshot, updates
from caffe_lite.solver.monitor import Monitor, Progress
from caffe_lite.solver.observer import Observer
from caffe_lite.solver.ranks import Ranks
from caffe_lite.solver.settings import Settings, Source
from caffe_lite.solver.signals import Action
from caffe_lite.solver.snapshot import Saved
from caffe_lite.solver.updates import Gradient

_log = glog.logger("caffe_lite.solver")

Callback = Callable[[], object]


class _BeforeTests(NamedTuple):
    """Where the test nets and the monitor were before the tests that go on."""

    states: list[list[resume.LayerState]]
    monitored: Progress | None


class Solver:
    """Trains the net of a solver prototxt, and tests it at intervals.

    `net` is the net being trained; `test_nets` share its weights; `iter` is the number of updates
    made; `param` is the SolverParameter.  `action` is called between iterations and test batches;
    it returns whether to stop or to write a snapshot.  A loss that is not finite ends the run with
    a SolverError, unless `continue_on_nan` is set.  `keep_snapshots` is how many snapshots are
    left when one has been written, that one included; None: all.  `strict` refuses weights to
    fine-tune that do not match the net's layers: see `Net.copy_from`.  `monitor` stops the run, or
    lowers its learning rate, when the tests no longer improve.  `python_layers`, `any_output` and
    `allow_unknown_fields` are those of `Net`.

    `group` are the ranks that train the net together (see `distributed`).  All must make the same
    calls.  The batch of an iteration is that of all ranks, each with the file's batch_size; with
    `global_batch` the file's is that of all, and divided among them.  A BatchNorm normalises by
    its own rank's batch, with `sync_batch_norm` by that of all.

    `solver_file` is a path or a SolverParameter.  Raises SolverError for contradictory settings,
    and every error of building the nets.
    """

    rule: ClassVar[type[updates.Rule]]
    """The subclass's update rule; only `get_solver` reads the `type` in the file."""

    def __init__(
        self,
        solver_file: Source | Settings,
        *,
        dtype: npt.DTypeLike = np.float32,
        python_layers: bool = False,
        any_output: bool = False,
        continue_on_nan: bool = False,
        keep_snapshots: int | None = None,
        strict: bool = False,
        monitor: Monitor | None = None,
        allow_unknown_fields: bool = False,
        group: Group | None = None,
        global_batch: bool = False,
        sync_batch_norm: bool = False,
    ) -> None:
        self._ranks = Ranks(group or Group())
        with self._ranks.group.together():
            if not isinstance(solver_file, Settings):
                solver_file = Settings(solver_file, allow_unknown_fields)
        self._settings = solver_file
        self.param = self._settings.param
        self.continue_on_nan = continue_on_nan
        if keep_snapshots is not None and keep_snapshots < 1:
            raise SolverError(f"keep_snapshots must be 1 or more, not {keep_snapshots}")
        self.keep_snapshots = keep_snapshots
        self.action: Callable[[], Action] = lambda: Action.NONE
        self.iter = 0
        self.activity = "the construction of the nets"
        """What it is doing, in words, for a person who waits for its end."""
        self._current_step = 0
        self._plateau = lr_policy.Plateau()
        self._rate = math.nan
        self.monitor = monitor
        self._observers: list[Observer] = []
        self._callbacks: list[tuple[Callback, Callback]] = []
        self._stopped = False
        self._was_not_finite = False
        self._smoothed = report.SmoothedLoss(1)
        self._restored = False
        self._before_tests: _BeforeTests | None = None
        self.test_nets: list[Net] = []
        self._settings.check()
        self.rule.check(self.param, self._settings.refuse)
        with self._ranks.group.together():
            if self.param.snapshot:
                self._check_prefix()
        options = str(dtype), strict, global_batch, sync_batch_norm, continue_on_nan
        self._ranks.compare(self._settings, _split(self.param.weights), *options)
        with self._ranks.group.together():
            divide_batch = self._ranks.group.size if global_batch else 1
            self._build(dtype, python_layers, any_output, strict, divide_batch)
            self._find_monitored()
            self._ask_for_memory()
            self._rule = self.rule(self.param, self.net.learnable)
        self._ranks.join(self.net, self.test_nets, sync_batch_norm)
        _log.info("Solver scaffolding done.")

    @property
    def group(self) -> Group:
        """The ranks that train together; of one, this process alone."""
        return self._ranks.group

    def _build(
        self,
        dtype: npt.DTypeLike,
        python_layers: bool,
        any_output: bool,
        strict: bool,
        divide_batch: int,
    ) -> None:
        param = self.param
        _log.info("Initializing solver from parameters:\n%s", param)
        self._settings.report_unread()
        if param.HasField("solver_mode") and param.solver_mode == param.GPU:
            modes.set_mode_gpu()
        if param.random_seed >= 0:
            rng.set_random_seed(param.random_seed)
        build = partial(Net, dtype=dtype, python_layers=python_layers, any_output=any_output)
        self.net = build(self._settings.train_net(), divide_batch=divide_batch)
        try:
            paths = _split(param.weights)
            for path in paths:
                _log.info("Finetuning from %s", path)
            if paths:
                self.net.copy_from_files(paths, strict)
            for index, source in enumerate(self._settings.test_nets()):
                test_net = build(source)
                test_net.debug_info = param.debug_info
                warn_of_unshared(test_net.receiver, self.net.params, f"test net (#{index})")
                self.test_nets.append(test_net)
        except BaseException:
            self.close()
            raise

    def _find_monitored(self) -> None:
        if self.monitor is not None:
            try:
                self.monitor.find(self.test_nets)
            except SolverError as error:
                self.close()
                raise error.at(None, self._settings.file) from None

    def _ask_for_memory(self) -> None:
        """Ask for the history and the weights' gradients, and for all nets together.

        The gradients of blobs are asked for by the first backward: until then they may still be
        told to share memory.
        """
        budget, params = self.net.budget, [each.blob for each in self.net.learnable]
        history = self.rule.arrays_per_parameter * sum(_bytes(blob) for blob in params)
        try:
            budget.ask("history", history, f"the history of {self.rule.type}")
            for blob in params:
                budget.ask(blob.diff_memory, _bytes(blob), "the gradients of its weights")
            together = sum(net.budget.total for net in (self.net, *self.test_nets))
            if self.test_nets:
                check_memory(together, "the train net and the test nets")
        except OutOfMemory as error:
            self.close()
            raise error.at(None, self._settings.file) from None

    # -- the loop --------------------------------------------------------------------------

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train up to iteration `max_iter`, from `resume_file`, a .solverstate, if given."""
        param = self.param
        _log.info("Solving %s", self.net.name)
        _log.info("Learning Rate Policy: %s", param.lr_policy)
        with self._ranks.group.together():
            if param.snapshot_after_train:
                self._check_prefix()
        if (param.snapshot or param.snapshot_after_train) and self._ranks.group.is_root:
            snapshot.remove_leftovers(self._prefix)
        if resume_file is not None:
            self.restore(resume_file)
        self._stopped = False
        self.step(param.max_iter - self.iter)
        if param.snapshot_after_train and not _due(self.iter, param.snapshot):
            self.snapshot()
        if self._stopped:
            _log.info("Optimization stopped early.")
            return
        if _due(self.iter, param.display):
            loss = self._smoothed.add(self._ranks.loss(self.net.compute_loss))
            _log.info("Iteration %d, loss = %g", self.iter, loss)
        if _due(self.iter, param.test_interval):
            self.test_all()
        _log.info("Optimization Done.")

    def step(self, iterations: int) -> None:
        """Make `iterations` updates, with the tests, log lines and snapshots that are due."""
        param = self.param
        stop = self.iter + iterations
        if not self._restored:  # else the mean goes on where it was
            self._smoothed = report.SmoothedLoss(param.average_loss)
        self._restored = False
        shown, since = self.iter, time.perf_counter()
        while self.iter < stop:
            self.activity = f"iteration {self.iter}"
            self.net.clear_param_diffs()
            if _due(self.iter, param.test_interval) and (
                self.iter > 0 or param.test_initialization
            ):
                self.test_all()
                if self._stopped:
                    return
                self.activity = f"iteration {self.iter}"
            for on_start, _ in self._callbacks:
                on_start()
            for observer in self._observers:
                observer.iteration_started(self.iter)
            display = _due(self.iter, param.display)
            self.net.debug_info = display and param.debug_info
            loss = self._forward_backward()
            smoothed = self._smoothed.add(loss)
            if display:
                now = time.perf_counter()
                self._show(smoothed, self.iter - shown, now - since)
                shown, since = self.iter, now
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update()
            for observer in self._observers:
                observer.iteration_ended(self.iter - 1, loss, self._rate)
            action = self._ranks.action(self.action())
            if action is Action.SNAPSHOT or _due(self.iter, param.snapshot):
                self.snapshot()
            if action is Action.STOP:
                self._stopped = True
                return

    def _forward_backward(self) -> float:
        """Sum the gradients of `iter_size` batches; returns the mean of their losses."""
        loss = own = 0.0

        def forward() -> float:
            nonlocal own
            its_loss = self.net.compute_loss()
            own += its_loss
            self._check_finite(own)
            return its_loss

        for left in reversed(range(self.param.iter_size)):
            loss += self._ranks.loss(forward)
            self._ranks.gradients(self.net, last=not left)
        return loss / self.param.iter_size

    def _show(self, loss: float, iterations: int, seconds: float) -> None:
        _log.info(
            "Iteration %d (%g iter/s, %gs/%d iters), loss = %g",
            self.iter,
            iterations / (seconds or 1.0),
            seconds,
            self.param.display,
            loss,
        )
        for index, output in enumerate(self._ranks.mean_outputs(list(report.outputs(self.net)))):
            _log.info("    Train net output #%d: %s", index, output)

    def apply_update(self) -> None:
        """Clip, normalise and regularise the gradients, update the weights, increment `iter`."""
        param = self.param
        self._note_step()
        self._rate = rate = self.lr
        if _due(self.iter, param.display):
            _log.info("Iteration %d, lr = %g", self.iter, rate)
        scale = self._clipping() / param.iter_size
        for index, each in enumerate(self.net.learnable):
            decay = param.weight_decay * each.decay_mult
            l2, l1 = (decay, 0.0) if param.regularization_type == "L2" else (0.0, decay)
            self._rule.update(index, Gradient(scale, l2, l1), rate * each.lr_mult, self.iter)
        if self.net.debug_info:
            net_log.debug_update(self.net.learnable)
        self.iter += 1

    @property
    def smoothed_loss(self) -> float:
        """The mean of the last `average_loss` losses, as logged; NaN before the first."""
        return self._smoothed.mean if self._smoothed.losses else math.nan

    @property
    def lr(self) -> float:
        """The learning rate of the next update, without the parameters' lr_mult."""
        rate = lr_policy.learning_rate(self.param, self.iter, self._plateau.step)
        return rate if self.monitor is None else rate * self.monitor.factor

    def _note_step(self) -> None:
        if self.param.lr_policy == lr_policy.PLATEAU:
            self._note_plateau()
            return
        step = lr_policy.current_step(self.param, self.iter)
        if step != self._current_step and self.param.lr_policy == "multistep":
            _log.info("MultiStep Status: Iteration %d, step = %d", self.iter, step)
        self._current_step = step

    def _note_plateau(self) -> None:
        plateau, display = self._plateau, self.param.display
        if plateau.note(self.param.plateau_winsize, self.iter, self._smoothed.mean):
            _log.info("Plateau Status: Iteration %d, step = %d", self.iter, plateau.step)
        if _due(self.iter, display) and plateau.last_event > self.iter - display:
            _log.info(
                "Plateau Status: Iteration %d, current minimum_loss = %g",
                self.iter,
                plateau.minimum_loss,
            )
        self._current_step = plateau.step

    def _clipping(self) -> float:
        """The factor that reduces the norm of all gradients to at most `clip_gradients`."""
        limit = self.param.clip_gradients
        if limit < 0:
            return 1.0
        diffs = [each.blob.diff for each in self.net.learnable if each.blob.has_diff]
        norm = math.sqrt(math.fsum(sum_of_squares(diff.reshape(-1)) for diff in diffs))
        if not norm > limit:
            return 1.0
        factor = limit / norm
        _log.info(
            "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
            norm,
            limit,
            factor,
        )
        return factor

    def add_callback(self, on_start: Callback, on_gradients_ready: Callback) -> None:
        """Call `on_start` before each forward, `on_gradients_ready` before each update."""
        self._callbacks.append((on_start, on_gradients_ready))

    def add_observer(self, observer: Observer) -> None:
        """Tell `observer` of each iteration and test from now on."""
        self._observers.append(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Tell `observer` no more."""
        self._observers.remove(observer)

    # -- losses that are not finite --------------------------------------------------------

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss):
            self._was_not_finite = False
            return
        if self._was_not_finite:
            return
        message = f"iteration {self.iter}: the loss is {loss:g}; {report.first_bad(self.net)}"
        if not self.continue_on_nan:
            raise SolverError(
                f"{message}; lower base_lr ({self.param.base_lr:g}), set clip_gradients, or set "
                "continue_on_nan (caffe-lite train --continue-on-nan)"
            )
        self._was_not_finite = True  # warn once, until a loss is finite again
        _log.warning("%s", message)

    # -- testing ---------------------------------------------------------------------------

    def test_all(self) -> None:
        """Run all test nets with the current weights."""
        # a run that continues from a snapshot written meanwhile runs all tests again
        monitored = None if self.monitor is None else self.monitor.progress
        self._ranks.before_tests()
        self._before_tests = _BeforeTests(self._test_states(), monitored)
        for index in range(len(self.test_nets)):
            if self._stopped:
                return
            outputs, loss = self._test(index)
            if self.monitor is not None and index == 0 and not self._stopped:
                self._stopped = self.monitor.judge(self.iter, outputs, loss)
        if not self._stopped:
            self._before_tests = None

    def _test_states(self) -> list[list[resume.LayerState]]:
        return self._ranks.test_states(self.test_nets, self.net)

    def test(self, index: int = 0) -> list[report.Output]:
        """Run a test net for its `test_iter` batches; logs and returns its mean outputs."""
        return self._test(index)[0]

    def _test(self, index: int) -> tuple[list[report.Output], float]:
        """The mean outputs of a test net and the mean of its loss."""
        _log.info("Iteration %d, Testing net (#%d)", self.iter, index)
        net, batches = self.test_nets[index], self.param.test_iter[index]
        net.share_with(self.net)
        means, loss = report.measure(self.param), 0.0
        for observer in self._observers:
            observer.test_started(self.iter, index, batches)

        def run() -> tuple[float, Any]:
            found = net.compute_loss(), means.read(net)
            for observer in self._observers:
                observer.batch_tested(index, net)
            return found

        results = self._ranks.results(index, batches, run)
        for batch in range(batches):
            self.activity = f"batch {batch + 1} of {batches} of test net #{index}"
            if self._interrupted():
                _log.info("Test interrupted.")
                return means.means(), math.nan
            its_loss, outputs = next(results)
            loss += its_loss
            means.add(outputs)
        loss = loss / batches if batches else math.nan
        if self.param.test_compute_loss:
            _log.info("Test loss: %g", loss)
        found = means.means()
        for number, output in enumerate(found):
            _log.info("    Test net output #%d: %s", number, output)
        for observer in self._observers:
            observer.test_ended(self.iter, index, found, loss)
        return found, loss

    def _interrupted(self) -> bool:
        """Whether to stop, after handling all pending actions."""
        while (action := self._ranks.action(self.action())) is not Action.NONE:
            if action is Action.SNAPSHOT:
                self.snapshot()
            else:
                self._stopped = True
        return self._stopped

    # -- snapshots -------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write the weights, then the state that names them, with what a run needs to continue.

        Then remove the snapshots beyond `keep_snapshots`.
        """
        self.activity = "the snapshot"
        self._ranks.check_weights(self.net)
        run = self._run()
        with self._ranks.group.together():
            if self._ranks.group.is_root:
                self._write_snapshot(run)

    def _write_snapshot(self, run: resume.Run) -> None:
        self._check_prefix()
        prefix, hdf5 = self._prefix, self.param.snapshot_format == self.param.HDF5
        kind = "HDF5" if hdf5 else "binary proto"
        weights = snapshot.weights_file(prefix, self.iter, hdf5)
        _log.info("Snapshotting to %s file %s", kind, weights)
        save = self.net.save_hdf5 if hdf5 else self.net.save
        save(weights, self.param.snapshot_diff)
        state = snapshot.state_file(prefix, self.iter, hdf5)
        _log.info("Snapshotting solver state to %s file %s", kind, state)
        history = self._rule.history
        plateau = self._plateau if self.param.lr_policy == lr_policy.PLATEAU else None
        parts = snapshot.state_parts(self.iter, weights, self._current_step, history, plateau)
        snapshot.write_state(state, parts, hdf5, weights, run)
        if self.keep_snapshots is not None:
            snapshot.prune(prefix, self.iter, self.keep_snapshots)

    def _run(self) -> resume.Run:
        """Where the run is now."""
        monitored = None if self.monitor is None else self.monitor.progress
        tests, monitored = self._before_tests or (self._test_states(), monitored)
        return resume.Run(
            iteration=self.iter,
            digests={},
            losses=self._smoothed.losses,
            was_not_finite=self._was_not_finite,
            nets=[resume.collect(self.net, self.net), *tests],
            monitor=monitored,
        )

    def restore(self, state_file: str | os.PathLike[str]) -> None:
        """Restore a .solverstate or .solverstate.h5, the weights it names, and its resume file.

        The run then goes on as if it had never ended.  Without a resume file, as in Caffe, the
        data begin anew.  Raises SolverError, and changes nothing, if a file is damaged or of
        another net or solver type.
        """
        path = os.fspath(state_file)
        _log.info("Restoring previous solver status from %s", path)
        largest = self._largest_resume()
        self._restore(self._ranks.from_root(lambda: snapshot.read(path, largest)))

    def restore_newest(self) -> bool:
        """Restore the newest good snapshot under `snapshot_prefix`; whether there is one.

        Those that are damaged or incomplete are named and passed over.
        """
        largest = self._largest_resume()
        saved = self._ranks.from_root(lambda: self._read_newest(largest))
        if saved is None:
            _log.info('No snapshot under "%s" to continue from: starting anew', self._prefix)
            return False
        _log.info("Restoring previous solver status from %s", saved.path)
        self._restore(saved)
        return True

    def _read_newest(self, largest: int) -> Saved | None:
        self._check_prefix()
        return snapshot.read_newest(self._prefix, largest)

    def _largest_resume(self) -> int:
        return resume.ROOM + 2 * len(resume.encode(self._run()))

    def _restore(self, saved: Saved) -> None:
        """Go on from a snapshot, of which rank 0 has read the files."""
        with self._ranks.group.together():
            self._restore_own(saved)
        self._ranks.restored(self.net, self._rule)

    def _restore_own(self, saved: Saved) -> None:
        history = None
        if self._ranks.group.is_root:
            history = snapshot.read_history(saved.path, saved.state, self._rule.history)
        run, file = saved.run, resume.resume_file(saved.path)
        if run is None:
            _log.warning(
                "%s does not exist: the data begin anew, and so do random streams, as in Caffe",
                file,
            )
            self._restore_weights(saved)
            self._smoothed, self._was_not_finite = report.SmoothedLoss(1), False
            self._continue_monitor(None)
        else:
            nets = [self.net, *self.test_nets]
            resume.check_nets(nets, run, file)
            with resume.restored(nets, run, file):
                self._restore_weights(saved)
            self._smoothed = report.SmoothedLoss(self.param.average_loss, run.losses)
            self._was_not_finite = run.was_not_finite
            self._continue_monitor(run.monitor)
        _log.info("%sSolver: restoring history", self._rule.type)
        if history is not None:
            self._rule.restore(history)
        self.iter = int(saved.state.iter)
        self._current_step = int(saved.state.current_step)
        self._plateau = lr_policy.Plateau(saved.state)
        self._restored, self._before_tests = run is not None, None

    def _continue_monitor(self, before: Progress | None) -> None:
        if self.monitor is not None:
            self.monitor.continue_from(before)
        elif before is not None and before.reductions:
            _log.warning(
                "the snapshot's run had its learning rate lowered %d times by reduce_on_plateau, "
                "which is not set now",
                before.reductions,
            )

    def _restore_weights(self, saved: Saved) -> None:
        if saved.weights is not None and self._ranks.group.is_root:
            self.net.copy_from(saved.weights)

    @property
    def _prefix(self) -> str:
        return str(self.param.snapshot_prefix)

    def _check_prefix(self) -> None:
        if self._ranks.group.is_root:
            snapshot.check_prefix(self._prefix, self._settings.refuse)

    # -- the rest of pycaffe's solver ------------------------------------------------------

    def share_weights(self, net: Net) -> None:
        """Make another net use the weights being trained."""
        net.share_with(self.net)

    def close(self) -> None:
        """Stop the nets' reader threads and close their files.  Later calls have no effect."""
        for net in [self.net, *self.test_nets]:
            net.close()

    def __enter__(self) -> Solver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _due(iteration: int, interval: int) -> bool:
    """Whether an event that happens every `interval` iterations (0: never) is due."""
    return bool(interval) and iteration % interval == 0


def _split(weights: Iterable[str]) -> list[str]:
    """The paths in a list of entries, each with one or more paths separated by commas."""
    return [path.strip() for entry in weights for path in entry.split(",") if path.strip()]


class SGDSolver(Solver):
    """Gradient descent with momentum; the `type` in the file is ignored."""

    rule = updates.SGD


class NesterovSolver(Solver):
    """Gradient descent with Nesterov's momentum; the `type` in the file is ignored."""

    rule = updates.Nesterov


class AdaGradSolver(Solver):
    """AdaGrad; the `type` in the file is ignored."""

    rule = updates.AdaGrad


class RMSPropSolver(Solver):
    """RMSProp; the `type` in the file is ignored."""

    rule = updates.RMSProp


class AdaDeltaSolver(Solver):
    """AdaDelta; the `type` in the file is ignored."""

    rule = updates.AdaDelta


class AdamSolver(Solver):
    """Adam; the `type` in the file is ignored."""

    rule = updates.Adam


SOLVERS: dict[str, type[Solver]] = {solver.rule.type: solver for solver in Solver.__subclasses__()}


def solver_class(name: str) -> type[Solver]:
    """The class of a solver type.  Raises SolverError for an unknown type."""
    if name in SOLVERS:
        return SOLVERS[name]
    near = difflib.get_close_matches(name, SOLVERS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(SOLVERS)}"
    raise SolverError(f'unknown solver type "{name}"; {hint}')


def get_solver(solver_file: Source, **options: Any) -> Solver:
    """The solver in a file, of the class for its `type`; `options` are those of `Solver`."""
    with (options.get("group") or Group()).together():
        settings = Settings(solver_file, options.get("allow_unknown_fields", False))
        try:
            cls = solver_class(settings.param.type)
        except SolverError as error:
            raise settings.refuse("type", error.message) from None
    return cls(settings, **options)


def _bytes(blob: Blob) -> int:
    return blob.count * blob.dtype.itemsize
