"""Train a net with a solver prototxt, from scratch, from weights, or from a snapshot.

Ctrl-C (SIGINT) stops after the current iteration with a snapshot; a second one quits at once.
SIGHUP writes a snapshot.
"""

from __future__ import annotations

import argparse

from caffe_lite import glog
from caffe_lite.cli import UsageError, flags, interrupt

EFFECTS = ("snapshot", "stop", "none")

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
    flags.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Train; returns 0 when done or stopped early."""
    newest = args.snapshot == "auto"
    if args.snapshot and args.weights and not newest:
        raise UsageError("give -snapshot to resume or -weights to fine-tune, not both")
    handler = flags.start_log(args)
    from caffe_lite.cli.log import Progress
    from caffe_lite.proto import files
    from caffe_lite.solver import get_solver
    from caffe_lite.solver.signals import Action, SignalHandler

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
        ) as solver,
        SignalHandler(
            Action(args.sigint_effect),
            Action(args.sighup_effect),
            param.snapshot_after_train,
            lambda: solver.activity,
        ) as signals,
        interrupt.current().answering(signals.answer),
    ):
        solver.net.share_memory()
        for net in solver.test_nets:
            net.share_memory(backward=False)
        solver.action = signals.action
        if newest:
            solver.restore_newest()
        elif args.snapshot:
            _log.info("Resuming from %s", args.snapshot)
            solver.restore(args.snapshot)
        progress = Progress(handler, solver.iter, param.max_iter)
        solver.add_callback(
            lambda: progress.update(solver.iter, solver.smoothed_loss), lambda: None
        )
        _log.info("Starting Optimization")
        try:
            solver.solve()
        finally:
            progress.finish()
    return 0
