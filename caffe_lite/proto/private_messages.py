"""Message classes from a .proto file of a private fork, compiled when a program registers it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError, Message

from caffe_lite import arguments, reading
from caffe_lite.arguments import ArgumentError
from caffe_lite.errors import PrototxtError
from caffe_lite.proto.schema import message_class

_LAYER = "LayerParameter"


def load(proto: str | os.PathLike[str], field: str, message: str | None = None) -> type[Message]:
    """The class of the message in a file that the field `field` of a layer has.

    `proto` is a file that ends in .proto, which needs the package grpcio-tools, or what
    ``protoc -o`` makes of one (with ``--include_imports`` if it imports others).  Without
    `message`, its name, it is the type of that field in the file's LayerParameter, else the
    message that is named like the field (gate_param: GateParameter), else the only one.  Raises
    PrototxtError for a file that cannot be read or compiled, ArgumentError if it does not have the
    message.
    """
    path = arguments.path(proto, "proto")
    try:
        content = reading.read_bytes(path, reading.LARGEST_TEXT)
    except OSError as error:
        raise PrototxtError(f"{path}: cannot be read: {error.strerror}") from None
    if Path(path).suffix != ".proto":
        return _class_in(_files(path, content), path, field, message)
    return _class_in(_files(path, _compile(Path(path))), path, field, message)


def _files(path: str, content: bytes) -> list[FileDescriptorProto]:
    try:
        files = list(FileDescriptorSet.FromString(content).file)
    except DecodeError:
        files = []
    if not files:
        raise PrototxtError(f"{path}: is neither a .proto file nor what protoc -o makes of one")
    return files


def _compile(path: Path) -> bytes:
    """What protoc makes of a .proto file, with the files that it imports."""
    if importlib.util.find_spec("grpc_tools") is None:
        raise PrototxtError(
            f"{path}: compiling a .proto file needs the package grpcio-tools: "
            "pip install 'caffe_lite[proto]'"
        )
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder, "compiled")
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{path.parent}"]
        command += ["--include_imports", f"-o{compiled}", path.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "warning" not in line]
            reason = next((line for line in lines if path.name in line), "protoc refuses it")
            raise PrototxtError(f"{path.parent / ''}{os.sep}{reason}".replace("./", "", 1))
        return compiled.read_bytes()


def _class_in(
    files: list[FileDescriptorProto], path: str, field: str, message: str | None
) -> type[Message]:
    pool: Any = descriptor_pool.DescriptorPool()
    try:
        for file in files:
            pool.AddSerializedFile(file.SerializeToString())
        last = pool.FindFileByName(files[-1].name)  # protoc puts it after those that it imports
    except (TypeError, KeyError) as error:
        raise PrototxtError(f"{path}: {str(error).splitlines()[0]}") from None
    known = last.message_types_by_name
    layer = known.get(_LAYER)
    camel = "".join(word.capitalize() for word in field.removesuffix("_param").split("_"))
    if message is not None:
        found = known.get(message)
    elif layer is not None and field in layer.fields_by_name:
        found = layer.fields_by_name[field].message_type
    else:
        alike = {name.lower(): each for name, each in known.items()}
        found = alike.get(f"{camel}Parameter".lower())
        if found is None and len(known) == 1:
            (found,) = known.values()
    if found is None:
        wanted = message or f"{camel}Parameter"
        raise ArgumentError(
            f"{path} has no message {wanted}; it has {', '.join(known) or 'none'}: "
            "give the name as message"
        )
    return message_class(found)
