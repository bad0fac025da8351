"""What a Python layer is told in its net: `param_str`."""

from __future__ import annotations

import ast
from types import SimpleNamespace
from typing import Any

import caffe_lite as caffe


def read(layer: caffe.Layer, **defaults: Any) -> SimpleNamespace:
    """The settings in a layer's `param_str`, lines of ``'name': value``; others have defaults.

    These lines are YAML, of which this reads what the nets of py-faster-rcnn use.  A line of
    another form, and a name that has no default, are errors at the layer.
    """
    given: dict[str, Any] = {}
    for line in layer.param_str.splitlines():
        try:
            given |= ast.literal_eval("{" + line.replace("!!python/tuple", "") + "}")
        except (SyntaxError, TypeError, ValueError):
            message = f"param_str has {line!r}; write 'name': value on a line"
            layer.require(False, "param_str", message)
    for name in given:
        known = ", ".join(defaults)
        layer.require(name in defaults, "param_str", f"param_str has {name!r}; there are {known}")
    return SimpleNamespace(**defaults | given)
