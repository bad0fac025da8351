"""Bottoms that are slices of a top, against nets that go backward, where everything is copied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numba import config

import caffe_lite as caffe
from caffe_lite.blob import Blob
from caffe_lite.net.passes.memory import ALIGNMENT
from caffe_lite.net.running import runner
from tests.net import source
from tests.net.test_stretches import repeating

INPUT = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 3 dim: 5 dim: 4 } } }
"""
SHIFT = "power_param { shift: 1 }"


def layer(name: str, kind: str, bottoms: str, top: str = "", config: str = "") -> str:
    words = [f'bottom: "{bottom}"' for bottom in bottoms.split()]
    words += [f'top: "{one}"' for one in (top or name).split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(words)} {config} }}\n'


def conv(name: str, bottom: str, outputs: int) -> str:
    config = f"""convolution_param {{ num_output: {outputs} kernel_size: 1
      weight_filler {{ type: "gaussian" std: 0.5 }} bias_filler {{ type: "uniform" }} }}"""
    return layer(name, "Convolution", bottom, config=config)


def power(name: str, bottom: str) -> str:
    return layer(name, "Power", bottom, config="power_param { power: 2 shift: 0.5 }")


def join(name: str, bottoms: str, axis: int = 1) -> str:
    return layer(name, "Concat", bottoms, config=f"concat_param {{ axis: {axis} }}")


AB = INPUT + conv("a", "x", 4) + conv("b", "x", 5)
JOINED = AB + join("t", "a b")
END = power("y", "t")
SPLIT = AB + layer("split", "Split", "a", "s0 s1")
WEIGHT = """parameter_param { shape { dim: 1 dim: 2 dim: 5 dim: 4 }
  blob_filler { type: "gaussian" } }"""

NETS: dict[str, tuple[str, dict[str, str]]] = {
    "two bottoms": (JOINED + END, {"a": "t", "b": "t"}),
    "three bottoms": (
        AB + conv("c", "a", 2) + join("t", "a c b") + END,
        {"a": "t", "b": "t", "c": "t"},
    ),
    "written in place before": (
        AB
        + layer("r", "ReLU", "a", "a")
        + layer("p", "Power", "b", "b", SHIFT)
        + join("t", "a b")
        + END,
        {"a": "t", "b": "t"},
    ),
    "read by others": (
        AB + power("before", "a") + join("t", "a b") + END + power("after", "a"),
        {"a": "t", "b": "t"},
    ),
    "written by another name before": (
        SPLIT + layer("r", "ReLU", "s1", "s1") + join("t", "s0 b") + END,
        {"a": "t", "b": "t", "s0": "t", "s1": "t"},
    ),
    "written by another name after": (
        SPLIT + join("t", "s0 b") + layer("r", "ReLU", "s1", "s1") + END,
        {"b": "t"},
    ),
    "views": (
        AB + layer("fa", "Flatten", "a") + layer("fb", "Flatten", "b") + join("t", "fa fb") + END,
        {"a": "t", "b": "t", "fa": "t", "fb": "t"},
    ),
    "the first axis": (
        AB + conv("d", "x", 4) + join("t", "a d", 0) + END,
        {"a": "t", "d": "t"},
    ),
    "another axis": (AB + conv("d", "x", 4) + join("t", "a d", 2) + END, {}),
    "a top written in place": (JOINED + layer("r", "Power", "t", "t", SHIFT) + END, {}),
    "a top written by another name": (
        JOINED + layer("f", "Flatten", "t") + layer("r", "ReLU", "f", "f"),
        {},
    ),
    "a top that stays as it is": (
        JOINED + layer("drop", "Dropout", "t", "t") + END,
        {"a": "t", "b": "t"},
    ),
    "a bottom twice": (AB + join("t", "a b a") + END, {"a": "t", "b": "t"}),
    "two tops": (JOINED + join("u", "b a") + END, {"a": "u", "b": "u"}),
    "a top in a top": (
        JOINED + conv("c", "t", 2) + join("u", "c t") + END,
        {"t": "u", "c": "u"},
    ),
    "every second of a chain": (
        JOINED + conv("c", "t", 2) + join("u", "c t") + conv("d", "u", 3) + join("v", "u d"),
        {"a": "t", "b": "t", "u": "v", "d": "v"},
    ),
    "an input": (AB + join("t", "x b") + END, {"b": "t"}),
    "a view of an input": (
        AB + layer("fx", "Flatten", "x") + power("c", "fx") + join("t", "c fx") + END,
        {"c": "t"},
    ),
    "a parameter": (
        AB + layer("w", "Parameter", "", config=WEIGHT) + join("t", "w a") + END,
        {"a": "t"},
    ),
    "a single bottom": (AB + join("t", "a") + END, {}),
}
"""Nets of a single image, with the blobs that are slices, each with the blob it is a slice of."""

Prepare = Callable[[caffe.Net], object]


def build(text: str) -> caffe.Net:
    caffe.set_random_seed(5)
    net = caffe.Net(source(text), caffe.TEST)
    caffe.set_random_seed(-1)
    return net


