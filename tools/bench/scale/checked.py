"""The model against what ranks on this machine measure: the command under mpirun.

All ranks measure at the same time, as they compute at the same time when they train.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffe_lite.distributed import Group
from caffe_lite.kernels.parallel import get_num_threads
from tools.bench import inputs, measure, nets, ours, rows, weights
from tools.bench.report import number, table
from tools.bench.scale.profile import adding_speed, measured
from tools.bench.scale.reductions import REDUCTIONS, Cluster, Link
from tools.bench.scale.step import Profile, step

SMALL, LARGE = 1 << 3, 1 << 23  # bytes of two messages, from which a link is known


class Measured(NamedTuple):
    """A rank that trains alone beside the others, and the seconds of a step of ranks together.

    All are the fastest of several.
    """

    alone: Profile
    together: float


def link(group: Group) -> Link:
    """The link between ranks 2 k and 2 k + 1 while all such pairs send; both ways at a time."""
    partner = group.rank ^ 1
    times = []
    for size in (SMALL, LARGE):
        sent, received = np.ones(size, np.uint8), np.empty(size, np.uint8)

        def exchange(sent: object = sent, received: object = received) -> None:
            if partner < group.size:
                group.communicator.Sendrecv(sent, partner, 0, received, partner, 0)

        for _ in range(3):
            exchange()
        group.barrier()
        times.append(min(measure.passes(exchange, 0, 20)))
    beta = (times[1] - times[0]) / (LARGE - SMALL)
    return Link(times[0] - SMALL * beta, beta)


def measure_net(group: Group, key: str, seconds: float) -> Measured:
    """One net on all ranks, each with its own batch."""
    row = rows.parse(key)
    with tempfile.TemporaryDirectory() as folder:
        group.barrier()
        (alone,) = measured([key], folder, seconds)
        path = Path(group.broadcast(folder)) / "together.prototxt"  # all are given the same file
        if group.is_root:
            path.write_text(nets.prototxt(row.net, row.batch, train=True))
        group.barrier()
        solver = ours.make_solver(str(path), group)
        weights.fill(solver.net)
        shape = solver.net.blobs["data"].shape
        solver.net.blobs["data"].data[...] = inputs.image(shape)
        classes = nets.NETS[row.net].classes
        solver.net.blobs["label"].data[...] = inputs.labels(row.batch, classes)
        solver.step(2)
        steps = group.broadcast(max(5, int(seconds / alone.seconds)))
        times = measure.passes(lambda: solver.step(1), 0, steps)
        return Measured(alone, min(times))


def compare(group: Group, keys: list[str], limit: int, seconds: float = 5.0) -> str | None:
    """The table of all nets, at rank 0: what is predicted and what was measured, in ms."""
    memory = link(group)
    gamma = adding_speed()
    everyone = group.all_gather((memory, gamma))
    memory = Link(*np.median([each for each, _ in everyone], axis=0).tolist())
    cluster = Cluster(Link(0, 0), memory, float(np.median([each for _, each in everyone])), 1)
    # all ranks are on this machine: the messages of the network are those through its memory
    cluster = cluster._replace(network=memory)
    lines = []
    for key in keys:
        found = group.all_gather(measure_net(group, key, seconds))
        slowest = max((each.alone for each in found), key=lambda each: each.seconds)
        took = max(each.together for each in found)
        cells = [key, number(1e3 * slowest.seconds)]
        for name in ("ring", "tree"):
            foreseen = step(slowest, group.size, REDUCTIONS[name], cluster, limit).seconds
            cells += [number(1e3 * foreseen), f"{100 * (foreseen / took - 1):+.0f} %"]
        lines.append([*cells, number(1e3 * took)])
    if not group.is_root:
        return None
    head = ("net, batch", "alone, ms", "ring", "difference", "tree", "difference", "measured, ms")
    return (
        f"{group.size} ranks of {get_num_threads()} threads; a message takes "
        f"{1e6 * memory.alpha:.1f} us and {1e-9 / memory.beta:.1f} GB/s, adding "
        f"{1e-9 / cluster.gamma:.1f} GB/s.\n\n{table(head, lines)}"
    )
