"""What a Python layer is told in its net: `param_str`."""

from __future__ import annotations

import ast
from types import SimpleNamespace
from typing import Any


def read(param_str: str, **defaults: Any) -> SimpleNamespace:
    """The settings in a `param_str`, lines of ``'name': value``; others have their defaults.

    These lines are YAML, of which this reads what the nets of py-faster-rcnn use.  Raises
    ValueError for a line of another form and for a name that has no default.
    """
    given: dict[str, Any] = {}
    for line in param_str.splitlines():
        try:
            given |= ast.literal_eval("{" + line.replace("!!python/tuple", "") + "}")
        except (SyntaxError, TypeError, ValueError):
            raise ValueError(f"param_str has {line!r}; write 'name': value on a line") from None
    for name in given:
        if name not in defaults:
            raise ValueError(f"param_str has {name!r}; there are {', '.join(defaults)}")
    return SimpleNamespace(**defaults | given)
