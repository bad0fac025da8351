"""Every message, enum and enum value of Caffe's schema, under pycaffe's module name."""

from __future__ import annotations

from caffe_lite.proto import schema

DESCRIPTOR = schema.FILE

__all__ = sorted(schema.NAMES)
globals().update(schema.NAMES)
