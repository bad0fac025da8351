"""Files that a net's layers write: where they may be.

A prototxt of somebody else's must not name any file of this machine as its output.  So a layer
writes in the current folder and below it, unless the net's user agrees to more.
"""

from __future__ import annotations

import os

_all_allowed = False

HOW = "any_output=True (in Python) or --allow-any-output (command line)"


def allow_any_output(allow: bool = True) -> None:
    """Let the layers of every net write and replace any file, in this whole process."""
    global _all_allowed
    _all_allowed = allow


def any_allowed(allowed: bool) -> bool:
    """Whether a layer may write and replace any file; `allowed` is what its net was told."""
    return allowed or _all_allowed


def problem_with(path: str, allowed: bool) -> str | None:
    """Why a layer may not write to `path`, links followed; None if it may."""
    folder = os.path.realpath(os.getcwd())
    try:
        inside = os.path.commonpath([folder, os.path.realpath(path)]) == folder
    except ValueError:  # another drive, or a name that no file can have
        inside = False
    if inside or any_allowed(allowed):
        return None
    return (
        f'would write to "{path}", outside of the current folder {folder}; if you trust this net, '
        f"allow it with {HOW}"
    )
