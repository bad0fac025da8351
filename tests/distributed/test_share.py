"""The shares of a source's records: together they are what one process reads."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import PCG64, Generator

import caffe_lite as caffe
from caffe_lite.distributed import ALONE, Share
from caffe_lite.errors import NetError
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, files
from tests.solver.resuming import CONFIGS, write_data, write_solver

SOURCES = [
    *("lmdb", "images", "shuffled", "skipped", "rows", "rows shuffled", "windows"),
    *("memory", "selu", "segments"),
]
"""Configurations whose batches ranks can divide."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_data(folder)
    return folder


@pytest.fixture
def folder(sources, monkeypatch):
    monkeypatch.chdir(sources)
    caffe.set_random_seed(5)
    yield sources
    caffe.set_random_seed(-1)


def net_of(name: str, folder, phase: int, share: Share, divide_batch: int = 1) -> Net:
    """The net of a configuration, fed."""
    solver = files.read_solver(write_solver(CONFIGS[name], folder, "share")).param
    net = Net(solver.net_param, phase, divide_batch=divide_batch)
    net.take_share(share)
    if CONFIGS[name].by_program:
        size = 12  # batches of 2: of 2 ranks, of 3 test batches
        values = np.random.default_rng(size).standard_normal((size, 1, 2, 3))
        net.set_input_arrays(values, np.arange(size) % 3)
    return net


def batches(net: Net, count: int) -> list[list[np.ndarray]]:
    """What the source gives in so many forwards."""
    found = []
    for _ in range(count):
        net.forward()
        found.append([net.blobs[name].data.copy() for name in net.top_names[net.layers[0].name]])
    return found


def closed(nets: list[Net]) -> None:
    for net in nets:
        net.close()


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("ranks", [2, 4])
def test_the_batches_of_all_ranks_are_that_of_one_process(name, ranks, folder):
    if name == "memory" and ranks == 4:
        pytest.skip("its batch of 2 is for 2 ranks")
    nets = [net_of(name, folder, caffe.TRAIN, Share(rank, ranks), ranks) for rank in range(ranks)]
    one = net_of(name, folder, caffe.TRAIN, ALONE)
    rounds = 7  # the sources have 11 items, or 14 in three files
    theirs, whole = [batches(net, rounds) for net in nets], batches(one, rounds)
    for turn in range(rounds):
        for blob, values in enumerate(whole[turn]):
            shares = [theirs[rank][turn][blob] for rank in range(ranks)]
            assert np.stack(shares, 1).reshape(values.shape).tolist() == values.tolist()
    states = [net.layers[0].get_state() for net in (one, *nets)]
    assert all(state == states[0] for state in states)
    closed([one, *nets])


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in ("selu", "segments")])
def test_ranks_take_test_batches_in_turns(name, folder):
    ranks, rounds = 3, 3
    nets = [
        net_of(name, folder, caffe.TEST, Share(rank, ranks, by_batch=True))
        for rank in range(ranks)
    ]
    one = net_of(name, folder, caffe.TEST, ALONE)
    assert all(net.batches_are_apart for net in nets)
    theirs, whole = [batches(net, rounds) for net in nets], batches(one, ranks * rounds)
    for batch, blobs in enumerate(whole):
        for values, own in zip(blobs, theirs[batch % ranks][batch // ranks], strict=True):
            assert own.tolist() == values.tolist()
    # the rank that made the last batch is where one process is
    assert nets[-1].layers[0].get_state() == one.layers[0].get_state()
    nets[0].layers[0].set_state(one.layers[0].get_state())  # there rank 0 is the first again
    assert batches(nets[0], 1)[0][0].tolist() == batches(one, 1)[0][0].tolist()
    closed([one, *nets])


@pytest.mark.parametrize("name", ["lstm", "selu", "python"])
def test_batches_that_depend_on_each_other_are_not_divided(name, folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    solver = files.read_solver(write_solver(CONFIGS[name], folder, "share")).param
    with Net(solver.net_param, caffe.TEST, python_layers=True) as net:
        assert not net.batches_are_apart


def test_a_parameter_that_stands_alone_leaves_batches_apart(folder):
    text_of = write_solver(CONFIGS["lmdb"], folder, "share")
    param = files.read_solver(text_of).param.net_param
    bias = param.layer.add(name="bias", type="Parameter", top=["bias"])
    bias.parameter_param.shape.dim.append(3)
    with Net(param, caffe.TEST) as net:
        assert net.batches_are_apart


@pytest.mark.parametrize("shape", [(4, 3), (5, 7, 2), (3, 1), (2, 5), (1, 1), (6,)])
@pytest.mark.parametrize("ranks", [2, 3])
def test_random_words_are_those_of_one_process(shape, ranks):
    whole = (shape[0] * ranks, *shape[1:])
    one = Generator(PCG64(5))
    words = ALONE.words(one, whole).reshape(whole)
    for rank in range(ranks):
        rng = Generator(PCG64(5))
        found = Share(rank, ranks).words(rng, shape).reshape(shape)
        assert found.tolist() == words[rank::ranks].tolist()
        assert rng.bit_generator.state == one.bit_generator.state


def test_a_batch_that_cannot_be_divided_is_an_error_at_its_place(folder):
    with pytest.raises(NetError, match=r'"data" \(Data\): a batch of 4 cannot .* among 3 ranks'):
        net_of("lmdb", folder, caffe.TRAIN, ALONE, divide_batch=3)
    param = caffe_pb2.NetParameter()
    param.CopyFrom(
        files.read_solver(write_solver(CONFIGS["selu"], folder, "share")).param.net_param
    )
    with Net(param, caffe.TRAIN, divide_batch=2) as net:
        assert net.blobs["data"].shape == (2, 5)
    assert param.layer[0].dummy_data_param.shape[0].dim[0] == 4, "the program's message changed"
