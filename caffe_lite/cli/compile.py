"""Compile the kernels of nets before their first run, for example in a container image.

Each FILE is a net or a solver prototxt.  A net is run once, forward and backward, in each phase in
which it can be built, and frozen in TEST; for a solver, its nets and its update are run.  Compiled
kernels are cached
in the folder that is printed, NUMBA_CACHE_DIR if set, and serve every net with the same types of
layers.  The data need not exist: random values of the same shape replace them.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from caffe_lite import glog
from caffe_lite.cli import flags
from caffe_lite.cli.compilation import compilation
from caffe_lite.cli.streams import say
from caffe_lite.errors import CaffeError, NotDifferentiable

if TYPE_CHECKING:
    from caffe_lite.cli.stand_ins import Shape
    from caffe_lite.net.net import Net
    from caffe_lite.proto import caffe_pb2, files, nodes
    from caffe_lite.solver import Solver

_log = glog.logger("caffe_lite.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files, the shapes of missing data, and the flags that commands share."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a net or solver prototxt")
    flags.add(
        parser,
        "shape",
        "the shape of one item, such as 1,28,28, or data:1,28,28 for the top of that name, if a "
        "data layer's source is missing and its prototxt has no shape; may be repeated",
        action="append",
        type=_shape,
        default=[],
        metavar="[TOP:]SIZES",
    )
    flags.add(
        parser,
        "phase",
        "build nets in this phase only: TRAIN or TEST (default: both)",
        choices=("TRAIN", "TEST"),
    )
    flags.add_common(parser)
    parser.set_defaults(minloglevel=os.environ.get("GLOG_minloglevel") or 1)  # noqa: SIM112


def _shape(text: str) -> tuple[str, Shape]:
    """A top's name, empty if it is omitted, and the sizes."""
    top, _, sizes = text.rpartition(":")
    try:
        shape = tuple(map(int, sizes.split(",")))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not SIZES or TOP:SIZES, such as 3,224,224")
    return top, shape


def run(args: argparse.Namespace) -> int:
    """Run everything once; print the number of kernels compiled, and the cache folder."""
    flags.start_log(args)
    from caffe_lite.kernels.cache import cache_folder
    from caffe_lite.proto import files

    shapes = dict(args.shape)
    for path in args.files:
        source = _read(path)
        if isinstance(source, files.SolverSource):
            runs = _solver(source, shapes, args)
        else:
            runs = _net(path, shapes, args)
        start = time.perf_counter()
        with compilation() as compiled:
            done = ", ".join(runs)
        seconds = time.perf_counter() - start
        say(
            f"{path}: {done}: {compiled.kernels} kernels compiled in {compiled.seconds:.1f} s, "
            f"{seconds:.1f} s in all"
        )
    say(f"compiled kernels are kept in {cache_folder()}")
    return 0


def _read(path: str) -> files.SolverSource | nodes.NetSource:
    """Read a solver or a net; for any other file, raise the error furthest into the file."""
    from caffe_lite.proto import files

    try:
        return files.read_solver(path)
    except CaffeError as error:
        as_solver = error
    try:
        return files.read_net(path)
    except CaffeError as as_net:
        raise (as_net if _position(as_net) >= _position(as_solver) else as_solver) from None


def _position(error: CaffeError) -> tuple[int, int]:
    """The line and column of an error."""
    return (error.location.line, error.location.column) if error.location else (0, 0)


# -- nets -------------------------------------------------------------------------------------


def _net(path: str, shapes: Mapping[str, Shape], args: argparse.Namespace) -> Iterator[str]:
    """Run a net in the phase of the flags or in both; yields each phase.

    One of two phases may fail, as a file may be meant for the other only.
    """
    phases = [args.phase] if args.phase else ["TRAIN", "TEST"]
    errors = []
    for phase in phases:
        try:
            _run_phase(path, phase, shapes, args)
        except CaffeError as error:
            errors.append(error)
            continue
        yield phase
    if len(errors) == len(phases):
        raise errors[0]
    for each in errors:
        _log.warning("skipped one phase: %s", each)


