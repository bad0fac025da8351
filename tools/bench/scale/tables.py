"""What the model predicts, as tables: ranks with a batch each, and a batch that ranks divide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tools.bench.report import number, table
from tools.bench.scale.reductions import REDUCTIONS, Cluster, Link
from tools.bench.scale.step import Profile, Step, buckets, step

NETWORKS = {
    "10": Link(50e-6, 8 / 10e9),
    "25": Link(30e-6, 8 / 25e9),
    "100": Link(5e-6, 8 / 100e9),
}
"""By rates in Gb/s.  A short message takes what it takes over Ethernet and through the kernel,
and with 100 Gb/s, by an adapter that the program itself writes to (InfiniBand, RoCE)."""

RANKS = tuple(1 << power for power in range(1, 11))

PAYS = 1.5
"""Doubling the ranks pays while examples per second grow by this factor or more."""

Predict = Callable[[int, str, Link], Step]
"""The step of a number of ranks, with a reduction of that name and a network."""


def weak(profile: Profile, cluster: Cluster, limit: int) -> Predict:
    """Each rank has the profile's batch, as in Caffe: N ranks have N times as many examples."""

    def predict(ranks: int, reduction: str, network: Link) -> Step:
        there = cluster._replace(network=network)
        return step(profile, ranks, REDUCTIONS[reduction], there, limit)

    return predict


def strong(profile: Profile, other: Profile, batch: int, cluster: Cluster, limit: int) -> Predict:
    """All ranks together have `batch` examples, as with -global_batch.

    The times of other batches are on the line through those of two profiles.
    """

    def predict(ranks: int, reduction: str, network: Link) -> Step:
        part = profile.at(batch / ranks, other)
        there = cluster._replace(network=network)
        return step(part, ranks, REDUCTIONS[reduction], there, limit)

    return predict


def efficiencies(
    predict: Predict, ranks: Sequence[int], divided: bool
) -> dict[tuple[str, str], list[float]]:
    """A rank's speed against that of one alone, for each network and reduction, by ranks."""
    alone = predict(1, "ring", Link(0, 0)).seconds
    return {
        (name, reduction): [
            alone / (predict(p, reduction, link).seconds * (p if divided else 1)) for p in ranks
        ]
        for name, link in NETWORKS.items()
        for reduction in REDUCTIONS
    }


def last_that_pays(found: Sequence[float], ranks: Sequence[int]) -> int:
    """The most ranks up to which each doubling has made the whole faster by `PAYS`."""
    most, before = 1, 1.0
    for p, efficiency in zip(ranks, found, strict=True):
        if efficiency * p < PAYS * before * most:
            break
        most, before = p, efficiency
    return most


def efficiency_table(predict: Predict, ranks: Sequence[int], divided: bool) -> str:
    """Per cent of efficiency, a row for each number of ranks; and where doubling stops paying."""
    found = efficiencies(predict, ranks, divided)
    head = ["ranks", *(f"{name} {reduction}" for name, reduction in found)]
    lines = [
        [str(p), *(f"{100 * column[index]:.0f} %" for column in found.values())]
        for index, p in enumerate(ranks)
    ]
    last = ["pays up to", *(str(last_that_pays(column, ranks)) for column in found.values())]
    return table(head, [*lines, last])


def step_table(predict: Predict, ranks: Sequence[int], reduction: str) -> str:
    """Milliseconds of a step, of its reduction, and of what of that backward did not hide."""
    columns = ("step", "reduction", "not hidden")
    head = ["ranks", *(f"{name}: {column}" for name in NETWORKS for column in columns)]
    lines = []
    for p in ranks:
        steps = [predict(p, reduction, link) for link in NETWORKS.values()]
        lines.append([str(p), *(number(1e3 * value) for one in steps for value in one)])
    return table(head, lines)


def heading(profile: Profile, limit: int) -> str:
    """What was measured."""
    parts = buckets(profile, limit)
    return (
        f"Batch {profile.batch} on one rank: forward {number(1e3 * profile.forward)} ms, backward "
        f"{number(1e3 * profile.backward)} ms, update {number(1e3 * profile.update)} ms; "
        f"{profile.gradients / 1e6:.1f} MB of gradients in {len(parts)} buckets."
    )
