"""Layered layout of a graph, with few crossings and straight long edges.

The method of Sugiyama, Tagawa and Toda (1981): every edge runs downward from rank to rank; an edge
over several ranks has a lane, which is a point in each rank that it crosses.  A vertex's rank is
its longest path from a source; the order within a rank is found by barycentres, and the
coordinates by the method of Brandes and Köpf (2001).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from caffe_lite.draw.coordinates import assign_coordinates

Size = tuple[float, float]
Point = tuple[float, float]
Pair = tuple[int, int]

BOX_GAP = 26.0
"""The distance between two boxes in a rank."""
LANE_GAP = 16.0
"""The distance between two edges side by side, and between an edge and a box."""
RANK_GAP = 34.0
"""The least distance between two ranks."""
SWEEPS = 24
PATIENCE = 6
"""The number of sweeps without improvement after which the search stops."""


@dataclass
class Layout:
    """Coordinates with y downward, from (0, 0) to (width, height).

    `centers[i]` is the centre of box i.  `routes[j]` are the points of edge j, from box to box:
    two consecutive points are the ends of a straight vertical segment or of a curve between two
    ranks.
    """

    width: float
    height: float
    centers: list[Point]
    routes: list[list[Point]]


def lay_out(sizes: Sequence[Size], edges: Sequence[Pair], rank_gap: float = RANK_GAP) -> Layout:
    """Lay out boxes of these sizes (width, height) downward; an edge is a pair of box indices."""
    acyclic = _without_cycles(len(sizes), edges)
    ranks = _rank(len(sizes), acyclic)
    lanes = _Lanes(sizes, ranks, acyclic)
    order = _order(lanes)
    return _place(lanes, order, edges, acyclic, rank_gap)


def _without_cycles(count: int, edges: Sequence[Pair]) -> list[Pair]:
    """The same edges, with those reversed that close a cycle."""
    below: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        below[source].append(target)
    finished, open_ = [False] * count, [False] * count
    closing = set()
    for start in range(count):
        stack = [] if finished[start] else [(start, iter(below[start]))]
        open_[start] = bool(stack)
        while stack:
            vertex, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                open_[vertex], finished[vertex] = False, True
            elif open_[following]:
                closing.add((vertex, following))
            elif not finished[following]:
                open_[following] = True
                stack.append((following, iter(below[following])))
    return [(b, a) if (a, b) in closing else (a, b) for a, b in edges]


def _rank(count: int, edges: Sequence[Pair]) -> list[int]:
    """The longest path from a source; a vertex with more edges out than in moves downward."""
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        above[target].append(source)
        below[source].append(target)
    waiting = [len(sources) for sources in above]
    ready = [vertex for vertex in range(count) if not waiting[vertex]]
    ranks = [0] * count
    for vertex in ready:  # grows during the loop
        for target in below[vertex]:
            ranks[target] = max(ranks[target], ranks[vertex] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for vertex in reversed(ready):
        if len(below[vertex]) > len(above[vertex]):
            ranks[vertex] = min(ranks[target] for target in below[vertex]) - 1
    return ranks


class _Lanes:
    """The graph with a point in each rank that an edge crosses; edges from one box share points.

    `up[v]` and `down[v]` are the neighbours of vertex or point v in the adjacent ranks.
    """

    def __init__(self, sizes: Sequence[Size], ranks: list[int], edges: Sequence[Pair]) -> None:
        self.boxes = len(sizes)
        self.sizes = list(sizes)
        self.ranks = list(ranks)
        self.up: list[list[int]] = [[] for _ in sizes]
        self.down: list[list[int]] = [[] for _ in sizes]
        self.chains: list[list[int]] = []
        points: dict[Pair, int] = {}
        for source, target in edges:
            chain = [source]
            for rank in range(ranks[source] + 1, ranks[target]):
                if (source, rank) not in points:
                    points[source, rank] = self._add_point(rank)
                chain.append(points[source, rank])
            chain.append(target)
            for upper, lower in pairwise(chain):
                if lower not in self.down[upper]:
                    self.down[upper].append(lower)
                    self.up[lower].append(upper)
            self.chains.append(chain)

    def _add_point(self, rank: int) -> int:
        self.sizes.append((0.0, 0.0))
        self.ranks.append(rank)
        self.up.append([])
        self.down.append([])
        return len(self.ranks) - 1

    def is_point(self, vertex: int) -> bool:
        """Whether `vertex` is a point of an edge, not a box."""
        return vertex >= self.boxes

    def distance(self, left: int, right: int) -> float:
        """The least distance between the centres of two neighbours in a rank."""
        boxes = not self.is_point(left) and not self.is_point(right)
        gap = BOX_GAP if boxes else LANE_GAP
        return (self.sizes[left][0] + self.sizes[right][0]) / 2 + gap


def _order(lanes: _Lanes) -> list[list[int]]:
    """The vertices of each rank from left to right, with few crossings."""
    order = _first_order(lanes)
    best, fewest = [list(rank) for rank in order], _crossings(lanes, order)
    waited = 0
    for sweep in range(SWEEPS):
        if not fewest or waited == PATIENCE:
            break
        _sweep(lanes, order, downward=sweep % 2 == 0)
        _swap_neighbours(lanes, order)
        crossings = _crossings(lanes, order)
        waited += 1
        if crossings < fewest:
            best, fewest, waited = [list(rank) for rank in order], crossings, 0
    return best


def _first_order(lanes: _Lanes) -> list[list[int]]:
    """Depth-first order from the sources, longest path first; side branches are to the right."""
    order: list[list[int]] = [[] for _ in range(max(lanes.ranks, default=-1) + 1)]
    heights = [0] * len(lanes.ranks)
    for vertex in sorted(range(len(heights)), key=lanes.ranks.__getitem__, reverse=True):
        heights[vertex] = max((heights[each] + 1 for each in lanes.down[vertex]), default=0)
    seen = [False] * len(heights)
    sources = [vertex for vertex in range(len(heights)) if not lanes.up[vertex]]
    stack = sorted(sources, key=heights.__getitem__)
    while stack:
        vertex = stack.pop()
        if not seen[vertex]:
            seen[vertex] = True
            order[lanes.ranks[vertex]].append(vertex)
            below = lanes.down[vertex][::-1]  # of equal paths, the first in the file comes first
            stack.extend(sorted(below, key=heights.__getitem__))
    return order


def _sweep(lanes: _Lanes, order: list[list[int]], downward: bool) -> None:
    """Sort each rank by the mean position of the neighbours in the rank before."""
    neighbours = lanes.up if downward else lanes.down
    numbers = range(1, len(order)) if downward else range(len(order) - 2, -1, -1)
    for number in numbers:
        before = order[number - 1 if downward else number + 1]
        position = {vertex: index for index, vertex in enumerate(before)}
        keys = {}
        for index, vertex in enumerate(order[number]):
            positions = [position[each] for each in neighbours[vertex]]
            keys[vertex] = sum(positions) / len(positions) if positions else float(index)
        order[number].sort(key=keys.__getitem__)


def _swap_neighbours(lanes: _Lanes, order: list[list[int]]) -> None:
    """Swap adjacent vertices of a rank as long as this removes crossings."""
    position = {vertex: index for rank in order for index, vertex in enumerate(rank)}
    improved = True
    while improved:
        improved = False
        for rank in order:
            for index in range(len(rank) - 1):
                left, right = rank[index], rank[index + 1]
                gain = 0
                for neighbours in (lanes.up, lanes.down):
                    a = sorted(position[each] for each in neighbours[left])
                    b = sorted(position[each] for each in neighbours[right])
                    gain += _inversions(a, b) - _inversions(b, a)
                if gain > 0:
                    rank[index], rank[index + 1] = right, left
                    position[left], position[right] = index + 1, index
                    improved = True


def _inversions(left: list[int], right: list[int]) -> int:
    """The number of pairs with a position of `left` beyond one of `right`, which are crossings."""
    return sum(bisect_left(right, position) for position in left)


def _crossings(lanes: _Lanes, order: list[list[int]]) -> int:
    """The total number of crossings of edges."""
    total = 0
    for upper, lower in pairwise(order):
        position = {vertex: index for index, vertex in enumerate(lower)}
        passed: list[int] = []
        for vertex in upper:
            ends = sorted(position[each] for each in lanes.down[vertex])
            total += sum(len(passed) - bisect_left(passed, end + 1) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _place(
    lanes: _Lanes,
    order: list[list[int]],
    edges: Sequence[Pair],
    acyclic: Sequence[Pair],
    rank_gap: float,
) -> Layout:
    """The coordinates of all boxes and edges, starting at zero."""
    xs = assign_coordinates(order, lanes.up, lanes.down, lanes.is_point, lanes.distance)
    left = min((x - size[0] / 2 for x, size in zip(xs, lanes.sizes)), default=0.0)
    right = max((x + size[0] / 2 for x, size in zip(xs, lanes.sizes)), default=0.0)
    bands = []
    y = 0.0
    for rank in order:
        height = max((lanes.sizes[vertex][1] for vertex in rank), default=0.0)
        bands.append((y, y + height))
        y += height + rank_gap
    middles = [(top + bottom) / 2 for top, bottom in bands]
    centers = [(xs[v] - left, middles[lanes.ranks[v]]) for v in range(len(lanes.ranks))]
    routes = []
    for chain, edge, down in zip(lanes.chains, edges, acyclic, strict=True):
        points = _route(lanes, chain, centers, bands)
        routes.append(points if edge == down else points[::-1])
    return Layout(right - left, bands[-1][1] if bands else 0.0, centers[: lanes.boxes], routes)


def _route(
    lanes: _Lanes, chain: list[int], centers: list[Point], bands: list[tuple[float, float]]
) -> list[Point]:
    """The points of an edge from the bottom of its first box to the top of its last.

    The edge is vertical inside each rank and curved between ranks, where there are no boxes.
    """
    points: list[Point] = []
    for vertex in chain:
        x, y = centers[vertex]
        half = lanes.sizes[vertex][1] / 2
        top, bottom = bands[lanes.ranks[vertex]]
        if vertex == chain[0]:
            points += [(x, y + half), (x, bottom)]
        elif vertex == chain[-1]:
            points += [(x, top), (x, y - half)]
        else:
            points += [(x, top), (x, bottom)]
    return points
