"""What it costs to add arrays of many ranks, so that all ranks have the sum.

The alpha-beta model: a message of n bytes takes alpha + n beta seconds, and adding n bytes to
others n gamma seconds.  A rank sends one message and receives one at the same time (Thakur,
Rabenseifner and Gropp 2005, "Optimization of Collective Communication Operations in MPICH",
International Journal of High Performance Computing Applications 19(1), section 3).

Below, p ranks have n bytes each, m ranks are on one machine, and M = p / m are the machines.
alpha and beta are the network's, alpha' and beta' those between two ranks of one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Link(NamedTuple):
    """The seconds of a message: `alpha` for itself, and `beta` for each of its bytes."""

    alpha: float
    beta: float

    def seconds(self, size: float) -> float:
        """The time of a message of this many bytes."""
        return self.alpha + size * self.beta


class Cluster(NamedTuple):
    """Machines of `local` ranks each; `gamma` are the seconds to add one byte.

    `memory` is the link between two ranks of a machine, while all its ranks send.
    """

    network: Link
    memory: Link
    gamma: float
    local: int = 1


def ring(size: float, ranks: int, cluster: Cluster) -> float:
    """Each rank sends a p-th part to the next one, 2 (p - 1) times (Patarasuk and Yuan 2009).

    2 (p - 1) (alpha + n/p beta) + (p - 1) n/p gamma.  Of each machine one rank sends to another
    machine, and all wait for the slowest message.
    """
    _check(ranks, cluster.local)
    part = size / ranks
    message = cluster.memory.seconds(part) if cluster.local > 1 else 0.0
    if ranks > cluster.local:
        message = max(message, cluster.network.seconds(part))
    return (ranks - 1) * (2 * message + part * cluster.gamma)


def tree(size: float, ranks: int, cluster: Cluster) -> float:
    """A binomial tree adds to one rank, another one sends the sum to all (Thakur et al. 2005).

    2 lg p (alpha + n beta) + lg p n gamma; the first lg m levels of it are inside of the machines.
    """
    _check(ranks, cluster.local)
    levels, inside = _levels(ranks), _levels(min(ranks, cluster.local))
    both_ways = 2 * inside * cluster.memory.seconds(size)
    both_ways += 2 * (levels - inside) * cluster.network.seconds(size)
    return both_ways + levels * size * cluster.gamma


def hierarchical(size: float, ranks: int, cluster: Cluster) -> float:
    """A tree inside of each machine, and a ring of one rank of each.

    2 lg m (alpha' + n beta') + lg m n gamma, and the ring's time for M ranks.
    """
    _check(ranks, cluster.local)
    inside = tree(size, min(ranks, cluster.local), cluster)
    machines = max(1, ranks // cluster.local)
    return inside + ring(size, machines, cluster._replace(local=1))


Reduction = Callable[[float, int, Cluster], float]

REDUCTIONS: dict[str, Reduction] = {"ring": ring, "tree": tree, "hierarchical": hierarchical}


def _levels(ranks: int) -> int:
    """The levels of a binomial tree: lg p, rounded up."""
    return (ranks - 1).bit_length()


def _check(ranks: int, local: int) -> None:
    """Ranks that fill their machines, whose number of ranks is a power of two."""
    if local & (local - 1) or (ranks > local and ranks % local):
        raise ValueError(
            f"{ranks} ranks on machines of {local}: the model takes a power of two of ranks on a "
            "machine, and whole machines"
        )
