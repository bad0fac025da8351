from __future__ import annotations

import itertools
import random
import time

import pytest

from caffe_lite.draw import layout
from caffe_lite.draw.layout import BOX_GAP, LANE_GAP, RANK_GAP, lay_out

EPSILON = 1e-6


def chain(count):
    return [(i, i + 1) for i in range(count - 1)]


def blocks(count, branches):
    """Blocks of parallel branches of different lengths between one box and the next."""
    edges, last, new = [], 0, 1
    for _ in range(count):
        ends = []
        for length in branches:
            above = last
            for _ in range(length):
                edges.append((above, new))
                above, new = new, new + 1
            ends.append(above)
        edges += [(end, new) for end in dict.fromkeys(ends)]
        last, new = new, new + 1
    return edges


def at_random(seed):
    draw = random.Random(seed)
    count = draw.randint(2, 40)
    pairs = {tuple(sorted(draw.sample(range(count), 2))) for _ in range(draw.randint(1, 60))}
    return sorted(pairs)


GRAPHS = {
    "chain": chain(12),
    "inception": blocks(4, [1, 2, 2, 2]),
    "residual": blocks(5, [3, 0]),
    "dense": [(i, j) for i in range(9) for j in range(i + 1, 9)],
    "label": [*chain(10), (0, 10), (10, 9)],
    "twisted": [(0, 4), (1, 3), (2, 4), (2, 5), (3, 5)],
    "crossed lane": [(0, 2), (0, 5), (1, 4), (1, 5), (2, 3), (2, 4), (4, 5)],
    **{f"random {seed}": at_random(seed) for seed in range(25)},
}


def sizes_of(edges):
    draw = random.Random(7)
    count = 1 + max(itertools.chain.from_iterable(edges), default=0)
    return [(draw.uniform(20, 200), draw.uniform(15, 90)) for _ in range(count)]


@pytest.fixture(params=GRAPHS.values(), ids=GRAPHS.keys())
def case(request):
    sizes = sizes_of(request.param)
    return sizes, request.param, lay_out(sizes, request.param)


def rectangle(center, size):
    return (
        center[0] - size[0] / 2,
        center[1] - size[1] / 2,
        center[0] + size[0] / 2,
        center[1] + size[1] / 2,
    )


def test_no_two_boxes_overlap_and_all_lie_inside(case):
    sizes, _, result = case
    rectangles = [rectangle(*pair) for pair in zip(result.centers, sizes, strict=True)]
    for left, top, right, bottom in rectangles:
        assert left >= -EPSILON
        assert top >= -EPSILON
        assert right <= result.width + EPSILON
        assert bottom <= result.height + EPSILON
    for a, b in itertools.combinations(rectangles, 2):
        apart_x = max(b[0] - a[2], a[0] - b[2])
        apart_y = max(b[1] - a[3], a[1] - b[3])
        assert apart_x >= BOX_GAP - EPSILON or apart_y >= RANK_GAP - EPSILON


def test_every_edge_goes_down_from_the_foot_of_one_box_to_the_head_of_the_other(case):
    sizes, edges, result = case
    assert len(result.routes) == len(edges)
    for (source, target), route in zip(edges, result.routes, strict=True):
        x, y = result.centers[source]
        assert route[0] == pytest.approx((x, y + sizes[source][1] / 2))
        x, y = result.centers[target]
        assert route[-1] == pytest.approx((x, y - sizes[target][1] / 2))
        assert all(b >= a - EPSILON for (_, a), (_, b) in itertools.pairwise(route))


def test_no_edge_runs_through_a_box(case):
    sizes, edges, result = case
    for edge, route in zip(edges, result.routes, strict=True):
        for number, center in enumerate(result.centers):
            if number in edge:
                continue
            left, top, right, bottom = rectangle(center, sizes[number])
            for (x0, y0), (x1, y1) in itertools.pairwise(route):
                if y1 <= top + EPSILON or y0 >= bottom - EPSILON:
                    continue  # curves lie between ranks: what passes a box's height is upright
                assert abs(x0 - x1) < EPSILON
                assert not left - LANE_GAP + EPSILON < x0 < right + LANE_GAP - EPSILON


