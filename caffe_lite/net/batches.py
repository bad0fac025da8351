"""Examples into a net: one batch into its blobs, or a whole set batch by batch, as in pycaffe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.errors import NetError

if TYPE_CHECKING:
    from caffe_lite.net.net import Net


def check_names(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Raise NetError unless exactly the `known` names are `given`."""
    if set(given) != set(known):
        raise NetError(
            f"the arguments {sorted(given)} are not the net's {what} {list(known)}; give all"
        )


def fill(target: Array, values: Array, name: str) -> None:
    """Copy `values` into the array of blob `name`; NetError if their shapes differ."""
    values = np.asarray(values)
    if values.shape[:1] != target.shape[:1]:
        raise NetError(
            f'"{name}" has {values.shape[0] if values.ndim else "no"} items, the blob '
            f"{target.shape[0] if target.ndim else 'none'}; reshape the blob first"
        )
    try:
        target[...] = values
    except ValueError:
        raise NetError(f'"{name}" has shape {values.shape}, the blob {target.shape}') from None


def batches(net: Net, arrays: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Cut arrays along axis 0 into the net's batch size; the last one is filled up with zeros."""
    size = next(iter(net.blobs.values())).shape[0]
    total = len(next(iter(arrays.values())))
    for start in range(0, total, size):
        batch = {}
        for name, array in arrays.items():
            part = np.asarray(array[start : start + size])
            if len(part) < size:
                missing = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
                part = np.concatenate([part, missing])
            batch[name] = part
        yield batch


def forward_all(net: Net, blobs: Sequence[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The named blobs, and the net's outputs, for every example: name -> (examples, ...)."""
    total = len(next(iter(inputs.values())))
    found: dict[str, list[Array]] = {name: [] for name in [*net.outputs, *blobs]}
    for batch in batches(net, inputs):
        for name, array in net.forward(list(blobs), None, None, **batch).items():
            found[name].append(array.copy())
    return {name: _joined(parts)[:total] for name, parts in found.items()}


def forward_backward_all(
    net: Net,
    blobs: Sequence[str],
    diffs: Sequence[str],
    arrays: Mapping[str, Array],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Outputs and gradients for every example.

    `arrays` holds the net's inputs, and the diffs of its outputs under the outputs' names.
    """
    inputs = {name: array for name, array in arrays.items() if name in net.inputs}
    tops = {name: array for name, array in arrays.items() if name in net.outputs}
    total = len(next(iter(inputs.values())))
    values: dict[str, list[Array]] = {name: [] for name in [*net.outputs, *blobs]}
    gradients: dict[str, list[Array]] = {name: [] for name in [*net.inputs, *diffs]}
    top_batches = batches(net, tops) if tops else iter(())
    for batch in batches(net, inputs):
        for name, array in net.forward(list(blobs), None, None, **batch).items():
            values[name].append(array.copy())
        for name, array in net.backward(list(diffs), None, None, **next(top_batches, {})).items():
            gradients[name].append(array.copy())
    return (
        {name: _joined(parts)[:total] for name, parts in values.items()},
        {name: _joined(parts)[:total] for name, parts in gradients.items()},
    )


def _joined(parts: list[Array]) -> Array:
    """Batches one after another; a scalar output, such as a loss, gives one value for each."""
    return np.concatenate([np.atleast_1d(part) for part in parts])
