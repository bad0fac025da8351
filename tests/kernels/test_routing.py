"""Choosing items and adding gradients; layers whose tops use their bottoms' memory."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from caffe_lite.blob import Blob
from caffe_lite.errors import NotDifferentiable
from caffe_lite.kernels.routing import add_all, take_items, take_items_backward
from caffe_lite.layers import registry, routing, shape
from caffe_lite.proto import caffe_pb2
from tests.oracles import routing as oracle


def test_take_items_and_back():
    rng = np.random.default_rng(1)
    x, index = rng.standard_normal((4, 3, 2)), np.array([3, 0, 3, 3, 1])
    y, dx = np.empty((5, 3, 2)), np.full(x.shape, 9.0)
    take_items(x, index, y)
    np.testing.assert_array_equal(y, oracle.batch_reindex(x, index))
    take_items_backward(y, index, dx)
    np.testing.assert_allclose(dx, oracle.batch_reindex_backward(y, index, 4))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_add_all(n, dtype):
    arrays = list(np.random.default_rng(2).standard_normal((n, 3, 4, 67)).astype(dtype))
    total = np.full((3, 4, 67), 9, dtype)
    add_all(arrays, total)
    np.testing.assert_array_equal(total, sum(arrays[1:], arrays[0]))


def test_the_oracles_reject_wrong_variants():
    x, index = np.arange(6.0).reshape(3, 2), np.array([1, 1, 0])
    assert (oracle.batch_reindex(x, index) != x).any()
    assert oracle.batch_reindex_backward(x, index, 3)[1].tolist() == [2, 4]
    assert oracle.select(x, np.array([0, 2, 1]))[0].tolist() == [[2, 3], [4, 5]]


def layer(type_, config, bottom, tops=1):
    param = text_format.Parse(config, caffe_pb2.LayerParameter())
    param.type = type_
    top = [Blob() for _ in range(tops)]
    built = registry.create(param)
    built.build(bottom, top)
    return built, top


SHARING = [
    (shape.Flatten, "Flatten", "", 1),
    (shape.Reshape, "Reshape", "reshape_param { shape { dim: -1 } }", 1),
    (shape.Concat, "Concat", "", 1),
    (shape.Slice, "Slice", "", 1),
    (routing.Split, "Split", "", 3),
]


@pytest.mark.parametrize(("cls", "type_", "config", "tops"), SHARING)
def test_tops_use_the_bottoms_memory_after_every_reshape(cls, type_, config, tops):
    x = Blob((2, 3, 4))
    built, top = layer(type_, config, [x], tops)
    assert isinstance(built, cls)
    for items in (2, 50, 1):
        x.reshape(items, 3, 4)
        built.prepare([x], top)
        built.forward([x], top)
        x.data[...] = items
        for blob in top:
            assert blob.count == x.count
            assert np.shares_memory(blob.data, x.data)
            assert (blob.data == items).all()


@pytest.mark.parametrize(("cls", "type_", "config", "tops"), SHARING[:-1])
def test_moved_gradients_use_the_same_memory(cls, type_, config, tops):
    x = Blob((2, 3, 4))
    _, top = layer(type_, config, [x], tops)
    assert not x.has_diff
    top[0].diff[...] = 5
    assert (x.diff == 5).all()


def test_a_split_follows_a_parameter_that_shares_anothers_data():
    owner = Blob((3,))
    owner.data[...] = 4
    parameter, top = layer("Parameter", "parameter_param { shape { dim: 3 } }", [])
    split, copies = layer("Split", "", top, 2)
    parameter.blobs[0].share_data(owner)
    parameter.forward([], top)
    split.forward(top, copies)
    assert (copies[1].data == 4).all()


def test_a_filter_may_select_nothing_and_then_everything():
    x, selector = Blob((3, 2)), Blob((3,))
    x.data[...] = np.arange(6).reshape(3, 2)
    built, top = layer("Filter", "", [x, selector])
    assert top[0].shape == (3, 2)
    x.diff[...] = 9
    built.forward([x, selector], top)
    built.backward(top, [True, False], [x, selector])
    assert top[0].shape == (0, 2)
    assert not x.diff.any()
    selector.data[...] = 1
    built.prepare([x, selector], top)
    built.forward([x, selector], top)
    np.testing.assert_array_equal(top[0].data, x.data)
    with pytest.raises(NotDifferentiable, match="selector has no gradient"):
        built.backward(top, [True, True], [x, selector])
