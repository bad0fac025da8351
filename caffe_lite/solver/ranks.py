"""What a solver does with the other ranks of its group: share records, average, agree."""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from caffe_lite import glog, rng, states
from caffe_lite.blob import Array, Blob
from caffe_lite.distributed import Group, Share, agree, digest
from caffe_lite.distributed.agreement import VERSION
from caffe_lite.kernels.parallel import get_num_threads
from caffe_lite.net.net import Net
from caffe_lite.solver import resume
from caffe_lite.solver.reduction import Reduction
from caffe_lite.solver.report import Output
from caffe_lite.solver.settings import Settings
from caffe_lite.solver.signals import Action
from caffe_lite.solver.snapshot import Saved
from caffe_lite.solver.updates import Rule

T = TypeVar("T")
S = TypeVar("S", Saved, "Saved | None")

_log = glog.logger("caffe_lite.solver")

_ACTIONS = (Action.NONE, Action.SNAPSHOT, Action.STOP)
"""In the order in which one outdoes another."""


class Ranks:
    """The ranks of a group that train one net together; a group of one trains alone.

    Each reads its share of the records.  The gradients and the losses that it computes are
    averaged over the ranks, as Caffe's GPUs do, so that all make the same updates.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self._alone = group.is_alone
        self._reduction: Reduction | None = None
        self._statistics: list[Blob] = []
        self._in_turns: list[bool] = []
        self._tested: list[int] = []

    # -- before the first iteration --------------------------------------------------------

    def compare(self, settings: Settings, weights: Sequence[str], *options: object) -> None:
        """Refuse a rank on another version or with other files; let all have rank 0's seed."""
        if self._alone:
            return
        options_of = {"the options of the solver": digest(repr(options).encode())}
        agree(self.group, {**dict(_facts(settings, weights)), **options_of})
        rng.set_random_seed(self.group.broadcast(rng.streams().seed))

    def join(self, net: Net, test_nets: Sequence[Net], synchronised: bool) -> None:
        """Divide the records of the nets, and begin with rank 0's weights."""
        if self._alone:
            return
        group = self.group
        agree(group, {f'the data of layer "{name}"': of for name, of in _sources(net, test_nets)})
        net.take_share(Share(group.rank, group.size))
        if synchronised:
            net.synchronise(group)
        for test_net in test_nets:
            in_turns = test_net.batches_are_apart
            self._in_turns.append(in_turns)
            test_net.take_share(Share(group.rank, group.size if in_turns else 1, by_batch=True))
        self._tested = [0] * len(test_nets)
        self._statistics = [
            blob
            for layer in net.layers
            for blob, learns in zip(layer.blobs, layer.learnable, strict=True)
            if not learns
        ]
        self.broadcast(blob.data for blob in _parameters(net))
        self._reduction = Reduction(group, net)
        machines = len(set(group.all_gather(group.host)))
        told = group.size, machines, "" if machines == 1 else "s", get_num_threads()
        _log.info("Training on %d ranks on %d machine%s, with %d threads on rank 0", *told)
        for layer in net.layers:
            if layer.param.type == "Python" and not layer.param.bottom:
                _log.warning(
                    'layer "%s" (Python) gives each rank the same, unless it heeds '
                    "caffe.solver_rank() and caffe.solver_count()",
                    layer.param.name,
                )

    def broadcast(self, arrays: Iterator[Array]) -> None:
        """Give arrays rank 0's values."""
        for array in arrays:
            self.group.broadcast_array(array)

    # -- an iteration ----------------------------------------------------------------------

    def loss(self, compute: Callable[[], float]) -> float:
        """The mean of the ranks' losses; what `compute` raises on one rank, all raise."""
        if self._alone:
            return compute()
        value, failure = 0.0, None
        try:
            value = compute()
        except Exception as error:
            failure = error
        return self.group.mean(value, failure)

    def gradients(self, net: Net, last: bool) -> None:
        """Add the gradients of a batch; after the `last` of an iteration, average them."""
        if self._reduction is None:
            net.compute_gradients()
            return
        if last:
            self._reduction.begin()
        net.compute_gradients()
        if last:
            self._reduction.finish()

    def mean_outputs(self, outputs: Sequence[Output]) -> list[Output]:
        """The outputs of the ranks' batches, averaged; rank 0's where their numbers differ."""
        if self._alone:
            return list(outputs)
        every = self.group.all_gather([output.value for output in outputs])
        if len(set(map(len, every))) > 1:
            return list(outputs)
        means = [sum(values) / len(every) for values in zip(*every, strict=True)]
        return [output._replace(value=v) for output, v in zip(outputs, means, strict=True)]

    def action(self, own: Action) -> Action:
        """What all do: the strongest of what each is asked for."""
        return own if self._alone else _ACTIONS[self.group.highest(_ACTIONS.index(own))]

    # -- tests -----------------------------------------------------------------------------

    def results(self, index: int, batches: int, run: Callable[[], T]) -> Iterator[T]:
        """What `run` gives for each batch of a test of net `index`, in order, on all ranks.

        Ranks run batches in turns, unless the net's batches depend on each other: then each runs
        all.
        """
        if self._alone or not self._in_turns[index]:
            for _ in range(batches):
                yield run()
            return
        group, before = self.group, self._tested[index]
        turn = (group.rank - before) % group.size
        for batch in range(0, batches, group.size):
            own, failure = None, None
            try:
                own = run() if batch + turn < batches else None
            except Exception as error:
                failure = error
            group.mean(0.0, failure)
            every: list[Any] = group.all_gather(own)
            count = min(group.size, batches - batch)
            self._tested[index] = (before + batch + count) % group.size
            for number in range(count):
                yield every[(before + number) % group.size]

    def before_tests(self) -> None:
        """Let all have rank 0's statistics, as these are what a snapshot has."""
        if not self._alone:
            self.broadcast(blob.data for blob in self._statistics)

    def test_states(self, nets: Sequence[Net], trained: Net) -> list[list[resume.LayerState]]:
        """The states of the test nets: of each, from the rank that made its last batch."""
        found = []
        for index, net in enumerate(nets):
            state = resume.collect(net, trained)
            if not self._alone and self._in_turns[index]:
                state = self.group.broadcast(state, (self._tested[index] - 1) % self.group.size)
            found.append(state)
        return found

    # -- snapshots -------------------------------------------------------------------------

    def from_root(self, read: Callable[[], S]) -> S:
        """What rank 0 reads, which has the files; without the history, which is large.

        What it raises, all raise.
        """
        saved: Any = None
        with self.group.together():
            if self.group.is_root:
                saved = read()
        if self._alone:
            return cast(S, saved)
        small = None
        if saved is not None:
            state = type(saved.state)()
            state.CopyFrom(saved.state)
            del state.history[:]
            small = saved._replace(state=state)
        shared = self.group.broadcast(small)
        return cast(S, saved if self.group.is_root else shared)

    def restored(self, net: Net, rule: Rule) -> None:
        """Give all ranks the weights and the history that rank 0 has restored.

        The test nets are where the snapshot was: rank 0 makes the next batch.
        """
        if not self._alone:
            self.broadcast(blob.data for blob in _parameters(net))
            self.broadcast(iter(rule.history))
            rule.restore([array.copy() for array in rule.history])
        self._tested = [0] * len(self._tested)

    def check_weights(self, net: Net) -> None:
        """Say so if the ranks' weights have come apart, and go on with rank 0's.

        They are computed from the same numbers, but machines of several kinds may round
        differently.
        """
        if self._alone:
            return
        own = set(map(id, self._statistics))  # each rank has its own
        weights = [each.blob.data for each in net.learnable if id(each.blob) not in own]
        found = 0
        for array in weights:
            found = zlib.crc32(array.view(np.uint8).data, found)
        if len(set(self.group.all_gather(found))) > 1:
            _log.warning("The weights of the ranks differ by rounding: rank 0's are used")
            self.broadcast(iter(weights))


def _parameters(net: Net) -> list[Blob]:
    return [each.blob for each in net.learnable]


def _facts(settings: Settings, weights: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The version, the solver and its files."""
    yield VERSION, str(sys.modules[__name__.partition(".")[0]].__version__)
    yield (
        settings.file or "the solver",
        digest(settings.param.SerializeToString(deterministic=True)),
    )
    for path in [*settings.net_files(), *weights]:
        if os.path.isfile(path):
            yield path, digest(path)


def _sources(net: Net, test_nets: Sequence[Net]) -> Iterator[tuple[str, str]]:
    """Where the sources of nets begin: the number of their records, and their random streams."""
    for prefix, each in [("", net), *((f"test net #{n}: ", it) for n, it in enumerate(test_nets))]:
        for layer in each.layers:
            if layer.param.type != "Python" and not layer.param.bottom:
                state = json.dumps(states.encode(layer.get_state()), sort_keys=True)
                yield prefix + layer.name, digest(state.encode())
