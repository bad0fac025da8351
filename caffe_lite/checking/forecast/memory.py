"""How much memory a training takes, beside the program itself.

The parts are what `caffe-lite train` allocates: the same passes that arrange a net's memory are
asked, and no array is touched.

    weights     the parameters and their gradients
    history     what the solver keeps of each parameter
    blobs       the blobs' data and gradients and the layers' buffers, which share memory by the
                times at which they are in use (`net/passes/memory.py`)
    workspace   what kernels need while they run, the same memory for all layers
    tests       the blobs of the test nets, whose weights are the train net's
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from caffe_lite.checking.dry import View
from caffe_lite.checking.subjects import Checked
from caffe_lite.errors import CaffeError
from caffe_lite.net.link import Link
from caffe_lite.net.passes import fuse, memory, slices
from caffe_lite.solver import SGDSolver, solver_class

ITEM_SIZE = 4
"""Bytes of an element: nets compute in float32."""


PAGE = 2 << 20
"""Bytes of a large page."""


@dataclass(frozen=True)
class Memory:
    """Bytes by what they are for."""

    weights: int = 0
    history: int = 0
    blobs: int = 0
    workspace: int = 0
    tests: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, each.name) for each in fields(self))


def memory_of(checked: Checked) -> Memory | None:
    """The memory of a training; None for a net that is not trained, or of unknown shapes."""
    train = checked.train
    if train is None or train.links is None or not train.losses or train.plan is None:
        return None
    tests = 0
    for view in checked.tests if checked.settings is not None else ():
        if view.links is None:
            return None
        tests += sum(_blobs(view, backward=False))
    weights = ITEM_SIZE * sum(each.blob.count for each in train.learnable)
    blobs, workspace = _blobs(train, backward=True)
    return Memory(2 * weights, _history(checked) * weights, blobs, workspace, tests)


def _history(checked: Checked) -> int:
    """The arrays that the solver keeps for each parameter."""
    try:
        cls = SGDSolver if checked.settings is None else solver_class(checked.settings.param.type)
    except CaffeError:
        cls = SGDSolver
    return cls.rule.arrays_per_parameter


def _blobs(view: View, backward: bool) -> tuple[int, int]:
    """Bytes of a net's blobs and buffers, and of its workspace."""
    assert view.net is not None
    assert view.plan is not None
    links = view.links
    assert links is not None
    if not backward:
        for link in links:
            link.layer.goes_backward = False
    fusions = fuse.find_fusions(view.net.wires, links)
    lasting = [view.net.blobs[blob] for blob in view.net.wires.outputs]
    parts = {} if backward else slices.parts_of(slices.find_slices(links))
    found = memory.arrange(links, view.plan, fusions, parts, lasting, "float32", backward)
    apart = {
        blob.data_memory: ITEM_SIZE * blob.count
        for blob in view.net.blobs
        if blob.data_memory not in found.shared and blob.data_memory not in parts
    }
    placed = {(id(layer), name) for layer, name, *_ in found.buffers}
    kept = sum(
        array.nbytes
        for link in links
        for name, buffer in link.layer.declared_buffers.items()
        if (id(link.layer), name) not in placed and buffer.kept
        for array in [getattr(link.layer.buf, name)]
    )
    return _touched(found, links, fusions) + sum(apart.values()) + kept, view.budget.taken(
        "workspace"
    )


def _touched(found: memory.Arrangement, links: list[Link], fusions: Sequence[fuse.Fusion]) -> int:
    """Bytes of the shared array with memory behind them.

    Where backward runs as one, too, forward leaves out what the layers after the first would
    keep: their place in the array is never touched.  Memory comes in pages, for which NumPy asks
    Linux to take large ones.
    """
    idle = {
        id(links[index].layer)
        for fusion in fusions
        if fusion.returns
        for index in fusion.layers[1:]
    }
    used = [life for layer, _, _, life in found.buffers if id(layer) not in idle]
    total = end = 0
    for life in sorted((*found.shared.values(), *used), key=lambda life: life.offset):
        first = ITEM_SIZE * life.offset // PAGE * PAGE
        last = -(-ITEM_SIZE * (life.offset + life.count) // PAGE) * PAGE
        total += max(0, last - max(first, end))
        end = max(end, last)
    return min(total, ITEM_SIZE * found.size)
