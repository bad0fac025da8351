from __future__ import annotations

from caffe_lite.proto import caffe_pb2, text
from caffe_lite.proto.nodes import NetSource, from_message


def source(prototxt: str) -> NetSource:
    """A net written in a test; its file is called ``net``."""
    param = caffe_pb2.NetParameter()
    where = text.parse(prototxt, param, "net")
    return from_message(param, where, "net")
