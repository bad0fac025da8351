"""Examples into a net: one batch into its blobs, or a whole set batch by batch, as in pycaffe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffe_lite import arguments
from caffe_lite.blob import Array
from caffe_lite.errors import NetError

Pass = Callable[..., Mapping[str, Array]]
"""A forward or a backward: blobs' values as keyword arguments in, named arrays out."""


def check_names(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Raise NetError unless exactly the `known` names are `given`."""
    if set(given) != set(known):
        raise NetError(
            f"the arguments {sorted(given)} are not the net's {what} {list(known)}; give all"
        )


def fill(target: Array, values: Array, name: str) -> None:
    """Copy `values` into the array of blob `name`; NetError if their shapes differ."""
    values = arguments.numbers(values, f'"{name}"')
    if values.shape[:1] != target.shape[:1]:
        raise NetError(
            f'"{name}" has {values.shape[0] if values.ndim else "no"} items, the blob '
            f"{target.shape[0] if target.ndim else 'none'}; reshape the blob first"
        )
    try:
        target[...] = values
    except ValueError:
        raise NetError(f'"{name}" has shape {values.shape}, the blob {target.shape}') from None


def batches(size: int, arrays: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Cut arrays along axis 0 into batches of `size` items, the last one padded with zeros."""
    arrays = {name: _items(name, array) for name, array in arrays.items()}
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


def _items(name: str, array: Array) -> Array:
    values = arguments.numbers(array, f'"{name}"')
    if not values.ndim or not len(values):
        raise NetError(f'"{name}" has no items, but shape {values.shape}')
    return values


def forward_all(forward: Pass, size: int, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What `forward` returns for every example: name -> (examples, ...)."""
    found: dict[str, list[Array]] = defaultdict(list)
    for batch in batches(size, inputs):
        _collect(found, forward(**batch))
    return _joined(found, inputs)


def forward_backward_all(
    forward: Pass,
    backward: Pass,
    size: int,
    inputs: Mapping[str, Array],
    top_diffs: Mapping[str, Array],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What `forward` and what `backward` return for every example.

    `top_diffs` holds the diffs of the net's outputs: of all or of none.
    """
    values: dict[str, list[Array]] = defaultdict(list)
    gradients: dict[str, list[Array]] = defaultdict(list)
    diff_batches = batches(size, top_diffs) if top_diffs else iter(())
    for batch in batches(size, inputs):
        _collect(values, forward(**batch))
        _collect(gradients, backward(**next(diff_batches, {})))
    return _joined(values, inputs), _joined(gradients, inputs)


def _collect(found: dict[str, list[Array]], arrays: Mapping[str, Array]) -> None:
    """Add copies of a batch's arrays: the blobs are overwritten by the next batch."""
    for name, array in arrays.items():
        found[name].append(array.copy())


def _joined(found: Mapping[str, list[Array]], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The batches one after another, without the padding.

    A scalar output, such as a loss, gives one value for each batch.
    """
    total = len(next(iter(inputs.values())))
    return {
        name: np.concatenate([np.atleast_1d(part) for part in parts])[:total]
        for name, parts in found.items()
    }
