"""The model of training on many ranks, against messages that are followed one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.distributed.launching import needs_mpi, run
from tests.oracles import reductions as oracle
from tools.bench.scale import command, profile, tables
from tools.bench.scale.reductions import Cluster, Link, hierarchical, ring, tree
from tools.bench.scale.step import Bucket, Layer, Profile, buckets, reduced, step

NETWORK, MEMORY, GAMMA = Link(3.0, 0.5), Link(0.7, 0.11), 0.013


def cluster(local):
    return Cluster(NETWORK, MEMORY, GAMMA, local)


def ranks_of(count, local, length):
    """Ranks of random numbers, their sum, and the bytes of each."""
    arrays = np.random.default_rng(count).integers(-9, 9, (count, length))

    def seconds(source, target, size):
        link = MEMORY if source // local == target // local else NETWORK
        return link.seconds(size)

    ranks = oracle.Ranks(arrays, seconds, GAMMA)
    return ranks, arrays.sum(axis=0), oracle.WIDTH * length


def require_sum(ranks, total):
    for array in ranks.arrays:
        np.testing.assert_array_equal(array, total)


@pytest.mark.parametrize(
    ("count", "local"), [(2, 1), (3, 1), (7, 1), (8, 1), (2, 4), (8, 2), (12, 4)]
)
def test_a_ring_message_by_message(count, local):
    ranks, total, size = ranks_of(count, local, 5 * count)
    oracle.ring(ranks)
    require_sum(ranks, total)
    assert ring(size, count, cluster(local)) == pytest.approx(max(ranks.clocks))
    other = cluster(local)._replace(gamma=2 * GAMMA)
    assert ring(size, count, other) != pytest.approx(max(ranks.clocks))


@pytest.mark.parametrize(
    ("count", "local"), [(2, 1), (3, 1), (7, 1), (8, 1), (2, 4), (8, 2), (12, 4)]
)
def test_a_tree_message_by_message(count, local):
    ranks, total, size = ranks_of(count, local, 11)
    oracle.tree(ranks)
    require_sum(ranks, total)
    assert tree(size, count, cluster(local)) == pytest.approx(max(ranks.clocks))
    other = cluster(local)._replace(gamma=2 * GAMMA)
    assert tree(size, count, other) != pytest.approx(max(ranks.clocks))


@pytest.mark.parametrize(("count", "local"), [(8, 2), (12, 4), (3, 1), (4, 4), (2, 4)])
def test_a_hierarchy_message_by_message(count, local):
    """Trees to the first rank of each machine, a ring of these, and the trees back."""
    local = min(local, count)
    machines = count // local
    ranks, total, size = ranks_of(count, local, 5 * machines)
    clocks = []
    for machine in range(machines):
        oracle.tree(ranks, list(range(machine * local, (machine + 1) * local)))
    clocks.append(max(ranks.clocks))
    leaders, _, _ = ranks_of(machines, 1, 5 * machines)
    leaders.arrays = [ranks.arrays[machine * local] for machine in range(machines)]
    oracle.ring(leaders)
    require_sum(leaders, total)
    assert hierarchical(size, count, cluster(local)) == pytest.approx(
        clocks[0] + max(leaders.clocks)
    )


def test_costs_by_hand():
    """alpha 1, beta 2, gamma 3, four bytes, four ranks."""
    one = Cluster(Link(1, 2), Link(0.5, 0.25), 3, 1)
    assert ring(4, 4, one) == 3 * (2 * (1 + 2) + 3)
    assert tree(4, 4, one) == 2 * (2 * (1 + 8) + 12)
    two = one._replace(local=2)
    assert ring(4, 4, two) == ring(4, 4, one)  # the slowest message
    assert tree(4, 4, two) == 2 * (0.5 + 1) + 2 * (1 + 8) + 2 * 12
    assert hierarchical(4, 4, two) == 2 * (0.5 + 1) + 12 + (2 * (1 + 4) + 6)
    assert hierarchical(4, 4, one) == ring(4, 4, one)
    for reduce in (ring, tree, hierarchical):
        assert reduce(4, 1, one) == reduce(4, 1, two) == 0


def test_ranks_that_do_not_fill_their_machines():
    for ranks, local in ((6, 4), (4, 3), (9, 2)):
        with pytest.raises(ValueError, match=f"{ranks} ranks on machines of {local}"):
            ring(4, ranks, cluster(local))


NET = Profile(
    "net",
    8,
    forward=5.0,
    update=0.5,
    layers=(Layer("a", 4.0, 10), Layer("b", 2.0, 0), Layer("c", 3.0, 40), Layer("d", 1.0, 6)),
)


def test_gradients_are_joined_in_the_order_of_backward():
    assert buckets(NET, 1) == [Bucket(6, 1.0), Bucket(40, 4.0), Bucket(10, 10.0)]
    assert buckets(NET, 7) == [Bucket(46, 4.0), Bucket(10, 10.0)]
    assert buckets(NET, 46) == [Bucket(46, 4.0), Bucket(10, 10.0)]
    assert buckets(NET, 47) == [Bucket(56, 10.0)]


def test_a_step_by_hand():
    def reduce(size, ranks, there):
        return size / 10

    # the first bucket from 1 to 1.6, the second from 4 to 8, the third from 10 to 11
    assert step(NET, 4, reduce, cluster(1), 1) == pytest.approx((16.5, 5.6, 1.0))
    # all of it after backward
    assert step(NET, 4, reduce, cluster(1), 99) == pytest.approx((21.1, 5.6, 5.6))
    # the second is not done when the third is ready: from 4 to 24, then to 29
    slow = step(NET, 4, lambda size, *_: size / 2, cluster(1), 1)
    assert slow == pytest.approx((15.5 + 19, 28, 19))
    assert step(NET, 1, reduce, cluster(1), 1) == (15.5, 0, 0)


@pytest.mark.parametrize("seed", range(40))
def test_a_step_tick_by_tick(seed):
    draw = random.Random(seed)
    count = draw.randint(1, 9)
    backward = [draw.randint(1, 9) for _ in range(count)]
    gradients = [draw.choice((0, 0, 1, 3, 8, 20)) for _ in range(count - 1)] + [2]
    limit, cost = draw.choice((1, 4, 9)), draw.choice((1, 2, 5))
    layers = tuple(
        Layer(str(i), time, size)
        for i, (time, size) in enumerate(zip(backward[::-1], gradients[::-1], strict=True))
    )
    net = Profile("net", 1, 1.0, 1.0, layers)
    found = reduced(buckets(net, limit), lambda size, *_: cost + size, 4, cluster(1))
    assert found == oracle.step(backward, gradients, limit, lambda size: cost + size)


def test_a_reduction_without_an_order_is_seen():
    """The oracle rejects a model in which buckets do not wait for each other."""
    parts = [Bucket(9, 1.0), Bucket(9, 2.0)]
    wrong = max(part.ready + part.size for part in parts)
    right = reduced(parts, lambda size, *_: size, 2, cluster(1))
    assert right == oracle.step([1, 1], [9, 9], 1, lambda size: size) != wrong


def test_other_batches_and_machines():
    twice = Profile("net", 16, 9.0, 0.5, tuple(each._replace(backward=6.0) for each in NET.layers))
    half = NET.at(12, twice)
    assert (half.batch, half.forward, half.update) == (12, 7.0, 0.5)
    assert [layer.backward for layer in half.layers] == [5.0, 4.0, 4.5, 3.5]
    assert NET.at(8, twice) == NET
    assert NET.at(0, twice).layers[1].backward == 0  # not less
    assert NET.least(twice).layers[1].backward == 2.0
    assert NET.least(twice).layers[3].backward == 1.0
    assert NET.least(twice).forward == twice.least(NET).forward == 5.0
    assert NET.faster(4).seconds == NET.seconds / 4
    assert NET.faster(4).gradients == NET.gradients == 56


def test_efficiency_and_where_it_ends():
    free = cluster(1)._replace(gamma=0.0)
    predict = tables.weak(NET, free, 1)
    assert predict(1, "ring", Link(9, 9)).seconds == NET.seconds
    assert predict(4, "ring", Link(0, 0)).seconds == NET.seconds
    # 2 (p - 1) = 6 messages of each bucket: from 1 to 7, to 13, to 19, and backward takes 10
    assert predict(4, "ring", Link(1, 0)).exposed == 9
    twice = Profile(
        "net",
        16,
        10.0,
        0.5,
        tuple(each._replace(backward=each.backward * 2) for each in NET.layers),
    )
    divided = tables.strong(NET, twice, 16, free, 1)
    assert divided(1, "ring", Link(0, 0)).seconds == twice.seconds
    assert divided(2, "ring", Link(0, 0)).seconds == NET.seconds
    assert tables.last_that_pays([1.0, 0.8, 0.5, 0.45], [2, 4, 8, 16]) == 4
    assert tables.last_that_pays([0.7], [2]) == 1
    assert tables.last_that_pays([0.75, 0.75 * 0.75], [2, 4]) == 4


def test_tables(capsys):
    predict = tables.weak(NET, cluster(2), 1)
    text = tables.efficiency_table(predict, [2, 4], divided=False)
    assert [line.split("|")[1].strip() for line in text.splitlines()] == [
        "ranks",
        "-" * 12,
        "2",
        "4",
        "pays up to",
    ]
    assert "100 hierarchical" in text
    column = tables.efficiencies(predict, [2, 4], divided=False)["10", "ring"]
    assert text.splitlines()[3].split("|")[2].strip() == f"{100 * column[1]:.0f} %"
    lines = tables.step_table(predict, [2], "ring").splitlines()
    assert len(lines) == 3
    assert "10: not hidden" in lines[0]
    assert tables.heading(NET, 1).endswith("0.0 MB of gradients in 3 buckets.")


def test_a_net_is_measured(tmp_path):
    (found, other) = profile.measured(["lenet:2", "lenet:3"], str(tmp_path), seconds=0.01)
    assert other.batch == 3
    assert (found.net, found.batch) == ("lenet", 2)
    assert found.gradients == 4 * 431_080
    sizes = {layer.name: layer.gradients for layer in found.layers}
    assert sizes["conv1"] == 4 * 520
    assert sizes["pool1"] == 0
    assert found.forward > 0
    assert found.backward > 0
    assert (
        profile.from_plain({**vars(found), "layers": [list(each) for each in found.layers]})
        == found
    )


def test_statistics_are_not_reduced(tmp_path, monkeypatch):
    monkeypatch.setattr("caffe_lite.fillers.fill", lambda *_: None)
    from tools.bench import nets, ours

    path = tmp_path / "net.prototxt"
    path.write_text(nets.prototxt("mobilenet", 1, True))
    sizes = profile.gradient_bytes(ours.make_solver(str(path)))
    assert sum(sizes.values()) == 4 * 4_231_976  # as published, without mean and variance


def test_an_unknown_net_is_an_error_of_the_command(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["lenet"])
    assert ended.value.code == 2
    assert '"lenet" is not NET:BATCH' in capsys.readouterr().err


@needs_mpi
def test_the_model_is_compared_with_what_ranks_measure(tmp_path):
    program = (
        "from caffe_lite.distributed import world\n"
        "from tools.bench.scale.checked import compare\n"
        "found = compare(world(), ['lenet:2'], 1 << 20, 0.05)\n"
        "if found: print(found)"
    )
    text = run(2, "-c", program, folder=tmp_path).stdout
    assert text.startswith("2 ranks of 1 threads; a message takes ")
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert cells[0] == "lenet:2"
    alone, ring, _, tree, _, took = cells[1:]
    assert 0 < float(alone) <= float(ring)
    assert float(alone) <= float(tree)
    assert float(took) > 0
