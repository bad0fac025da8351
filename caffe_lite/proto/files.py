"""Caffe's files: read into messages, written atomically.

    prototxt       read_net, read_solver,           write_text
                   read_net_as_written,
                   read_label_map
    .caffemodel    read_weights (also .h5)          write_message, write_weights_hdf5
    .solverstate   read_state (also .h5)            write_message, write_state_hdf5
    .binaryproto   read_blob                        write_message

A file's format is recognised by its content, never by its name.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, EncodeError, Message

from caffe_lite import arguments, reading
from caffe_lite.errors import (
    CaffeError,
    DataError,
    Location,
    PrototxtError,
    SolverError,
    WeightsError,
)
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.proto.atomic import write_atomically
from caffe_lite.proto.blobs import (
    LARGEST_MESSAGE,
    array_to_blob,
    blob_to_array,
    put_array,
    same_legacy_shape,
)
from caffe_lite.proto.fork_weights import name_fields
from caffe_lite.proto.hdf5 import (
    read_state_hdf5,
    read_weights_hdf5,
    write_state_hdf5,
    write_weights_hdf5,
)
from caffe_lite.proto.hdf5_files import is_hdf5
from caffe_lite.proto.nodes import NetSource, from_message
from caffe_lite.proto.upgrade import upgrade_in_place, upgrade_solver
from caffe_lite.proto.where import Where

__all__ = [
    "SolverSource",
    "array_to_blob",
    "blob_to_array",
    "is_hdf5",
    "put_array",
    "read_blob",
    "read_net",
    "read_net_as_written",
    "read_solver",
    "read_state",
    "read_text",
    "read_weights",
    "same_legacy_shape",
    "write_atomically",
    "write_message",
    "write_parts",
    "write_state_hdf5",
    "write_text",
    "write_weights_hdf5",
]

_Path = str | os.PathLike[str]
_M = TypeVar("_M", bound=Message)

_BEGINNINGS = {
    b"version https://git-lfs.github.com": "a Git LFS pointer, not the file itself: get it with "
    '"git lfs pull"',
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"PK\x03\x04": "a zip archive",
    b"\x93NUMPY": "a NumPy array",
    b"\xff\xfe": "text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "text in UTF-16: save it as UTF-8",
}
_WEIGHTS, _STATE, _BLOB = "a caffemodel", "a solverstate", "a binaryproto"
_HAS: dict[str, Callable[[Any], bool]] = {
    _WEIGHTS: lambda net: bool(net.layer or net.layers),
    _STATE: lambda state: state.HasField("iter"),
    _BLOB: lambda blob: bool(blob.data or blob.double_data or blob.raw_data),
}
"""The binary files, and what each must hold."""
_HTML = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
_NOT_TEXT = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HEAD = 4096


@dataclass(slots=True)
class SolverSource:
    """A solver, upgraded: its message, the positions of its fields, and the file's name."""

    param: caffe_pb2.SolverParameter
    where: Where | None = None
    file: str = ""


def read_net(path: _Path, allow_unknown_fields: bool = False) -> NetSource:
    """Read a net's prototxt of any schema.  Raises PrototxtError with the file position.

    `allow_unknown_fields` keeps fields that the schema does not know; each is reported once.
    """
    param = caffe_pb2.NetParameter()
    where = read_text(path, param, allow_unknown_fields)
    return from_message(param, where, os.fspath(path))


def read_net_as_written(
    path: _Path, content: bytes | None = None
) -> tuple[caffe_pb2.NetParameter, Where]:
    """A net's prototxt and the positions of its fields, before it is upgraded.

    `content`, if given, is what is read, and `path` only its name in errors.
    """
    param = caffe_pb2.NetParameter()
    return param, read_text(path, param, content=content)


def read_solver(path: _Path, allow_unknown_fields: bool = False) -> SolverSource:
    """Read a solver's prototxt, old or new.  Raises PrototxtError with the file position.

    `allow_unknown_fields` is that of `read_net`.
    """
    param = caffe_pb2.SolverParameter()
    where = read_text(path, param, allow_unknown_fields)
    file = os.fspath(path)
    return SolverSource(*upgrade_solver(param, where, file), file)


def read_weights(path: _Path, content: bytes | None = None) -> caffe_pb2.NetParameter:
    """Read a .caffemodel of any schema, or a .caffemodel.h5; the result's layers are in `layer`.

    `content`, if given, is what is read, a .caffemodel, and `path` only its name in errors.
    Fields that a program has registered with the schema of their private fork are in
    `unknown_field`, as in a net's prototxt.  Raises WeightsError for a file that is missing,
    damaged or of another format.
    """
    if content is None and is_hdf5(path):
        return read_weights_hdf5(path)
    net = _decode(path, caffe_pb2.NetParameter(), WeightsError, _WEIGHTS, content)
    try:
        upgrade_in_place(net)
        for layer in net.layer:
            name_fields(layer)
    except (PrototxtError, WeightsError) as error:
        raise WeightsError(f"{os.fspath(path)}: {error}") from error
    except UnicodeDecodeError:
        raise WeightsError(f"{os.fspath(path)}: holds a name that is not UTF-8") from None
    return net


def read_state(path: _Path) -> caffe_pb2.SolverState:
    """Read a .solverstate or .solverstate.h5.  Raises SolverError for any other file."""
    if is_hdf5(path):
        return read_state_hdf5(path)
    return _decode(path, caffe_pb2.SolverState(), SolverError, _STATE)


