"""Caffe's file formats: the schema, the prototxt parser, upgrades of old files, read and write."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caffe_lite.proto import caffe_pb2 as caffe_pb2


def __getattr__(name: str) -> Any:
    if name != "caffe_pb2":  # programs use caffe.proto.caffe_pb2 after a mere `import caffe`
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
