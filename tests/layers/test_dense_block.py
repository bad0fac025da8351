"""The dense block: its dropout's gradient, and what its oracle would reject."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe_lite.testing import Case, Rig
from tests.cases import dense_block as cases
from tests.oracles import dense_block as oracle


def dropping(nudge: dict[str, Any] | None = None) -> Rig:
    case = Case(
        "DenseBlock",
        [cases.X],
        "denseblock_param { numTransition: 3 growthRate: 2 use_dropout: true dropout_amount: 0.4"
        f" {cases.FILLERS} }}",
        random=True,
    )
    rig = Rig(case, nudge=nudge)
    rig.layer.rng = np.random.default_rng(3)
    rig.forward()
    return rig


def test_dropout_drops_new_numbers_alone() -> None:
    rig = dropping()
    old, new = np.split(rig.top[0].data, [4], axis=1)
    np.testing.assert_array_equal(old, rig.bottom[0].data)
    assert np.mean(new == 0) == pytest.approx(0.4, abs=0.08)


@pytest.mark.parametrize("name", ["bottom0", "param0", "param4", "param8"])
def test_the_gradient_through_dropout(name: str) -> None:
    rig = dropping()
    rig.backward([True])
    index = int(name[-1])
    blob = rig.bottom[0] if name == "bottom0" else rig.layer.blobs[index]
    direction = np.random.default_rng(5).standard_normal(blob.shape)
    step, sums = 1e-6, []
    for sign in (1, -1):
        moved = dropping({name: sign * step * direction})
        sums.append(np.sum(moved.top[0].data * rig.top_diffs()[0]))
    wanted = (sums[0] - sums[1]) / (2 * step)
    assert np.sum(blob.diff * direction) == pytest.approx(wanted, rel=1e-5)


def test_the_oracle_rejects_wrong_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases.CASES[0]
    rig = Rig(case)
    bottom, params = rig.bottom[0].data, [blob.data.copy() for blob in rig.layer.blobs]
    top, after = oracle.block(3)(bottom, *params)
    biased = oracle.block(3, unbiased=False)(bottom, *params)[1]
    assert np.abs(after[12] - biased[12]).max() > 1e-3  # the variances
    turned = [p[..., ::-1, ::-1] if p.shape[-1] == 3 else p for p in params]
    assert np.abs(oracle.block(3)(bottom, *turned)[0] - top).max() > 0.1
    kept = oracle.block(3, fraction=0.9)(bottom, *params)[1]
    assert np.abs(after[9] - kept[9]).max() > 0.01  # BatchNorm's meaning of the fraction
