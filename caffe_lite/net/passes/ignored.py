"""Warnings of fields that have no effect here, each once, with its position in the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from caffe_lite.layers.base import Layer
from caffe_lite.proto.nodes import Node
from caffe_lite.proto.schema import is_core

_log = logging.getLogger("caffe_lite.net")


def report_ignored(node: Node, layer: Layer) -> None:
    """Warn of each field of a layer that neither the layer nor the net reads.

    These are the fields of other Caffes, and parameter messages of other layer types.
    """
    for path in ignored_fields(node, layer):
        place = node.where.at(path) if node.where else None
        prefix = f"{place}: " if place else ""
        _log.warning("%s%s: %s has no effect here", prefix, node.label(), path)


def ignored_fields(node: Node, layer: Layer) -> Iterator[str]:
    """The paths, below the LayerParameter, of the fields that are not read."""
    for field, value in node.param.ListFields():
        if field.name == layer.config_field:
            if is_core(field):
                yield from _foreign(value, f"{field.name}.", layer.heeds)
        elif field.name in layer.heeds:
            continue
        elif not is_core(field) or _of_another_type(field.name):
            yield field.name
        elif field.name in _COMMON_MESSAGES:
            for index, item in enumerate(value if field.name != "transform_param" else [value]):
                yield from _foreign(item, f"{field.name}[{index}].", frozenset())


_COMMON_MESSAGES = ("param", "include", "exclude", "transform_param")


def _of_another_type(name: str) -> bool:
    return name.endswith("_param") and name not in ("transform_param", "loss_param")


def _foreign(message: Any, prefix: str, heeded: frozenset[str]) -> Iterator[str]:
    for field, _ in message.ListFields():
        if not is_core(field) and field.name not in heeded:
            yield prefix + field.name
