from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.blob import Blob
from caffe_lite.errors import SolverError
from caffe_lite.net.passes.learnable import Learnable
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver import updates
from caffe_lite.solver.updates import Gradient
from tests.oracles import update as oracle

PLAIN = Gradient(1.0, 0.0, 0.0)


def learnables(*lr_mults, dtype=np.float64):
    rng = np.random.default_rng(5)
    out = []
    for index, lr_mult in enumerate(lr_mults):
        blob = Blob((2, 3 + index), dtype)
        blob.data[...] = rng.standard_normal(blob.shape)
        blob.diff[...] = rng.standard_normal(blob.shape)
        out.append(Learnable(blob, lr_mult, 1.0, f"layer{index}", 0, "0"))
    return out


def refuse(field, message):
    error = SolverError(message)
    error.at(None, field)
    return error


@pytest.mark.parametrize(
    ("rule", "fields", "step"),
    [
        (updates.SGD, {"momentum": 0.5}, lambda w, g, z: oracle.sgd(w, g, z, 0.25, 0.5)),
        (
            updates.Nesterov,
            {"momentum": 0.5},
            lambda w, g, z: oracle.nesterov(w, g, z, 0.25, 0.5),
        ),
        (updates.AdaGrad, {"delta": 0.5}, lambda w, g, z: oracle.adagrad(w, g, z, 0.25, 0.5)),
        (
            updates.RMSProp,
            {"rms_decay": 0.75, "delta": 0.5},
            lambda w, g, z: oracle.rmsprop(w, g, z, 0.25, 0.75, 0.5),
        ),
        (
            updates.AdaDelta,
            {"momentum": 0.75, "delta": 0.5},
            lambda w, g, z: oracle.adadelta(w, g, z, z, 0.25, 0.75, 0.5),
        ),
        (
            updates.Adam,
            {"momentum": 0.5, "momentum2": 0.75, "delta": 0.5},
            lambda w, g, z: oracle.adam(w, g, z, z, 0.25, 0.5, 0.75, 0.5, 4),
        ),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_rule_moves_one_parameter(rule, fields, step):
    params = learnables(1.0, 1.0)
    others = params[0].blob.data.copy()
    w = params[1].blob.data.reshape(-1).tolist()
    g = params[1].blob.diff.reshape(-1).tolist()
    expected, history = step(w, g, [0.0] * len(w))
    moved = rule(caffe_pb2.SolverParameter(**fields), params)
    moved.update(1, PLAIN, 0.25, iteration=3)
    np.testing.assert_allclose(params[1].blob.data.reshape(-1), expected, rtol=1e-12)
    np.testing.assert_array_equal(params[0].blob.data, others)
    assert [array.shape for array in moved.history] == [(2, 3), (2, 4)] * rule.arrays_per_parameter
    for array, values in zip(moved.history[1::2], history, strict=True):
        np.testing.assert_allclose(array.reshape(-1), values, rtol=1e-12)
    assert not any(array.any() for array in moved.history[::2])


def test_momentum_of_a_parameter_that_is_frozen_now_goes_on():
    params = learnables(0.0)
    before = params[0].blob.data.copy()
    rule = updates.SGD(caffe_pb2.SolverParameter(momentum=0.5), params)
    rule.update(0, PLAIN, 0.0, 0)
    np.testing.assert_array_equal(params[0].blob.data, before)
    rule.restore([np.full((2, 3), 4.0)])
    rule.update(0, PLAIN, 0.0, 1)
    np.testing.assert_array_equal(params[0].blob.data, before - 2.0)


def test_a_frozen_parameter_costs_no_gradient_memory():
    blob = Blob((4, 5), np.float32)
    rule = updates.Nesterov(
        caffe_pb2.SolverParameter(momentum=0.9), [Learnable(blob, 0.0, 1.0, "fc", 0, "0")]
    )
    rule.update(0, PLAIN, 0.0, 0)
    assert not blob.has_diff


@pytest.mark.parametrize(
    ("rule", "fields", "at", "says"),
    [
        (updates.AdaGrad, {"momentum": 0.9}, "momentum", "AdaGrad takes no momentum.* 0.9"),
        (updates.RMSProp, {"momentum": 0.9}, "momentum", "RMSProp takes no momentum.* 0.9"),
        (updates.RMSProp, {"rms_decay": 1.0}, "rms_decay", "at least 0 and below 1, not 1"),
        (updates.RMSProp, {"rms_decay": -0.5}, "rms_decay", "not -0.5"),
        (updates.Adam, {"momentum": 1.0}, "momentum", "Adam's momentum .* not 1"),
        (updates.Adam, {"momentum2": 1.5}, "momentum2", "Adam's momentum2 .* not 1.5"),
    ],
)
def test_refused_settings(rule, fields, at, says):
    with pytest.raises(SolverError, match=f"^{at}: .*{says}"):
        rule.check(caffe_pb2.SolverParameter(**fields), refuse)


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        (updates.SGD, {"momentum": 1.5}),
        (updates.AdaGrad, {"momentum": 0.0}),
        (updates.RMSProp, {"rms_decay": 0.0}),
        (updates.RMSProp, {"rms_decay": 0.99}),
        (updates.Adam, {"momentum": 0.0, "momentum2": 0.0}),
        (updates.Adam, {"momentum": 0.99, "momentum2": 0.99}),
    ],
)
def test_settings_at_the_ends_of_their_ranges(rule, fields):
    rule.check(caffe_pb2.SolverParameter(**fields), refuse)


@pytest.mark.parametrize("kind", ["AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_only_steps_stay_zero_without_a_rate(kind):
    """A history of squared gradients grows all the same, and is read when the rate is back."""
    params = learnables(0.0, 1.0)
    before = [param.blob.data.copy() for param in params]
    rule = getattr(updates, kind)(caffe_pb2.SolverParameter(rms_decay=0.5), params)
    rule.update(0, PLAIN, 0.0, 0)
    np.testing.assert_array_equal(params[0].blob.data, before[0])
    assert any(array.any() for array in rule.history[::2])
