"""Nets whose weights stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numba import config

import caffe_lite as caffe
from caffe_lite.errors import NetError, OutOfMemory
from caffe_lite.limits import set_memory_limit
from tests.net.test_stretches import PARTS, build, by_layer, repeating

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")


@pytest.fixture
def net() -> caffe.Net:
    """A frozen net that repeats its launches from now on."""
    found = build()
    found.freeze()
    for _ in range(2):
        found.forward()
    assert repeating(found)
    return found


def test_the_same_numbers(net: caffe.Net) -> None:
    for _ in range(3):
        net.blobs["x"].data[...] *= -1.5
        wanted = by_layer(net)
        net.forward()
        assert repeating(net)
        for name, values in wanted.items():
            np.testing.assert_array_equal(net.blobs[name].data, values)


def test_what_depends_on_weights_alone_is_computed_once(net: caffe.Net) -> None:
    before = net.blobs["y"].data.copy()
    for name in ("c", "n", "s"):
        for blob in net.params[name]:
            blob.data[...] = np.nan
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data, before)


@pytest.mark.parametrize("name", PARTS)
def test_loaded_weights_are_heeded(net: caffe.Net, name: str, tmp_path: Path) -> None:
    file, before = tmp_path / "other.caffemodel", net.blobs["y"].data.copy()
    other = build()
    for blob in other.params[name]:
        blob.data[...] = 1.25 * blob.data + 0.25
    other.save(file)
    net.copy_from(file)
    for _ in range(3):
        net.forward()
        np.testing.assert_array_equal(net.blobs["y"].data, by_layer(net)["y"])
    assert (net.blobs["y"].data != before).any()


def test_shared_weights_are_heeded(net: caffe.Net) -> None:
    other = build()
    other.params["c"][0].data[...] += 0.5
    net.share_with(other)
    for _ in range(3):
        net.forward()
        np.testing.assert_array_equal(net.blobs["y"].data, by_layer(other)["y"])


def test_another_shape(net: caffe.Net) -> None:
    net.blobs["x"].reshape(1, 3, 6, 7)
    net.blobs["x"].data[...] = np.arange(126).reshape(1, 3, 6, 7) / 100
    for _ in range(3):
        net.forward()
        np.testing.assert_array_equal(net.blobs["y"].data, by_layer(net)["y"])


def test_backward_is_refused(net: caffe.Net) -> None:
    with pytest.raises(NetError, match=r"forward only: freeze\(\)"):
        net.backward()


def test_with_shared_memory() -> None:
    net = build()
    wanted = by_layer(net)["y"]
    net.freeze()
    net.share_memory(backward=False)
    for _ in range(4):
        net.forward()
        np.testing.assert_array_equal(net.blobs["y"].data, wanted)
    late = build()
    late.share_memory()
    with pytest.raises(NetError, match="before its blobs share memory"):
        late.freeze()


def test_its_memory_is_asked_for() -> None:
    net = build()
    set_memory_limit(net.budget.total + 10)
    try:
        with pytest.raises(OutOfMemory, match=r'layer "c".*order'):
            net.freeze()
    finally:
        set_memory_limit(None)
