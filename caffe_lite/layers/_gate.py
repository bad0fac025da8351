"""The gate before a layer's kernels, which trust the shapes and types of the arrays they get.

A program may reshape any blob, share its memory or replace it at any time.  Each function compares
what is there with what the layer was prepared for, and raises LayerError for what does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffe_lite.blob import Blob, Shape
from caffe_lite.errors import LayerError
from caffe_lite.layers.declarations import Buffer, Buffers, Param


def check_blobs(
    what: str,
    blobs: Sequence[Blob],
    shapes: Sequence[Shape],
    names: Sequence[str],
    dtype: np.dtype[Any],
) -> None:
    """Bottoms or tops (`what`) have these shapes, and elements of this type."""
    for index, (blob, shape) in enumerate(zip(blobs, shapes, strict=True)):
        name, field = name_of(index, names), f".{what}[{index}]"
        if blob.shape != shape:
            raise LayerError(
                f"{what} {name} has been reshaped from {shape} to {blob.shape} since the last "
                "forward; run forward again",
                field,
            )
        _check_dtype(blob, dtype, f"{what} {name}", field)


def check_parameters(
    blobs: Sequence[Blob], declared: Sequence[tuple[Param, Blob]], dtype: np.dtype[Any]
) -> None:
    """A layer's parameters are the blobs that were made, with the shapes that it declared."""
    if declared and len(blobs) != len(declared):
        raise LayerError(f"has {len(blobs)} parameters now, but was built with {len(declared)}")
    for index, (param, blob) in enumerate(declared):
        what = f"its parameter {index} ({param.name})"
        if blobs[index] is not blob:
            raise LayerError(f"{what} was replaced by another blob; write into its data")
        if blob.shape != tuple(param.shape):
            raise LayerError(
                f"{what} has been reshaped to {blob.shape}, but the layer needs "
                f"{tuple(param.shape)}"
            )
        _check_dtype(blob, dtype, what, None)


def check_buffers(arrays: Buffers, declared: Mapping[str, Buffer], dtype: np.dtype[Any]) -> None:
    """A layer's buffers have the shapes and types that it declared; dtype: that of its net."""
    for name, buffer in declared.items():
        array = getattr(arrays, name)
        wanted = buffer.dtype_in(dtype)
        if array.shape != tuple(buffer.shape) or array.dtype != wanted:
            raise LayerError(
                f"its buffer {name} has shape {array.shape} and {array.dtype}, but the layer "
                f"needs {tuple(buffer.shape)} and {wanted}"
            )


def name_of(index: int, names: Sequence[str]) -> str:
    """A blob's name in quotes, or its index where the prototxt names none."""
    return f'"{names[index]}"' if index < len(names) else str(index)


def _check_dtype(blob: Blob, dtype: np.dtype[Any], what: str, field: str | None) -> None:
    for found in (blob.dtype, blob.diff_dtype):
        if found != dtype:
            raise LayerError(f"{what} has elements of {found}, not {dtype}", field)