def frozen(text: str) -> caffe.Net:
    net = build(text)
    net.freeze()
    return net


def fill(net: caffe.Net, seed: int) -> None:
    data = net.blobs["x"].data
    data[...] = np.random.default_rng(seed).standard_normal(data.shape)


def slices(net: caffe.Net) -> dict[str, str]:
    """The blobs whose data lie in those of another, which is larger, with this one."""
    tops = [name for layer in net.layers if layer.type == "Concat" for name in layer.param.top]
    return {
        name: top
        for name, blob in net.blobs.items()
        for top in tops
        if "split" not in name
        and blob.count < net.blobs[top].count
        and np.shares_memory(blob.data, net.blobs[top].data)
    }


def assert_same(
    net: caffe.Net, wanted: caffe.Net, seed: int, names: list[str] | None = None
) -> None:
    for each in (wanted, net):
        fill(each, seed)
        each.forward()
    for name in names or net.blobs:
        np.testing.assert_array_equal(net.blobs[name].data, wanted.blobs[name].data, name)


each_net = pytest.mark.parametrize(("text", "expected"), NETS.values(), ids=list(NETS))


@each_net
def test_all_blobs_are_what_they_are_where_all_is_copied(
    text: str, expected: dict[str, str]
) -> None:
    net, wanted = frozen(text), build(text)
    assert slices(wanted) == {}
    assert slices(net) == expected
    for seed in range(5):
        assert_same(net, wanted, seed)
    assert slices(net) == expected


@each_net
def test_a_net_that_has_run_before(text: str, expected: dict[str, str]) -> None:
    net, wanted = build(text), build(text)
    assert_same(net, wanted, 1)
    for name in expected:
        net.blobs[name].data[...] += 1
    before = {
        name: blob.data.copy()
        for name, blob in net.blobs.items()
        if name not in expected.values() and "split" not in name
    }
    net.freeze()
    assert slices(net) == expected
    for name, values in before.items():
        np.testing.assert_array_equal(net.blobs[name].data, values, name)
    assert_same(net, wanted, 2)


SHAPES = [(2, 3, 5, 4), (1, 3, 5, 4), (1, 3, 3, 2), (1, 3, 6, 7), (2, 3, 2, 3), (1, 3, 5, 4)]


@each_net
@pytest.mark.parametrize(("told", "shared"), [(True, False), (False, False), (False, True)])
def test_other_shapes_and_back(
    text: str, expected: dict[str, str], told: bool, shared: bool
) -> None:
    """Each at once right, and a slice again in the forward after it at the latest."""
    if '"Parameter"' in text:
        return  # it has one shape
    net, wanted = frozen(text), build(text)
    names = None
    if shared:
        net.share_memory(backward=False)
        names = net.outputs
        assert slices(net).items() >= expected.items()
    for seed, shape in enumerate(SHAPES):
        for each in (net, wanted):
            each.blobs["x"].reshape(*shape)
            if told:
                each.reshape()
        if told and shape[0] == 1 and not shared:
            assert slices(net) == expected
        assert_same(net, wanted, seed, names)
        if shape[0] == 1 and not shared:
            assert slices(net) == expected
        for more in (10, 20):
            assert_same(net, wanted, seed + more, names)


@each_net
def test_kept_blobs_of_shared_memory(text: str, expected: dict[str, str]) -> None:
    for name in expected:
        net, wanted = build(text), build(text)
        net.share_memory(backward=False, keep=[name])
        for seed in range(4):
            assert_same(net, wanted, seed, [name, *net.outputs])


@each_net
@pytest.mark.parametrize("way", ["hooks", "pieces", "one thread"])
def test_layers_one_by_one(text: str, expected: dict[str, str], way: str) -> None:
    net, wanted = frozen(text), build(text)
    if way == "hooks":
        net.after_forward(lambda index: None)
    for seed in range(3):
        if way == "pieces":
            fill(net, seed)
            fill(wanted, seed)
            for index in range(len(net.layers)):
                net.forward_from_to(index, index)
            wanted.forward()
            for name in net.blobs:
                np.testing.assert_array_equal(net.blobs[name].data, wanted.blobs[name].data)
        else:
            assert_same(net, wanted, seed)
    assert slices(net) == expected


def test_a_larger_shape_before_a_smaller_one() -> None:
    """The slices of one shape lie where those of another one do not."""
    text, expected = NETS["read by others"]
    net, wanted = frozen(text), build(text)
    for seed, shape in enumerate([(1, 3, 6, 6), (1, 3, 2, 3), (1, 3, 4, 4), (1, 3, 6, 6)]):
        for each in (net, wanted):
            each.blobs["x"].reshape(*shape)
        assert_same(net, wanted, seed)
        assert slices(net) == expected


def test_bottoms_that_are_reshaped_one_by_one() -> None:
    two = (
        INPUT
        + INPUT.replace('"x"', '"z"')
        + power("a", "x")
        + power("b", "z")
        + join("t", "a b")
        + END
    )
    net, wanted = frozen(two), build(two)
    for seed, channels in enumerate([6, 2, 4, 6, 3, 5]):
        for each in (net, wanted):
            each.blobs["x"].reshape(1, channels, 5, 4)
        assert_same(net, wanted, seed)
        assert slices(net) == {"a": "t", "b": "t"}


