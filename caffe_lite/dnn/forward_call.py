"""Which of OpenCV's three functions `forward` a call means, by its arguments."""

from __future__ import annotations

from typing import Any

from caffe_lite import arguments
from caffe_lite.arguments import ArgumentError
from caffe_lite.dnn import conversions


def asked_of_forward(
    given: tuple[Any, ...], named: dict[str, Any]
) -> list[str] | tuple[str, bool]:
    """What a call asks for: a list of layers' names, or one name and whether all of its tops.

    Raises ArgumentError.
    """
    first = given[0] if given else None
    if "outBlobNames" in named or (conversions.is_sequence(first) and _holds_names(first)):
        bound = _bound(("outBlobNames", "outputBlobs"), given, named)
        return conversions.names(bound["outBlobNames"], "outBlobNames")
    several = conversions.is_sequence(first) or "outputBlobs" in named or len(given) > 1
    order = ("outputBlobs", "outputName") if several else ("outputName",)
    name = _bound(order, given, named).get("outputName")
    if name is not None and not isinstance(name, str):
        raise ArgumentError(
            f"forward takes the name of a layer or a list of them, not {arguments.described(name)}"
        )
    return name or "", several


def _holds_names(values: Any) -> bool:
    return len(values) > 0 and all(isinstance(each, str) for each in values)


def _bound(
    order: tuple[str, ...], given: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, Any]:
    """Arguments by name."""
    bound = dict(zip(order, given))
    unknown = [name for name in named if name not in order or name in bound]
    if unknown or len(given) > len(order):
        raise ArgumentError(f"forward takes {', '.join(order)}, not {', '.join(unknown) or given}")
    return {**bound, **named}
