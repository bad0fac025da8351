from __future__ import annotations

import numpy as np
import pytest

import caffe_lite.layers.recurrent  # noqa: F401  registers the types
from caffe_lite.kernels import recurrent
from caffe_lite.testing import Case, Rig
from tests.oracles import recurrent as oracle

RNG = np.random.default_rng(0)
STEPS, STREAMS, SIZE = 6, 3, 5


def go_on(rng, shape):
    return np.ones(shape)


def rig(type_: str, steps: int, cont=go_on) -> Rig:
    bottoms = [(steps, STREAMS, 4), (steps, STREAMS)]
    return Rig(Case(type_, bottoms, "recurrent_param { num_output: 5 }", draw={1: cont}))


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_state_goes_on_from_one_forward_to_the_next(type_: str) -> None:
    whole, half = rig(type_, STEPS), rig(type_, STEPS // 2)
    for blob, given in zip(half.layer.blobs, whole.layer.blobs, strict=True):
        blob.data[...] = given.data
    (wanted,) = whole.forward()
    found = []
    for part in np.split(whole.bottom[0].data, 2):
        half.bottom[0].data[...] = part
        found.append(half.forward()[0])
    np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-12)


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_cont_zero_forgets(type_: str) -> None:
    layer = rig(type_, STEPS)
    first = layer.forward()[0]
    assert np.abs(layer.forward()[0] - first).max() > 1e-3
    layer.bottom[1].data[0] = 0
    np.testing.assert_allclose(layer.forward()[0], first)


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_gradient_stays_within_a_sequence(type_: str) -> None:
    layer = rig(type_, STEPS)
    layer.bottom[1].data[3, 1] = 0
    layer.forward()
    layer.layer.prepare(layer.bottom, layer.top)
    layer.top[0].diff[...] = 0
    layer.top[0].diff[4, 1] = 1
    layer.layer.backward(layer.top, [True, False], layer.bottom)
    dx = layer.bottom[0].diff
    assert dx[3:5, 1].all()
    dx[3:5, 1] = 0
    assert not dx.any()


def test_lstm_unit_may_write_activations_over_gates() -> None:
    before, gates = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 12))
    cont, apart = np.array([1.0, 0.0]), np.empty((2, 12))
    c, h = np.empty((2, 3)), np.empty((2, 3))
    recurrent.lstm_unit_forward(before, gates, cont, apart, c, h)
    for n in range(2):
        wanted = oracle.lstm_unit(before[n], gates[n], cont[n])
        np.testing.assert_allclose((c[n], h[n]), wanted)
    recurrent.lstm_unit_forward(before, gates, cont, gates, c, h)
    np.testing.assert_array_equal(gates, apart)


def test_saturated_gates_stay_finite() -> None:
    gates = np.full((1, 8), -1000.0, np.float32)
    state, out = np.ones((1, 2), np.float32), np.empty((2, 1, 2), np.float32)
    recurrent.lstm_unit_forward(state, gates, np.ones(1, np.float32), gates, *out)
    np.testing.assert_array_equal(out, 0)


X, CONT = RNG.standard_normal((STEPS, STREAMS, 4)), np.ones((STEPS, STREAMS))
CONT[3] = 0
LSTM = [RNG.standard_normal(shape) for shape in ((20, 4), (20,), (20, SIZE))]
RNN = [RNG.standard_normal(shape) for shape in ((5, 4), (5,), (5, 5), (5, 5), (5,))]


def other_gate_order(w):
    """Rows i, f, g, o, as other libraries have them."""
    i, f, o, g = np.split(w, 4)
    return np.concatenate((i, f, g, o))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.lstm(X, CONT, *LSTM), oracle.lstm(X, CONT, *map(other_gate_order, LSTM))),
        (oracle.lstm(X, CONT, *LSTM), oracle.lstm(X, np.ones(CONT.shape), *LSTM)),
        (oracle.rnn(X, CONT, *RNN), oracle.rnn(X, np.ones(CONT.shape), *RNN)),
        (
            oracle.lstm_unit_layer(X[:1], np.tile(X[:1], 4), CONT[:1]),
            oracle.lstm_unit_layer(X[:1], np.tile(X[:1], 4), CONT[3:4]),
        ),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    for one, other in zip(right, wrong, strict=True):
        assert np.abs(one - other).max() > 0.05


def test_gradients_of_gates_are_cut():
    draws = np.random.default_rng(5)
    w, cont = draws.normal(size=(12, 3)), np.ones((4, 2))
    h0, c0 = np.zeros((2, 3)), np.zeros((2, 3))
    gates, dy = draws.normal(size=(4, 2, 12)), 3 * draws.normal(size=(4, 2, 3))
    inherited, c, h = (np.empty((4, 2, 3)) for _ in range(3))
    recurrent.lstm_forward(w, cont, h0, c0, gates, inherited, c, h)
    found = {}
    for limit in (0, 0.1, 1e9):
        found[limit] = np.empty(gates.shape)
        state = np.zeros((2, 3)), np.zeros((2, 3))
        recurrent.lstm_backward(w, cont, c0, gates, c, dy, state, found[limit], limit)
    np.testing.assert_array_equal(found[0], found[1e9])
    assert np.abs(found[0]).max() > 0.2
    np.testing.assert_array_equal(found[0.1][-1], np.clip(found[0][-1], -0.1, 0.1))
    assert np.abs(found[0.1]).max() == 0.1