@pytest.mark.parametrize("name", ["chain", "inception", "residual", "label", "crossed lane"])
def test_an_edge_over_many_ranks_bends_only_at_its_ends(name):
    edges = GRAPHS[name]
    for route in lay_out(sizes_of(edges), edges).routes:
        assert len({round(x, 3) for x, _ in route[2:-2]}) <= 1


def test_a_chain_is_straight():
    result = lay_out(sizes_of(chain(12)), chain(12))
    assert len({round(x, 6) for x, _ in result.centers}) == 1


def test_the_main_path_past_short_cuts_is_straight():
    edges = blocks(5, [3, 0])
    result = lay_out(sizes_of(edges), edges)
    assert len({round(x, 6) for x, _ in result.centers}) == 1


def test_a_box_stands_in_the_middle_of_its_two_branches():
    edges = [(0, 1), (0, 2), (1, 3), (2, 3)]
    (top, _), (left, _), (right, _), (bottom, _) = lay_out([(50.0, 20.0)] * 4, edges).centers
    assert top == bottom == pytest.approx((left + right) / 2)


def test_a_source_beside_the_main_path_stands_close_to_it():
    edges = [(0, 4), (1, 2), (1, 5), (2, 3), (3, 4)]
    sizes = sizes_of(edges)
    centers = lay_out(sizes, edges).centers
    least = BOX_GAP + (sizes[0][0] + sizes[3][0]) / 2
    assert centers[0][0] - centers[3][0] == pytest.approx(least)


def crossings(result):
    """How often two edges cross, from the order of their ends in each gap between ranks."""
    pieces = set()
    for route in result.routes:
        for (x0, y0), (x1, y1) in list(itertools.pairwise(route))[1::2]:
            pieces.add(tuple(round(value, 4) for value in (y0, y1, x0, x1)))
    return sum(
        a[:2] == b[:2] and (a[2] - b[2]) * (a[3] - b[3]) < 0
        for a, b in itertools.combinations(pieces, 2)
    )


@pytest.mark.parametrize("name", ["chain", "inception", "residual", "label", "twisted"])
def test_what_can_be_drawn_without_crossings_is(name):
    edges = GRAPHS[name]
    assert crossings(lay_out(sizes_of(edges), edges)) == 0


def test_side_branches_that_share_a_label_are_drawn_without_crossings():
    """Two early losses of a chain, all three with the label that its source gives."""
    chain_ = chain(12)
    edges = [*chain_, (0, 12), (3, 13), (13, 14), (12, 14), (6, 15), (15, 16), (12, 16), (12, 11)]
    assert crossings(lay_out(sizes_of(edges), edges)) == 0


def test_crossings_are_counted_as_the_definition_says():
    lanes = layout._Lanes([(1.0, 1.0)] * 6, [0, 0, 0, 1, 1, 1], [])
    lanes.down[:3] = [[4, 5], [3], [3, 4]]
    order = [[0, 1, 2], [3, 4, 5]]
    ends = [(u, v) for u in (0, 1, 2) for v in lanes.down[u]]
    expected = sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in itertools.combinations(ends, 2))
    assert layout._crossings(lanes, order) == expected == 5


def test_a_circle_is_drawn_with_one_edge_going_up():
    edges = [(0, 1), (1, 2), (2, 0)]
    result = lay_out([(30.0, 20.0)] * 3, edges)
    up = [route[0][1] > route[-1][1] for route in result.routes]
    assert up == [False, False, True]


def test_a_source_stands_just_before_what_reads_it():
    edges = [*chain(6), (6, 5)]
    result = lay_out([(30.0, 20.0)] * 7, edges)
    assert result.centers[6][1] == result.centers[4][1]


@pytest.mark.parametrize("edges", [[], [(0, 1)]])
def test_small_graphs(edges):
    result = lay_out([(30.0, 20.0), (10.0, 10.0)], edges)
    assert len(result.centers) == 2
    assert result.width == (30.0 if edges else 30.0 + BOX_GAP + 10.0)


def test_nothing_at_all():
    assert lay_out([], []) == layout.Layout(0.0, 0.0, [], [])


def test_a_deep_net_is_laid_out_at_once():
    edges = blocks(200, [1, 4, 4, 2])
    start = time.perf_counter()
    lay_out(sizes_of(edges), edges)
    assert time.perf_counter() - start < 20
