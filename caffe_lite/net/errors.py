"""Errors with the layer that they concern and its position in the file."""

from __future__ import annotations

from caffe_lite.errors import CaffeError, NetError, OutOfMemory
from caffe_lite.proto.nodes import Node


def located(error: CaffeError | MemoryError, node: Node, config_field: str | None) -> CaffeError:
    """An error that a layer raised, with the layer's name and the position of the field at fault.

    `error.field` is a path below the field `config_field`, the layer's own parameter message, or,
    with a leading dot, below its LayerParameter.  A MemoryError becomes an OutOfMemory.
    """
    if isinstance(error, MemoryError):
        error = OutOfMemory(f"there is no more memory: {str(error) or 'use a smaller batch'}")
    field = error.field
    if node.where is None:
        return error.at(None, node.label())
    if not field:
        place = node.where.location
    elif field.startswith("."):
        place = node.where.at(field[1:])
    else:
        place = node.where.at(f"{config_field}.{field}" if config_field else field)
    return error.at(place, node.label())


def net_error(node: Node, field: str, message: str) -> NetError:
    """A NetError about a field of a layer's LayerParameter."""
    error = NetError(message)
    error.at(node.where and node.where.at(field), node.label())
    return error
