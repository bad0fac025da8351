"""Examples into a net: one batch into its blobs, or a whole set batch by batch, as in pycaffe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffe_lite import arguments
from caffe_lite.blob import Array, Shape
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


def fitted(values: Any, shape: Shape, name: str) -> Array:
    """The values of the input `name`, with as many axes as its blob, whose shape is `shape`.

    One item may lack the batch's axis, and a plane (height, width) that of its one channel.  A
    batch of any size fits, and images of any height and width; NetError for another number of
    axes, other channels, or no items.
    """
    array = arguments.numbers(values, f'"{name}"')
    item = array.shape
    image = len(shape) == 4
    if image and shape[1] == 1 and array.ndim == 2:
        array = array[np.newaxis, np.newaxis]
    elif array.ndim == len(shape) - 1 and (image or item == shape[1:]):
        array = array[np.newaxis]
    fits = array.ndim == len(shape) and array.size > 0
    if fits and (not image or array.shape[1] == shape[1] or _spreads(array, shape)):
        return array
    raise NetError(
        f'"{name}" has shape {item}, but the input takes {_described(shape)}{_hint(item, shape)}'
    )


def shape_of(array: Array, shape: Shape) -> Shape:
    """The shape that a blob of `shape` needs to take a fitted array.

    Its own if NumPy spreads one channel over all, as in pycaffe.
    """
    return shape if _spreads(array, shape) else array.shape


def _spreads(array: Array, shape: Shape) -> bool:
    """Whether an array differs from a blob's shape in its one channel only."""
    return len(shape) > 1 and array.shape == (shape[0], 1, *shape[2:])


def _described(shape: Shape) -> str:
    """What an input takes: (N, 3, H, W), with letters for the axes that may have any size."""
    if len(shape) == 4:
        return f"(N, {shape[1]}, H, W)"
    return f"{len(shape)} axes, such as {tuple(shape)}"


def _hint(item: Shape, shape: Shape) -> str:
    """What to do with an image whose channels come last."""
    if len(shape) != 4 or len(item) not in (3, 4) or item[-1] != shape[1]:
        return ""
    order = (2, 0, 1) if len(item) == 3 else (0, 3, 1, 2)
    return f"; put the channels first: array.transpose{order}"


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