def test_a_bottom_that_has_been_reshaped_before() -> None:
    text = INPUT + power("a", "x") + power("b", "x") + join("t", "a b") + END
    net, wanted = build(text), build(text)
    net.blobs["a"].reshape(7)
    net.freeze()
    for seed in range(3):
        assert_same(net, wanted, seed)
    assert slices(net) == {"a": "t", "b": "t"}


CROWDED = (
    INPUT
    + conv("a", "x", 4)
    + conv("c", "x", 9)
    + conv("b", "c", 5)
    + join("t", "a b")
    + END
    + conv("d", "y", 9)
    + conv("e", "d", 4)
    + layer("end", "Eltwise", "e a")
)
"""The top has a place that other blobs, before it and after, would use if it began with its layer
or ended with its reader."""


@pytest.mark.parametrize("keep", [(), ("a",), ("t",)])
def test_shared_memory_knows_how_long_a_slice_lives(keep: tuple[str, ...]) -> None:
    net, wanted = build(CROWDED), build(CROWDED)
    net.share_memory(backward=False, keep=keep)
    assert slices(net).items() >= {"a": "t", "b": "t"}.items()
    for seed in range(3):
        assert_same(net, wanted, seed, ["end", *keep])
    for name in net.blobs.keys() - net.overwritten:
        np.testing.assert_array_equal(net.blobs[name].data, wanted.blobs[name].data, name)
    assert ("b" in net.overwritten) == (not keep)


@pytest.mark.parametrize("late", [False, True])
def test_memory_that_was_shared_without_slices_stays_without(late: bool) -> None:
    net, wanted = build(CROWDED), build(CROWDED)
    net.blobs["x"].reshape(2, 3, 5, 4)
    net.reshape()
    net.share_memory(backward=False)
    if late:
        net.freeze()
    for seed in range(4):
        for each in (net, wanted):
            each.blobs["x"].reshape(1, 3, 5, 4)
        assert_same(net, wanted, seed, ["end"])


def test_a_bottom_that_is_written_between_two_runs() -> None:
    net, wanted = frozen(JOINED + END), build(JOINED + END)
    for seed in range(3):
        assert_same(net, wanted, seed)
        for each in (net, wanted):
            each.blobs["a"].data[...] = seed + 0.5
            each.forward(start="t")
        for name in net.blobs:
            np.testing.assert_array_equal(net.blobs[name].data, wanted.blobs[name].data)


@pytest.mark.parametrize("name", ["a", "b", "t"])
def test_memory_of_a_program(name: str) -> None:
    """It stays where it is, and the values arrive."""
    net, wanted = frozen(JOINED + END), build(JOINED + END)
    assert_same(net, wanted, 0)
    mine = Blob(net.blobs[name].shape)
    array = mine.data
    net.blobs[name].share_data(mine)
    for seed in range(1, 5):
        assert_same(net, wanted, seed)
        assert mine.data is array
        np.testing.assert_array_equal(array, wanted.blobs[name].data)
    for seed, shape in enumerate(SHAPES):
        for each in (net, wanted):
            each.blobs["x"].reshape(*shape)
        assert_same(net, wanted, seed)


def test_a_slice_that_a_program_makes_of_a_wrong_place() -> None:
    """Its values are moved out of the way, not overwritten."""
    net, wanted = build(JOINED + END), build(JOINED + END)
    assert_same(net, wanted, 0)
    a, b, t = (net.blobs[name] for name in "abt")
    a.data_memory.array = t.data_memory.array[b.count : b.count + a.count]
    b.data_memory.array = t.data_memory.array[: b.count]
    caffe.blob.CHANGES.note()
    for seed in range(1, 4):
        assert_same(net, wanted, seed)


def test_a_net_that_goes_backward_has_none() -> None:
    net = build("force_backward: true " + JOINED + END)
    net.share_memory()
    net.forward()
    net.backward()
    assert net.runner.slices == []


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")
def test_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The join launches nothing, and a recording begins as early as ever."""
    net = frozen(JOINED + END)
    for _ in range(2):
        net.forward()
    assert repeating(net)
    count = launches(net)
    monkeypatch.setattr(runner, "find_slices", lambda links: [])
    copying = frozen(JOINED + END)
    for _ in range(2):
        copying.forward()
    assert launches(copying) == count + 2


def launches(net: caffe.Net) -> int:
    return sum(len(part.recording) for stretch in net.runner._parts for part in stretch._parts)


def test_the_memory_that_it_saves() -> None:
    """Blobs that share memory need that of the slices no more."""

    def taken(text: str) -> int:
        net = build(text)
        net.share_memory(backward=False)
        return net.budget.total

    in_place = taken(JOINED + layer("p", "Power", "t", "t", SHIFT) + END)
    saved = in_place - taken(JOINED + layer("p", "Dropout", "t", "t") + END)
    both = 4 * 9 * 5 * 4
    assert both <= saved < both + 2 * ALIGNMENT
