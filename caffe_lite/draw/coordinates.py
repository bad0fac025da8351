"""Coordinates of the vertices of a layered graph within their ranks, by Brandes and Köpf (2001).

Vertices are aligned with the median of their neighbours into vertical blocks, starting from each
of the four corners in turn; the blocks are compacted; a vertex's coordinate is the mean of the two
middle ones of its four coordinates.  An edge over many ranks stays straight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

Neighbours = Sequence[Sequence[int]]
Pair = tuple[int, int]


def assign_coordinates(
    order: Sequence[Sequence[int]],
    up: Neighbours,
    down: Neighbours,
    is_point: Callable[[int], bool],
    distance: Callable[[int, int], float],
) -> list[float]:
    """A coordinate for each vertex; neighbours in a rank are at least `distance` apart.

    `order` has the vertices of each rank from left to right; `up` and `down` are the neighbours
    in the ranks above and below; an edge between two points (`is_point`) stays straight.
    """
    conflicts = _conflicts(order, up, is_point)
    candidates = []
    for downward in (True, False):
        ranks = list(order) if downward else list(reversed(order))
        neighbours, others = (up, down) if downward else (down, up)
        for leftward in (True, False):
            mirrored = ranks if leftward else [list(reversed(rank)) for rank in ranks]
            sign = 1.0 if leftward else -1.0
            roots = _align(mirrored, neighbours, others, is_point, conflicts)
            xs = _compact(mirrored, roots, distance)
            candidates.append([sign * x for x in xs])
    return _balance(candidates)


def _conflicts(
    order: Sequence[Sequence[int]], up: Neighbours, is_point: Callable[[int], bool]
) -> set[Pair]:
    """Edges (lower, upper) that cross an edge between two points, and are not aligned."""
    conflicts = set()
    for upper, lower in pairwise(order):
        position = {vertex: index for index, vertex in enumerate(upper)}
        left, begin = -1, 0
        for index, vertex in enumerate(lower):
            lane = next((u for u in up[vertex] if is_point(u)), None) if is_point(vertex) else None
            if lane is None and index < len(lower) - 1:
                continue
            right = len(upper) if lane is None else position[lane]
            for between in lower[begin : index + 1]:
                for neighbour in up[between]:
                    inner = is_point(between) and is_point(neighbour)
                    if not inner and not left <= position[neighbour] <= right:
                        conflicts.add((between, neighbour))
            left, begin = right, index + 1
    return conflicts


def _align(
    ranks: Sequence[Sequence[int]],
    neighbours: Neighbours,
    others: Neighbours,
    is_point: Callable[[int], bool],
    conflicts: set[Pair],
) -> list[int]:
    """The first vertex of each vertex's block.

    `neighbours` are those in the rank before, in the order of `ranks`; `others` those in the next.
    """
    roots = list(range(len(neighbours)))
    taken = set()
    position: dict[int, int] = {}
    for rank in ranks:
        last = -1
        for vertex in rank:
            aligned = _candidates(vertex, neighbours, others, is_point)
            aligned.sort(key=position.__getitem__)
            for index in sorted({(len(aligned) - 1) // 2, len(aligned) // 2}) if aligned else ():
                other = aligned[index]
                pairs = {(vertex, other), (other, vertex)}
                if roots[vertex] != vertex or other in taken or pairs & conflicts:
                    continue
                if position[other] > last:
                    roots[vertex] = roots[other]
                    taken.add(other)
                    last = position[other]
        position.update((vertex, index) for index, vertex in enumerate(rank))
    return roots


def _candidates(
    vertex: int, neighbours: Neighbours, others: Neighbours, is_point: Callable[[int], bool]
) -> list[int]:
    """The neighbours to align with: boxes with boxes, so that the main path is straight.

    A box and a point are aligned only if neither has a neighbour of its own kind.
    """
    kind = is_point(vertex)
    alike = [each for each in neighbours[vertex] if is_point(each) == kind]
    return alike or [
        each
        for each in neighbours[vertex]
        if all(is_point(other) == kind for other in others[each])
    ]


def _compact(
    ranks: Sequence[Sequence[int]], roots: list[int], distance: Callable[[int, int], float]
) -> list[float]:
    """Move each block as far left as possible, then towards the blocks to its right."""
    right: dict[int, dict[int, float]] = {root: {} for root in roots}
    waiting = dict.fromkeys(right, 0)
    for rank in ranks:
        for a, b in pairwise(rank):
            block, following, gap = roots[a], roots[b], distance(a, b)
            if following not in right[block]:
                waiting[following] += 1
            right[block][following] = max(gap, right[block].get(following, 0.0))
    blocks = [block for block, count in waiting.items() if not count]
    leftmost = set(blocks)
    xs = dict.fromkeys(right, 0.0)
    for block in blocks:  # grows during the loop
        for following, gap in right[block].items():
            xs[following] = max(xs[following], xs[block] + gap)
            waiting[following] -= 1
            if not waiting[following]:
                blocks.append(following)
    for block in reversed(blocks):
        limits = [xs[following] - gap for following, gap in right[block].items()]
        if limits and block in leftmost:
            xs[block] = max(xs[block], min(limits))
    return [xs[root] for root in roots]


def _balance(candidates: list[list[float]]) -> list[float]:
    """The mean of the two middle coordinates, after aligning the four with the narrowest."""
    if not candidates[0]:
        return []
    spans = [(min(xs), max(xs)) for xs in candidates]
    low, high = min(spans, key=lambda span: span[1] - span[0])
    moved = []
    for index, (xs, span) in enumerate(zip(candidates, spans)):
        shift = low - span[0] if index % 2 == 0 else high - span[1]
        moved.append([x + shift for x in xs])
    return [sum(sorted(xs)[1:3]) / 2 for xs in zip(*moved)]