def read_blob(path: _Path) -> caffe_pb2.BlobProto:
    """Read a .binaryproto: one blob, such as a mean.  Raises DataError for any other file."""
    return _decode(path, caffe_pb2.BlobProto(), DataError, _BLOB)


def read_label_map(path: _Path) -> caffe_pb2.LabelMap:
    """The label map of a prototxt; raises PrototxtError for any other file."""
    message = caffe_pb2.LabelMap()
    read_text(path, message)
    return message


def read_text(
    path: _Path,
    message: Message,
    allow_unknown_fields: bool = False,
    content: bytes | None = None,
    unknown: list[text.UnknownField] | None = None,
) -> Where:
    """Read a prototxt into `message`, as it is written; returns the positions of its fields.

    `content`, if given, is what is read, and `path` only its name in errors; `unknown` is that of
    `text.parse`.  Raises PrototxtError, with the position, for a file that is none.
    """
    content = _read(path, PrototxtError, "a prototxt", reading.LARGEST_TEXT, content)
    head = content[:_HEAD]
    kind = _recognise(head)
    binary = _NOT_TEXT.search(head)
    if kind is None and binary and b"\0" in head:
        kind = f"{_binary_kind(content) or 'binary'}, where a prototxt is expected"
    if kind is not None:
        start = binary.start() if binary else 0
        line = head.count(b"\n", 0, start) + 1
        column = start - head.rfind(b"\n", 0, start)
        raise PrototxtError(f"this is {kind}", Location(os.fspath(path), line, column))
    decoded = content.decode("utf-8", "surrogateescape")
    return text.parse(decoded, message, os.fspath(path), allow_unknown_fields, unknown)


def write_message(path: _Path, message: Message) -> None:
    """Write a message in binary.  Raises WeightsError if it is over protobuf's limit of 2 GB."""
    write_parts(path, [message])


def write_parts(
    path: _Path, parts: Iterable[Message], check: Callable[[Path], None] | None = None
) -> None:
    """Write a message part by part, so that only one part is in memory at a time.

    The encoding of a message is the concatenation of the encodings of its parts.  `check` is given
    the complete file before it takes its place.  Raises WeightsError if the sum is over protobuf's
    limit of 2 GB.
    """

    def write(temporary: Path) -> None:
        _write_parts(path, parts, temporary)
        if check is not None:
            check(temporary)

    write_atomically(path, write)


def _write_parts(path: _Path, parts: Iterable[Message], temporary: Path) -> None:
    with temporary.open("wb") as file:
        for part in parts:
            try:
                file.write(part.SerializeToString())
            except EncodeError as error:
                raise WeightsError(f"{os.fspath(path)}: cannot be encoded: {error}") from error
            if file.tell() > LARGEST_MESSAGE:
                raise WeightsError(
                    f"{os.fspath(path)}: over 2 GB, the limit of a protobuf file; write "
                    "HDF5 (snapshot_format: HDF5)"
                )
            del part  # free its memory before the next one is made


def write_text(path: _Path, content: str) -> None:
    """Write a text file in UTF-8, atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content.encode())

    write_atomically(path, write)


def _decode(
    path: _Path, message: _M, error: type[CaffeError], what: str, content: bytes | None = None
) -> _M:
    content = _read(path, error, what, LARGEST_MESSAGE, content)
    kind = _recognise(content[:_HEAD])
    if kind is None and not _NOT_TEXT.search(content[:_HEAD]):
        kind = "text (a prototxt?)"
    if kind is not None:
        raise error(f"{os.fspath(path)}: expected {what}, but this is {kind}")
    if _is(message, content, what):
        return message
    kind = _binary_kind(content)
    if kind is not None:
        raise error(f"{os.fspath(path)}: expected {what}, but this is {kind}")
    raise error(
        f"{os.fspath(path)}: not {what}, damaged or truncated ({len(content)} bytes)"
    ) from None


def _is(message: Message, content: bytes, what: str) -> bool:
    """Parse the content into the message; whether it is one, and has what such a file has."""
    try:
        message.ParseFromString(content)
    except DecodeError:
        return False
    return _HAS[what](message)


def _binary_kind(content: bytes) -> str | None:
    """Which of Caffe's binary files it is, if it is one."""
    messages = {
        _WEIGHTS: caffe_pb2.NetParameter,
        _STATE: caffe_pb2.SolverState,
        _BLOB: caffe_pb2.BlobProto,
    }
    return next((what for what, kind in messages.items() if _is(kind(), content, what)), None)


def _read(
    path: _Path, error: type[CaffeError], what: str, limit: int, given: bytes | None
) -> bytes:
    """The bytes of a file, or those given, that are neither none nor over the limit."""
    file = arguments.path(path, what)
    try:
        content = reading.read_bytes(path, limit) if given is None else given
    except FileNotFoundError:
        raise error(f"{file}: no such file") from None
    except IsADirectoryError:
        raise error(f"{file}: is a folder; expected {what}") from None
    except OSError as problem:
        too_large = problem.errno == errno.EFBIG and limit == LARGEST_MESSAGE
        reason = f"over 2 GB, the limit of {what}; use HDF5"
        message = reason if too_large else f"cannot be read: {problem.strerror}"
        raise error(f"{file}: {message}") from None
    if not content:
        raise error(f"{file}: is empty; expected {what}")
    return content


def _recognise(head: bytes) -> str | None:
    """The format of a file that begins with `head`, if it is a common mistake for Caffe's."""
    if _HTML.match(head):
        return "a web page: download the file itself"
    return next((kind for start, kind in _BEGINNINGS.items() if head.startswith(start)), None)
