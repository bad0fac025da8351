"""The measures of a segmentation over several forwards, and an oracle that rejects wrong ones."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels import segmentation
from caffe_lite.testing import Case, Rig, integers
from tests.oracles import segmentation as oracle


def run_twice(config: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The tops of two forwards, and the bottoms of both together."""
    rig = Rig(Case("SegAccuracy", [(2, 4, 3, 5), (2, 1, 3, 5)], config, draw={1: integers(4)}))
    before = [blob.data.copy() for blob in rig.bottom]
    tops = rig.forward()
    rig.bottom[0].reshape(3, 4, 2, 7)
    rig.bottom[1].reshape(3, 1, 2, 7)
    draws = np.random.default_rng(3)
    rig.bottom[0].data[...] = draws.standard_normal((3, 4, 2, 7))
    rig.bottom[1].data[...] = draws.integers(0, 4, (3, 1, 2, 7))
    tops += rig.forward()
    rows = [a.swapaxes(0, 1).reshape(a.shape[1], -1) for a in before]
    more = [blob.data.swapaxes(0, 1).reshape(blob.shape[1], -1) for blob in rig.bottom]
    both = [np.concatenate(pair, axis=1).T for pair in zip(rows, more, strict=True)]
    return tops, [*both, *(a.T for a in more)]


def test_counts_add_up_without_reset() -> None:
    (_, second), (x, label, *_) = run_twice("seg_accuracy_param { reset: false }")
    np.testing.assert_allclose(second, oracle.seg_accuracy()(x, label[:, 0]))


def test_counts_start_anew() -> None:
    (_, second), (*_, x, label) = run_twice("")
    np.testing.assert_allclose(second, oracle.seg_accuracy()(x, label[:, 0]))


def test_measures_of_a_matrix() -> None:
    y = np.empty(3)
    segmentation.measures(np.array([[3, 1, 0], [2, 2, 0], [0, 0, 0]]), y)
    np.testing.assert_allclose(y, [5 / 8, (3 / 4 + 2 / 4) / 2, (3 / 6 + 2 / 5 + 1) / 3])


def test_the_oracle_tells_recall_from_precision() -> None:
    pairs = [(0, 0), (0, 1), (1, 1), (1, 1), (1, 1)]
    right, recall, overlap = oracle.measured(pairs, 3).ravel()
    _, precision, same = oracle.measured([pair[::-1] for pair in pairs], 3).ravel()
    assert (right, recall, precision) == (4 / 5, (1 / 2 + 1) / 2, (1 + 3 / 4) / 2)
    assert overlap == same == (1 / 2 + 3 / 4 + 1) / 3
    assert oracle.measured(pairs, 2).ravel()[2] != overlap
