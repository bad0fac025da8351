"""Report: one HTML file that shows a run while it goes on, and afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from caffe_lite import arguments, draw, glog
from caffe_lite.errors import CaffeError
from caffe_lite.markup import Markup, element
from caffe_lite.net.net import Net
from caffe_lite.net.summary import is_inserted
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.atomic import write_atomically
from caffe_lite.solver import Observer, Solver
from caffe_lite.solver.report import Output
from caffe_lite.training_report.page import State, closed, page, scrolled
from caffe_lite.training_report.recording import Recording
from caffe_lite.training_report.worst import Blobs

INTERVAL = 5.0
"""The least time between two renewals, in seconds."""
SHARE = 0.01
"""The share of the time that renewals may take."""
LARGEST_DRAWING = 1000
"""A net of more layers is not drawn."""

_log = glog.logger("caffe_lite.solver")


class Report(Observer):
    """Writes a page about a solver's run to `path`, and renews it while the solver trains.

        with Report(solver, "run.html"):
            solver.solve()

    The page is renewed at most every 5 seconds, and less often where writing it takes more than a
    hundredth of the time.  Its last state says how the run ended: also when an error ends it, for
    which the block's exception is read.  Raises CaffeError if the file cannot be written at first;
    later this is a warning, which ends no training.
    """

    def __init__(self, solver: Solver, path: str | os.PathLike[str]) -> None:
        self._solver = solver
        self._path = arguments.path(path, "the report")
        self._recording = Recording(solver)
        self._state = State(started=time.time())
        self._fixed = list(_fixed(solver))
        self._next = 0.0
        self._cost = 0.0
        self._warned = False
        self._write()

    @property
    def keep(self) -> Sequence[str]:
        """The blobs of the first test net that it reads: for `Net.share_memory(keep=...)`."""
        blobs = self._recording.blobs
        return (blobs.image, blobs.label, blobs.scores) if isinstance(blobs, Blobs) else ()

    def __enter__(self) -> Report:
        self._solver.add_observer(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._solver.remove_observer(self)
        self._state = self._ended(error)
        self._renew()

    def _ended(self, error: BaseException | None) -> State:
        solver, started = self._solver, self._state.started
        if isinstance(error, CaffeError):
            return State("failed", str(error), started)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return State("stopped", "It was interrupted.", started)
        if error is not None:
            return State("failed", f"{type(error).__name__}: {error}", started)
        if solver.iter >= solver.param.max_iter:
            return State("finished", "", started)
        monitor = solver.monitor
        early = monitor is not None and monitor.stops
        reason = (
            f"Stopped early: {monitor.reason}." if monitor and early else "It was told to stop."
        )
        return State("stopped", reason, started)

    # -- what the solver tells -------------------------------------------------------------

    def iteration_started(self, iteration: int) -> None:
        """Pass it on to the recording."""
        self._recording.iteration_started(iteration)

    def iteration_ended(self, iteration: int, loss: float, rate: float) -> None:
        """Note it, and renew the page if it is time."""
        self._recording.iteration_ended(iteration, loss, rate)
        if time.monotonic() >= self._next:
            self._renew()

    def test_started(self, iteration: int, index: int, batches: int) -> None:
        """Pass it on to the recording."""
        self._recording.test_started(iteration, index, batches)

    def batch_tested(self, index: int, net: Net) -> None:
        """Pass it on to the recording."""
        self._recording.batch_tested(index, net)

    def test_ended(
        self, iteration: int, index: int, outputs: Sequence[Output], loss: float
    ) -> None:
        """Note it; the page shows it when it is next renewed."""
        self._recording.test_ended(iteration, index, outputs, loss)

    # -- the file --------------------------------------------------------------------------

    def _renew(self) -> None:
        begin = time.perf_counter()
        self._recording.note_costs(self._solver.iter)
        try:
            self._write()
        except CaffeError as error:
            if not self._warned:
                _log.warning("%s", error.message)
            self._warned = True
        self._cost = time.perf_counter() - begin
        self._next = time.monotonic() + max(INTERVAL, self._cost / SHARE)

    def _write(self) -> None:
        reload = max(INTERVAL, self._cost / SHARE)
        text = page(self._solver, self._recording, self._state, self._fixed, reload)

        def write(temporary: Path) -> None:
            temporary.write_bytes(text.encode())

        write_atomically(self._path, write)


# -- the parts that stay -------------------------------------------------------------------


def _fixed(solver: Solver) -> Iterator[Markup]:
    net = as_run(solver.net)
    yield element("h2", "Net and solver")
    shapes = {name: draw.shape_text(blob.shape) for name, blob in solver.net.blobs.items()}
    yield closed("The training net, drawn", "drawing", _drawing(net, shapes))
    yield closed("The training net", "net", _text(str(net), "The training net"))
    for index, test_net in enumerate(solver.test_nets):
        name = f"Test net #{index}"
        yield closed(name, f"test-net-{index}", _text(str(as_run(test_net)), name))
    yield closed("The solver", "solver", _text(_solver_text(solver), "The solver"))


def _text(text: str, name: str) -> Markup:
    return scrolled(element("pre", text), name)


def _drawing(net: caffe_pb2.NetParameter, shapes: Mapping[str, str]) -> Markup:
    if len(net.layer) > LARGEST_DRAWING:
        return element("p", f"Left out: the net has over {LARGEST_DRAWING} layers.")
    try:
        svg = draw.draw_net(net, "TB", "svg", shapes=shapes).decode()
    except CaffeError as error:
        return element("p", f"Left out: {error.message}")
    return scrolled(Markup(svg), "The training net, drawn", "net")


def as_run(net: Net) -> caffe_pb2.NetParameter:
    """A net's layers of its phase, without the Splits that it has inserted and without weights."""
    result = caffe_pb2.NetParameter(name=net.name)
    origin: dict[str, str] = {}
    for node in net.nodes:
        layer = node.param
        bottoms = [origin.get(name, name) for name in layer.bottom]
        if is_inserted(node):
            origin.update(dict.fromkeys(layer.top, bottoms[0]))
            continue
        copy = result.layer.add()
        copy.CopyFrom(layer)
        del copy.bottom[:], copy.blobs[:]
        copy.bottom.extend(bottoms)
    return result


def _solver_text(solver: Solver) -> str:
    param = caffe_pb2.SolverParameter()
    param.CopyFrom(solver.param)
    for field in ("net_param", "train_net_param", "test_net_param"):
        param.ClearField(field)
    return str(param)
