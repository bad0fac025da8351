"""What must be the same on all ranks before they begin: the version and the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from caffe_lite import reading
from caffe_lite.distributed import ending
from caffe_lite.distributed.group import Group
from caffe_lite.errors import CaffeError

VERSION = "version"
"""The fact that is compared first."""


def digest(source: str | os.PathLike[str] | bytes) -> str:
    """The SHA-256 of a file, or of bytes.  Raises CaffeError if the file cannot be read."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        return reading.sha256(source)
    except OSError as error:
        raise CaffeError(f"{os.fspath(source)}: cannot be read: {error.strerror}") from None


def agree(group: Group, facts: Mapping[str, str]) -> None:
    """Refuse a rank whose facts are not rank 0's: `VERSION`, and digests by the files' names.

    Raises CaffeError, on all ranks, that names the first such rank and its machine.
    """
    every = group.all_gather((group.host, dict(facts)))
    host, first = every[0]
    for rank, (other, theirs) in enumerate(every):
        for name in sorted(first.keys() | theirs.keys(), key=lambda name: (name != VERSION, name)):
            if first.get(name) != theirs.get(name):
                here, there = f"rank {rank} on {other}", f"rank 0 on {host}"
                ending.note_speaker(group.is_root)
                raise CaffeError(_difference(name, here, theirs, there, first))


def _difference(
    name: str, here: str, theirs: Mapping[str, str], there: str, first: Mapping[str, str]
) -> str:
    if name == VERSION:
        return (
            f"{here} has caffe_lite {theirs[name]}, but {there} {first[name]}: install the same "
            "version on all machines"
        )
    if name not in theirs or name not in first:
        who, other = (there, here) if name in first else (here, there)
        return f"{who} has {name}, but {other} does not: start all ranks with the same files"
    return (
        f"{name}: differs between {here} (sha256 {theirs[name][:12]}…) and {there} "
        f"({first[name][:12]}…): all ranks need the same"
    )
