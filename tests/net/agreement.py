"""Ways of running one net that must give the same numbers.

Each way builds the net, runs two iterations with a step of gradient descent after each, and
records what a program may read: the loss, the outputs, the gradients of inputs and parameters, the
parameters.  `disagreements` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
from numba.core.config import NUMBA_NUM_THREADS

import caffe_lite as caffe
from caffe_lite.errors import CaffeError
from caffe_lite.kernels.parallel import set_num_threads
from tests.net.random_nets import Drawn

Record = dict[str, np.ndarray]
RATE = 0.01


def whole(net: caffe.Net) -> float:
    """Forward and backward at once."""
    net.clear_param_diffs()
    loss = net.compute_loss()
    net.compute_gradients()
    return loss


def ahead(net: caffe.Net) -> float:
    """Forward alone."""
    return net.compute_loss()


def _cuts(drawn: Drawn, count: int) -> Iterator[tuple[int, int]]:
    """Pieces of `count` layers, in order: the first and the last of each."""
    draws = np.random.default_rng((drawn.seed, 99))
    start = 0
    while start < count:
        end = min(count, start + int(draws.integers(1, 6)))
        yield start, end - 1
        start = end


def forward_in_pieces(drawn: Drawn, net: caffe.Net) -> float:
    return sum(net.forward_from_to(*piece) for piece in _cuts(drawn, len(net.layers)))


def backward_in_pieces(drawn: Drawn, net: caffe.Net) -> None:
    for first, last in reversed(list(_cuts(drawn, len(net.layers)))):
        net.backward_from_to(last, first)


def run(
    drawn: Drawn,
    iterate: Callable[[caffe.Net], float] = whole,
    prepare: Callable[[caffe.Net], object] = lambda net: None,
    keep: tuple[str, ...] = (),
) -> Record:
    """Two iterations; `prepare` is called with the net before them, `keep` are blobs to record."""
    found: Record = {}
    with drawn.build() as net, np.errstate(all="ignore"):
        prepare(net)
        for iteration in range(2):
            drawn.fill(net, iteration)
            loss = iterate(net)
            seen = {**{name: net.blobs[name] for name in net.outputs}}
            seen.update((name, net.blobs[name]) for name in keep)
            values = {f"blob {name}": blob.data for name, blob in seen.items()}
            values["loss"] = np.array(loss)
            values.update((f"param {i}", one.blob.data) for i, one in enumerate(net.learnable))
            if iterate is not ahead:
                grown = {name: net.blobs[name] for name in (*net.inputs, *keep)}
                values.update((f"diff {n}", b.diff) for n, b in grown.items() if b.has_diff)
                values.update((f"diff of {i}", o.blob.diff) for i, o in enumerate(net.learnable))
            found.update((f"{name}, run {iteration}", v.copy()) for name, v in values.items())
            for one in net.learnable if iterate is not ahead else ():
                if one.lr_mult:
                    one.blob.data[...] -= RATE * one.blob.diff
    return found


def single(net: caffe.Net) -> None:
    """Let the layers run one by one."""
    for add in (net.before_forward, net.after_backward):
        add(lambda index: None)


@contextmanager
def restored(net: caffe.Net) -> Iterator[None]:
    """A block after which parameters and states of layers are as before."""
    before = [one.blob.data.copy() for one in net.learnable]
    # a source's batches are drawn ahead, so its random stream alone does not take it back
    states = [deepcopy(layer.get_state()) for layer in net.layers]
    yield
    net.clear_param_diffs()
    for one, data in zip(net.learnable, before, strict=True):
        one.blob.data[...] = data
    for layer, state in zip(net.layers, states, strict=True):
        layer.set_state(state)


def reshape_and_back(drawn: Drawn, net: caffe.Net) -> None:
    """Run with one item more, where the layers take that, then with as many as before."""
    if drawn.feeds:
        return  # a MemoryData would go on to its next batch
    shapes = {name: net.blobs[name].shape for name in net.inputs}
    with restored(net):
        for name, shape in shapes.items():
            if shape:
                net.blobs[name].reshape(shape[0] + 1, *shape[1:])
        try:
            net.reshape()
            drawn.fill(net, 7)
            whole(net)
        except (CaffeError, ValueError):  # a draw may have one shape only
            pass
        for name, shape in shapes.items():
            net.blobs[name].reshape(*shape)
        net.reshape()


def run_before(
    drawn: Drawn, net: caffe.Net, iterate: Callable[[caffe.Net], float] = whole
) -> None:
    """Run thrice, on other values: the next one repeats the launches of the last.

    The first backward takes memory, and the second sees that nothing has changed.
    """
    if not drawn.feeds:
        with restored(net):
            drawn.fill(net, 7)
            for _ in range(3):
                iterate(net)


def with_one_thread(drawn: Drawn) -> Record:
    set_num_threads(1)
    try:
        return run(drawn)
    finally:
        set_num_threads(NUMBA_NUM_THREADS)


def disagreements(drawn: Drawn) -> Iterator[str]:
    """What differs, way by way; nothing if all agree."""
    with drawn.build() as net:
        names = [name for name in net.blobs if name not in net.inputs and "split" not in name]
        seen = single_steps_differ(net)
        ahead_net = [step.layers for step in net.runner.steps.forward]
        net.share_memory(backward=False)
        ahead_more = ahead_net != [step.layers for step in net.runner.steps.forward]
    draws = np.random.default_rng((drawn.seed, 5))
    keep = tuple(draws.choice(names, min(2, len(names)), replace=False))

    fused = run(drawn, keep=keep)
    by_layer = run(drawn, prepare=single, keep=keep)
    forward = run(drawn, ahead, keep=tuple(names))

    def pieces(net: caffe.Net) -> float:
        net.clear_param_diffs()
        loss = forward_in_pieces(drawn, net)
        backward_in_pieces(drawn, net)
        return loss

    def forward_pieces(net: caffe.Net) -> float:
        net.clear_param_diffs()
        loss = forward_in_pieces(drawn, net)
        net.compute_gradients()
        return loss

    def backward_pieces(net: caffe.Net) -> float:
        net.clear_param_diffs()
        loss = net.compute_loss()
        backward_in_pieces(drawn, net)
        return loss

    def share(net: caffe.Net) -> None:
        net.share_memory(keep=keep)

    def share_ahead(net: caffe.Net) -> None:
        net.share_memory(backward=False, keep=keep)

    def freeze_and_share(net: caffe.Net) -> None:
        net.freeze()
        share_ahead(net)
        run_before(drawn, net, ahead)

    def reshape(net: caffe.Net) -> None:
        reshape_and_back(drawn, net)

    def share_and_reshape(net: caffe.Net) -> None:
        net.share_memory()
        reshape_and_back(drawn, net)

    def repeat(net: caffe.Net) -> None:
        run_before(drawn, net)

    bits, rounding = 0.0, tolerance(drawn)
    fusing = rounding if seen else bits
    yield from differ("fused, one by one", by_layer, fused, fusing)
    yield from differ("apart, shared", fused, run(drawn, prepare=share, keep=keep), bits)
    yield from differ(
        "trained, forward only",
        forward,
        run(drawn, ahead, share_ahead, keep),
        rounding if ahead_more else bits,
    )
    yield from differ(
        "trained, frozen",
        forward,
        run(drawn, ahead, lambda net: net.freeze(), tuple(names)),
        rounding if ahead_more else bits,
    )
    yield from differ(
        "trained; frozen, shared and repeated",
        forward,
        run(drawn, ahead, freeze_and_share, keep),
        rounding if ahead_more else bits,
    )
    yield from differ("one by one, in pieces", by_layer, run(drawn, pieces, keep=keep), bits)
    yield from differ("forward in pieces", by_layer, run(drawn, forward_pieces, keep=keep), bits)
    yield from differ("backward in pieces", fused, run(drawn, backward_pieces, keep=keep), fusing)
    yield from differ("reshaped and back", fused, run(drawn, prepare=reshape), bits)
    yield from differ("shared, reshaped", fused, run(drawn, prepare=share_and_reshape), bits)
    yield from differ("first run, repeated", fused, run(drawn, prepare=repeat, keep=keep), bits)
    if NUMBA_NUM_THREADS > 1:
        yield from differ("two threads, one", fused, with_one_thread(drawn), bits)


def single_steps_differ(net: caffe.Net) -> bool:
    """Whether some layers run as one."""
    steps = net.runner.steps
    return any(len(step.layers) > 1 for step in (*steps.forward, *steps.backward))


def tolerance(drawn: Drawn) -> float:
    """What a fused scale may differ by, which is computed in another order."""
    return 1e-6 if drawn.dtype == np.float64 else float("inf")


def differ(what: str, wanted: Record, got: Record, allowed: float) -> Iterator[str]:
    """The records' differences, one a line; names that only one of them has are left out."""
    for name in wanted.keys() & got.keys():
        one, other = wanted[name], got[name]
        if name.startswith("loss"):
            same = np.isclose(
                one, other, rtol=min(max(allowed, 1e-9), 1.0), atol=1e-9, equal_nan=True
            )
        elif allowed == 0 or one.shape != other.shape:
            same = np.array_equal(one, other, equal_nan=True)
        else:
            scale = max(float(np.abs(one).max(initial=0)), 1.0)
            same = float(np.abs(one - other).max(initial=0)) <= allowed * scale
        if not same:
            yield f"{what}: {name}"
