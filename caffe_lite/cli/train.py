"""Train a net with a solver prototxt, from scratch, from weights, or from a snapshot.

Ctrl-C (SIGINT) stops after the current iteration with a snapshot; a second one quits at once.
SIGHUP writes a snapshot.  Under mpirun or srun the ranks train one net together, each on records
of its own.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING

from caffe_lite import glog
from caffe_lite.cli import UsageError, flags, interrupt

if TYPE_CHECKING:
    from caffe_lite.cli.log import GlogHandler
    from caffe_lite.solver import Monitor, Solver
    from caffe_lite.tensorboard import TensorBoard
    from caffe_lite.training_report import Report

EFFECTS = ("snapshot", "stop", "none")
MODES = ("min", "max")

_log = glog.logger("caffe_lite.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's flags for train."""
    flags.add(parser, "solver", "the solver prototxt", required=True)
    flags.add(
        parser,
        "snapshot",
        "a .solverstate(.h5) to resume from; auto: the newest good one under snapshot_prefix",
    )
    flags.add(
        parser,
        "keep_snapshots",
        "how many snapshots to keep, the newest (default: all)",
        type=flags.positive,
    )
    flags.add(parser, "weights", "weights to fine-tune: files separated by commas")
    flags.add_strict(parser)
    for name, effect in (("sigint", "stop"), ("sighup", "snapshot")):
        flags.add(
            parser,
            f"{name}_effect",
            f"the effect of {name.upper()} (default: {effect})",
            choices=EFFECTS,
            default=effect,
        )
    flags.add_switch(
        parser, "continue-on-nan", "continue if the loss is not finite, as Caffe does"
    )
    flags.add(
        parser,
        "report",
        "a page that shows the run, renewed while it goes on, such as run.html",
        metavar="FILE",
    )
    flags.add(
        parser,
        "tensorboard",
        "a folder for the curves of the run, which TensorBoard shows",
        metavar="DIR",
    )
    flags.add(
        parser,
        "early_stop",
        "stop when the score of the tests has not improved for N tests in a row",
        type=flags.positive,
    )
    flags.add(
        parser,
        "reduce_on_plateau",
        "multiply the learning rate by FACTOR when the score has not improved for N tests",
        type=_reduction,
        metavar="FACTOR,N",
    )
    flags.add(
        parser,
        "monitor",
        "the output of the first test net that is the score (default: its loss)",
        metavar="NAME",
        default="",
    )
    flags.add(
        parser,
        "monitor_mode",
        "whether the smallest or the largest score is the best (default: by its name)",
        choices=MODES,
        default="",
    )
    flags.add_switch(
        parser,
        "global_batch",
        "with mpirun: divide the batch_size in the net among the ranks (default: each takes it)",
    )
    flags.add_switch(
        parser,
        "sync_batch_norm",
        "with mpirun: let BatchNorm normalise by the batch of all ranks (default: its own)",
    )
    flags.add_common(parser)


def _reduction(text: str) -> tuple[float, int]:
    """A factor and a number of tests."""
    factor, _, tests = text.partition(",")
    try:
        found = float(factor), int(tests)
    except ValueError:
        found = 0.0, 0
    if not (0 < found[0] < 1 and found[1] > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a factor between 0 and 1 and a number of tests, such as 0.1,5"
        )
    return found


def _monitor(args: argparse.Namespace) -> Monitor | None:
    """The monitor of the flags, if they ask for one."""
    from caffe_lite.solver import Monitor

    if args.early_stop is None and args.reduce_on_plateau is None:
        for flag in ("monitor", "monitor_mode"):
            if getattr(args, flag):
                raise UsageError(f"-{flag} needs -early_stop or -reduce_on_plateau")
        return None
    return Monitor(args.early_stop, args.reduce_on_plateau, args.monitor, args.monitor_mode)


def run(args: argparse.Namespace) -> int:
    """Train; returns 0 when done or stopped early."""
    newest = args.snapshot == "auto"
    if args.snapshot and args.weights and not newest:
        raise UsageError("give -snapshot to resume or -weights to fine-tune, not both")
    monitor = _monitor(args)
    handler = flags.start_log(args)
    from caffe_lite.distributed import world
    from caffe_lite.proto import files
    from caffe_lite.solver import get_solver
    from caffe_lite.solver.signals import Action, SignalHandler

    group = world()
    with group.together():
        source = files.read_solver(args.solver)
    param = source.param
    if args.level is not None:
        param.train_state.level = args.level
    if args.stage:
        param.train_state.stage.extend(flags.stages(args))
    if (args.snapshot and not newest) or args.weights:
        del param.weights[:]
    if args.weights:
        param.weights.append(args.weights)
    with (
        get_solver(
            source,
            **flags.permissions(args),
            continue_on_nan=args.continue_on_nan,
            keep_snapshots=args.keep_snapshots,
            strict=args.strict,
            monitor=monitor,
            group=group,
            global_batch=args.global_batch,
            sync_batch_norm=args.sync_batch_norm,
        ) as solver,
        SignalHandler(
            Action(args.sigint_effect),
            Action(args.sighup_effect),
            param.snapshot_after_train,
            lambda: solver.activity,
        ) as signals,
        interrupt.current().answering(signals.answer),
    ):
        report, curves = _report(args, solver), _curves(args, solver)
        solver.net.share_memory()
        for index, net in enumerate(solver.test_nets):
            kept = report.keep if report is not None and index == 0 else ()
            net.share_memory(backward=False, keep=kept)
        solver.action = signals.action
        with report or nullcontext():
            if newest:
                solver.restore_newest()
            elif args.snapshot:
                _log.info("Resuming from %s", args.snapshot)
                solver.restore(args.snapshot)
            with curves or nullcontext():
                _solve(solver, handler)
    return 0


def _report(args: argparse.Namespace, solver: Solver) -> Report | None:
    """The page of -report; imported only for it, as for `_curves`."""
    if not args.report or not solver.group.is_root:
        return None
    from caffe_lite.training_report import Report

    return Report(solver, args.report)


def _curves(args: argparse.Namespace, solver: Solver) -> TensorBoard | None:
    """The writer of -tensorboard."""
    if not args.tensorboard or not solver.group.is_root:
        return None
    from caffe_lite.tensorboard import TensorBoard

    return TensorBoard(solver, args.tensorboard)


def _solve(solver: Solver, handler: GlogHandler) -> None:
    from caffe_lite.cli.log import Progress

    progress = Progress(handler, solver.iter, solver.param.max_iter)
    solver.add_callback(lambda: progress.update(solver.iter, solver.smoothed_loss), lambda: None)
    _log.info("Starting Optimization")
    try:
        solver.solve()
    finally:
        progress.finish()
