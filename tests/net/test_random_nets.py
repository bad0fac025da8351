"""Nets drawn at random: every way of running them gives the same numbers.

`tools/random_nets.py` draws as many more as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.blob import Blob
from caffe_lite.layers import pooling
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.fusion import joined
from caffe_lite.net.link import Link
from caffe_lite.net.passes import fuse, memory
from caffe_lite.net.running import chains
from caffe_lite.testing import normal
from tests.every_case import SOME
from tests.net import agreement
from tests.net.random_nets import TYPES, Drawn, draw_net

# the layer types take turns: with so many seeds each has its own
SEEDS = range(len(TYPES))


@pytest.mark.skipif(SOME, reason="some families are left out")
@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_of_running_agrees(seed: int, tmp_path: Path) -> None:
    drawn = draw_net(seed, tmp_path)
    found = list(agreement.disagreements(drawn))
    assert not found, "\n".join([*found, drawn.describe()])


def test_a_seed_draws_one_net(tmp_path: Path) -> None:
    one, again, other = (draw_net(seed, tmp_path) for seed in (3, 3, 4))
    assert one.describe() == again.describe() != other.describe()


# -- what it is that they notice ---------------------------------------------------------------


def net_of(*layers: str, shape: tuple[int, ...] = (2, 3, 6, 5)) -> Drawn:
    """A net that was not drawn: layers on an input ``x``."""
    lines = [f'layer {{ name: "l{i}" {layer} }}' for i, layer in enumerate(layers)]
    return Drawn(1, caffe.TRAIN, np.float64, False, Path(), lines, {"x": (shape, normal)})


def wide(bottom: str, top: str) -> str:
    """A layer that keeps the shape (2, 3, 6, 5) and learns."""
    return (
        f'type: "Convolution" bottom: "{bottom}" top: "{top}" '
        "convolution_param { num_output: 3 kernel_size: 1 }"
    )


END = 'type: "Reduction" bottom: "z" top: "sum" reduction_param { operation: SUMSQ }'
RECTIFIED = net_of(
    wide("x", "a"),
    'type: "ReLU" bottom: "a" top: "r"',
    'type: "Pooling" bottom: "r" top: "p" pooling_param { pool: AVE kernel_size: 2 }',
    *(wide(*pair) for pair in ("pb", "bc", "cz")),
    END + " loss_weight: 1",
)
PLACES = net_of(
    wide("x", "a"),
    'type: "Pooling" bottom: "a" top: "p" top: "places" pooling_param { kernel_size: 2 }',
    wide("p", "z"),
    END + " loss_weight: 1",
)
AXIS = net_of(
    'type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 3 axis: 2 }',
    'type: "Scale" bottom: "z" top: "z"',
    shape=(2, 3, 4),
)
RETURNING = net_of(
    wide("x", "a"),
    'type: "BatchNorm" bottom: "a" top: "a"',
    'type: "Scale" bottom: "a" top: "a"',
    'type: "ReLU" bottom: "a" top: "a"',
    wide("a", "z"),
    END + " loss_weight: 1",
)


def forget_the_sign(link: Link) -> Iterator[Blob]:
    reads = link.layer.backward_reads
    yield from link.bottom if reads & Reads.BOTTOM else ()
    yield from link.top if reads & Reads.TOP else ()


def lose_the_places(self: Any, *arguments: Any) -> None:
    if not self.goes_backward:
        self._top_count = 1
    POOL(self, *arguments)


POOL = pooling.Pooling.pool


def along_any_axis(first: Any, top: Any, rest: Sequence[Any]) -> bool:
    return joined(rest) is not None


@pytest.mark.parametrize(
    ("drawn", "patches", "says"),
    [
        (RECTIFIED, [(memory, "_read_in_backward", forget_the_sign)], "apart, shared: diff of 0"),
        (PLACES, [(pooling.Pooling, "pool", lose_the_places)], "forward only: blob places"),
        (
            AXIS,
            [(fuse, "fits", along_any_axis), (chains, "fits", along_any_axis)],
            "fused, one by one: blob z",
        ),
        (
            RETURNING,
            [(chains.ReturningChain, "unfold", lambda self: None)],
            "backward in pieces: diff of",
        ),
        (RETURNING, [(memory, "place", lambda items, alignment: SIZE)], "apart, shared"),
    ],
    ids=["sign", "places", "axis", "unfold", "place"],
)
def test_a_slip_is_noticed(
    drawn: Drawn,
    patches: list[tuple[Any, str, Callable[..., Any]]],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparisons see what would otherwise be silently wrong."""
    assert list(agreement.disagreements(drawn)) == []
    for where, name, slip in patches:
        monkeypatch.setattr(where, name, slip)
    assert any(says in line for line in agreement.disagreements(drawn))


SIZE = 10_000
"""Elements: with every offset 0, all lives overlap."""
