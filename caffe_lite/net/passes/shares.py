"""Batches divided among ranks: each source takes its part of the `batch_size` in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_lite.layers.base import Layer, Source
from caffe_lite.net.errors import net_error
from caffe_lite.proto.nodes import Node


def divide_batches(nodes: Sequence[Node], classes: Sequence[type[Layer]], ranks: int) -> None:
    """Divide what the sources' fields say of the batch by the number of ranks.

    Raises NetError for a batch that cannot be divided.
    """
    for node, cls in zip(nodes, classes, strict=True):
        if not issubclass(cls, Source) or cls.config_field is None:
            continue
        for message, field, index, path in _batch_fields(getattr(node.param, cls.config_field)):
            size = getattr(message, field) if index is None else getattr(message, field)[index]
            part, rest = divmod(size, ranks)
            if rest:
                raise net_error(
                    node,
                    f"{cls.config_field}.{path}",
                    f"a batch of {size} cannot be divided among {ranks} ranks; use a multiple of "
                    f"{ranks}, such as {size - rest + ranks}",
                )
            if index is None:
                setattr(message, field, part)
            else:
                getattr(message, field)[index] = part


def _batch_fields(config: object) -> Iterator[tuple[object, str, int | None, str]]:
    """The numbers of a source's message that are the size of its batch.

    For each the message, the field, the index in a repeated one, and the path from the config on.
    DummyData has no batch_size: there they are the first sizes of its shapes.
    """
    if hasattr(config, "batch_size"):
        yield config, "batch_size", None, "batch_size"
    elif hasattr(config, "data_filler"):
        for index in range(len(config.num)):  # type: ignore[attr-defined]
            yield config, "num", index, f"num[{index}]"
        for number, shape in enumerate(config.shape):  # type: ignore[attr-defined]
            if shape.dim:
                yield shape, "dim", 0, f"shape[{number}].dim[0]"