def _run_phase(
    path: str, phase: str, shapes: Mapping[str, Shape], args: argparse.Namespace
) -> None:
    from caffe_lite.cli import stand_ins
    from caffe_lite.net.net import Net
    from caffe_lite.proto import caffe_pb2, files

    source = files.read_net(path)
    state = source.param.state
    state.phase = caffe_pb2.Phase.Value(phase)
    if args.level is not None:
        state.level = args.level
    state.stage.extend(flags.stages(args))
    _compile_transformers(source.nodes, state)
    stand_ins.replace(source, shapes)
    with Net(source, **flags.permissions(args)) as net:
        _run_once(net)
        if phase == "TEST":
            _run_frozen(net)


def _run_frozen(net: Net) -> None:
    """Run as commands do that only run forward, until what depends on the weights is prepared."""
    import numpy as np

    net.freeze()
    with np.errstate(all="ignore"):
        for _ in range(2):
            net.compute_loss()


def _run_once(net: Net) -> None:
    """Run forward and, if the net has gradients, backward."""
    import numpy as np

    with np.errstate(all="ignore"):  # random values may be invalid input
        for name in net.inputs:
            net.blobs[name].data[...] = 1
        net.compute_loss()
        net.clear_param_diffs()
        try:
            net.compute_gradients()
        except NotDifferentiable as error:
            _log.info("no backward: %s", error)


def _compile_transformers(net: list[nodes.Node], state: caffe_pb2.NetState) -> None:
    """Run the kernels that transform images for the data layers of a net."""
    import numpy as np

    from caffe_lite.data import images
    from caffe_lite.data.datum import array_to_datum, datum_to_array
    from caffe_lite.kernels.image import transform_with_image, transform_with_values
    from caffe_lite.net.passes import rules

    # read-only, as from a database: Numba compiles separately for read-only arrays
    decoded = np.zeros((1, 2, 2), np.uint8)
    raw = datum_to_array(array_to_datum(decoded))
    mean, y = np.zeros((1, 2, 2), np.float32), np.empty((1, 2, 2), np.float32)
    for node in rules.select(net, state):
        if node.type in ("Data", "ImageData"):
            image = raw if node.type == "Data" else images.resize(decoded, 3, 3)
            scale = node.param.transform_param.scale
            if node.param.transform_param.HasField("mean_file"):
                transform_with_image(image, mean, 0, 0, False, scale, y)
            else:
                transform_with_values(image, mean[:, 0, 0].copy(), 0, 0, False, scale, y)


# -- solvers ----------------------------------------------------------------------------------


def _solver(
    source: files.SolverSource, shapes: Mapping[str, Shape], args: argparse.Namespace
) -> Iterator[str]:
    """Run a solver's nets and its update; yields the name of each."""
    with closing(_make_solver(source, shapes, args)) as solver:
        _run_once(solver.net)
        solver.apply_update()
        yield "TRAIN"
        yield "update"
        for net in solver.test_nets:
            net.share_with(solver.net)
            _run_once(net)
        if solver.test_nets:
            yield "TEST"


def _make_solver(
    source: files.SolverSource, shapes: Mapping[str, Shape], args: argparse.Namespace
) -> Solver:
    """The solver, with stand-ins for its data; it reads no weights and writes no snapshots."""
    from caffe_lite.cli import stand_ins
    from caffe_lite.solver import solver_class
    from caffe_lite.solver.settings import Settings

    class DrySettings(Settings):
        """Settings with nets that need no data."""

        def train_net(self) -> nodes.NetSource:
            return self._dry(super().train_net())

        def test_nets(self) -> Iterator[nodes.NetSource]:
            for net in super().test_nets():
                yield self._dry(net)

        def _dry(self, net: nodes.NetSource) -> nodes.NetSource:
            _compile_transformers(net.nodes, net.param.state)
            stand_ins.replace(net, shapes)
            return net

    settings = DrySettings(source)
    param = settings.param
    if args.level is not None:
        param.train_state.level = args.level
    param.train_state.stage.extend(flags.stages(args))
    del param.weights[:]
    param.snapshot, param.display, param.debug_info = 0, 0, False
    try:
        cls = solver_class(param.type)
    except CaffeError as error:
        raise settings.refuse("type", error.message) from None
    return cls(settings, **flags.permissions(args))
