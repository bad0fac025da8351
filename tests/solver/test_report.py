from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from caffe_lite.blob import Blob
from caffe_lite.errors import SolverError
from caffe_lite.solver import report


def net(**outputs):
    """Stands for a net with these outputs, each (values, loss weight)."""
    blobs, weights = {}, {}
    for name, (values, weight) in outputs.items():
        blobs[name] = Blob(np.shape(values), np.float64)
        blobs[name].data[...] = values
        weights[name] = weight
    return SimpleNamespace(outputs=list(outputs), blobs=blobs, blob_loss_weights=weights)


def test_outputs_are_written_as_caffe_writes_them():
    lines = [str(each) for each in report.outputs(net(acc=([0.25, 1e-7], 0.0), loss=(2.5, 0.5)))]
    assert lines == ["acc = 0.25", "acc = 1e-07", "loss = 2.5 (* 0.5 = 1.25 loss)"]


def test_means():
    means = report.Means()
    assert means.means() == []
    means.add(means.read(net(loss=([1.0, 2.0], 1.0))))
    shown = means.read(net(loss=([2.0, 5.0], 1.0)))
    means.add(shown)
    assert [each.value for each in shown] == [2.0, 5.0]
    assert [each.value for each in means.means()] == [1.5, 3.5]
    with pytest.raises(SolverError, match="had 2 values and now have 1"):
        means.add(means.read(net(loss=(1.0, 1.0))))


def judged(*rows):
    """An output of DetectionEvaluate for two classes, of two and of three truths."""
    return np.array([[-1, 1, 2, -1, -1], [-1, 2, 3, -1, -1], *rows], float).reshape(1, 1, -1, 5)


def test_average_precisions(caplog):
    caplog.set_level("INFO", "caffe_lite")
    precisions = report.AveragePrecisions("Integral", show_classes=True)
    assert precisions.means() == []
    # class 1: right, wrong and, in the next batch, right; that of a difficult truth is neither
    first = judged([0, 1, 0.9, 1, 0], [0, 1, 0.5, 0, 1], [1, 1, 0.7, 0, 0])
    for rows in (first, judged([0, 1, 0.2, 1, 0])):
        precisions.add(precisions.read(net(eval=(rows, 0))))
    (mean,) = precisions.means()
    assert mean.name == "eval"
    # each batch has 2 truths of the class: precision 1 and 2/3 at recall 1/4 and 1/2
    assert mean.value == pytest.approx((1 / 4 + 2 / 3 / 4) / 2)
    assert [record.getMessage() for record in caplog.records] == [
        f"class1: {1 / 4 + 2 / 3 / 4:g}",
        "Missing true_pos for label: 2",
    ]


def test_a_class_without_detections_counts_as_0_wherever_it_is():
    classes = [[-1, label, 1, -1, -1] for label in (1, 2, 3)]
    found = [[0, 2, 0.9, 1, 0], [0, 3, 0.8, 1, 0]]
    precisions = report.AveragePrecisions("Integral", show_classes=False)
    rows = np.array([*classes, *found], float).reshape(1, 1, -1, 5)
    precisions.add(precisions.read(net(eval=(rows, 0))))
    assert precisions.means()[0].value == pytest.approx(2 / 3)
    alone = report.AveragePrecisions("Integral", show_classes=False)
    rows = np.array([classes[1], found[0]], float).reshape(1, 1, -1, 5)
    alone.add(alone.read(net(eval=(rows, 0))))
    assert alone.means()[0].value == 1
    nothing = report.AveragePrecisions("Integral", show_classes=False)
    nothing.add(nothing.read(net(eval=(rows[:, :, 1:], 0))))
    assert nothing.means()[0].value == 0


def test_average_precisions_need_detections():
    precisions = report.AveragePrecisions("11point", show_classes=False)
    with pytest.raises(SolverError, match=r'"boxes" is of shape \(1, 1, 2, 7\)'):
        precisions.read(net(boxes=(np.zeros((1, 1, 2, 7)), 0)))
    with pytest.raises(SolverError, match=r'"loss" is of shape \(\)'):
        precisions.read(net(loss=(1.0, 1.0)))


def test_smoothed_loss_is_the_mean_of_the_last():
    smoothed = report.SmoothedLoss(2)
    assert smoothed.mean == 0.0
    assert [smoothed.add(loss) for loss in (1.0, 2.0, 4.0)] == [1.0, 1.5, 3.0]


def test_first_bad_goes_by_layers():
    fine, bad = Blob((2,)), Blob((3,))
    bad.data[1] = np.inf
    layers = [
        SimpleNamespace(name="one", blobs=[fine]),
        SimpleNamespace(name="two", blobs=[fine, bad]),
    ]
    tops = {"one": ["x"], "two": ["y"]}
    blobs = {"x": fine, "y": bad}
    found = SimpleNamespace(layers=layers, top_names=tops, blobs=blobs, overwritten=frozenset())
    assert report.first_bad(found).endswith('blobs[1] of layer "two"')
    found.blobs["x"] = bad
    assert report.first_bad(found) == 'the first non-finite values are in top "x" of layer "one"'
    found.overwritten = {"x"}
    assert report.first_bad(found).endswith('blobs[1] of layer "two"')
    found.blobs = {"x": bad, "y": fine, "z": bad}
    layers[1].blobs, tops["one"] = [], ["x", "z"]
    assert report.first_bad(found) == 'the first non-finite values are in top "z" of layer "one"'
    tops["one"] = ["x"]
    found.blobs = {"x": fine, "y": fine}
    assert report.first_bad(found) == "all blobs are finite"
