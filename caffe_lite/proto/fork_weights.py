"""What a private fork has written into a layer of its .caffemodel: named, and kept as text.

A binary file has numbers, no names.  A program that registers a layer type with the fork's schema
says which field has which number; other numbers stay with the layer as they are.
"""

from __future__ import annotations

import io
import re
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from caffe_lite.errors import WeightsError
from caffe_lite.proto import caffe_pb2, private_fields
from caffe_lite.proto.fields import is_repeated


def name_fields(layer: caffe_pb2.LayerParameter) -> None:
    """Add the fields that were registered with the layer's type to its `unknown_field`, in place.

    Does nothing for types that were registered without the fork's LayerParameter.  A field that
    `unknown_field` has already, as in files of this program, stays as it is.  Raises WeightsError
    if the layer is not one of the fork's.
    """
    fork = private_fields.fork_of(layer.type)
    if fork is None:
        return
    message: Any = fork.layer()
    try:
        message.ParseFromString(layer.SerializePartialToString())
    except DecodeError:
        raise WeightsError(
            f'layer "{layer.name}" ({layer.type}) is not one of the fork\'s schema that was '
            "registered with its type"
        ) from None
    kept = {re.sub(r"\[\d+\]", "", each.name) for each in layer.unknown_field}
    for path in fork.paths:
        if path not in kept:
            for name, written in _written(message, path):
                layer.unknown_field.add(name=name, text=written)
            _clear_namesake(layer, message, path)


def _written(message: Any, path: str, above: str = "") -> list[tuple[str, str]]:
    """The fields of this path below `message`, each with what follows its name in a prototxt."""
    name, _, rest = path.partition(".")
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        return []
    many = is_repeated(field)
    if not many and not message.HasField(name):
        return []
    values = getattr(message, name) if many else [getattr(message, name)]
    if not rest:
        return [(above + name, _text_of(field, value)) for value in values]
    found = []
    for index, value in enumerate(values):
        step = f"{name}[{index}]." if many else f"{name}."
        found += _written(value, rest, above + step)
    return found


def _text_of(field: Any, value: Any) -> str:
    out = io.StringIO()
    text_format.PrintField(field, value, out, as_utf8=True)
    return out.getvalue().removeprefix(field.name).rstrip()


def _clear_namesake(layer: caffe_pb2.LayerParameter, message: Message, path: str) -> None:
    """Clear what was read as another field, which has the number of the fork's."""
    own: Any = message.DESCRIPTOR.fields_by_name.get(path)
    namesake = own and layer.DESCRIPTOR.fields_by_number.get(own.number)
    if namesake is not None and namesake.name != path:
        layer.ClearField(namesake.name)
