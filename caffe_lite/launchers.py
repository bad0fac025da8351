"""Caffe's programs under the names that shell scripts call them by.

A launcher is a small script for the POSIX shell, which runs a command of this program with the
Python that made it.  The folders are those of a Caffe that was built with make: `build/tools` and
`build/examples`, with and without the suffix `.bin`, and `.build_release`, of which make made
`build` a link.  The plain names are in the folder itself too, for PATH.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from caffe_lite import arguments
from caffe_lite.errors import CaffeError
from caffe_lite.proto.atomic import replacing

TOOLS = {
    "caffe": "",  # its first argument is the command
    "compute_image_mean": "compute_image_mean",
    "convert_imageset": "convert_imageset",
    "device_query": "device_query",
    "extract_features": "extract_features",
    "upgrade_net_proto_binary": "upgrade_net_proto_binary",
    "upgrade_net_proto_text": "upgrade_net_proto_text",
    "upgrade_solver_proto_text": "upgrade_solver_proto_text",
}
"""The programs of Caffe's folder tools, and the commands that they run."""

REPLACED = ("finetune_net", "net_speed_benchmark", "test_net", "train_net")
"""Programs that older versions had in tools: as the last versions, they say what replaces them."""

EXAMPLES = {
    "cifar10/convert_cifar_data": "convert_cifar_data",
    "cpp_classification/classification": "classify",
    "mnist/convert_mnist_data": "convert_mnist_data",
    "siamese/convert_mnist_siamese_data": "convert_mnist_siamese_data",
}
"""The programs of Caffe's folder examples, and the commands that they run."""

_MARK = "# Made by caffe-lite install_names."
# `python -m` and `python -c` import from the current folder too, which may hold any file
_PROGRAM = (
    "import sys; sys.path = [path for path in sys.path if path]; "
    "from caffe_lite.__main__ import main; main()"
)


def install(folder: str | os.PathLike[str], force: bool = False) -> list[str]:
    """Make the launchers in a folder, which is made too; the files' paths in it, in order.

    Launchers that are there are replaced.  Raises CaffeError, before anything is written, for
    another file in the place of a launcher, unless `force` lets it be replaced.
    """
    root = Path(arguments.path(folder, "the folder"))
    if not sys.executable:
        raise CaffeError("it is not known which Python runs this program")
    linked = _links_build(root)
    wanted = dict(_launchers(linked))
    for name in wanted:
        _refuse_replacing(root / name, force)
    for name, command in wanted.items():
        _write(root / name, launcher(sys.executable, command))
    if linked and not os.path.lexists(root / ".build_release"):
        (root / ".build_release").symlink_to("build", target_is_directory=True)
    return list(wanted)


def launcher(python: str, command: str) -> str:
    """The script that runs a command, or for "" the one its first argument names."""
    words = shlex.join([python, "-c", _PROGRAM, *([command] if command else [])])
    return f'#!/bin/sh\n{_MARK}\nexec {words} "$@"\n'


def _launchers(linked: bool) -> Iterator[tuple[str, str]]:
    """The paths of all launchers below the folder, and the command of each."""
    yield from TOOLS.items()
    for name, command in EXAMPLES.items():
        yield name.rpartition("/")[2], command
    for build in ("build",) if linked else ("build", ".build_release"):
        tools = {**TOOLS, **dict(zip(REPLACED, REPLACED, strict=True))}
        for part, programs in ("tools", tools), ("examples", EXAMPLES):
            for name, command in programs.items():
                for suffix in "", ".bin":
                    yield f"{build}/{part}/{name}{suffix}", command


def _links_build(root: Path) -> bool:
    """Whether .build_release and build are, or can become, the same folder."""
    release, build = root / ".build_release", root / "build"
    if os.path.lexists(release):
        return build.exists() and release.exists() and release.samefile(build)
    return os.name == "posix"


def _refuse_replacing(path: Path, force: bool) -> None:
    if path.is_dir():
        raise CaffeError(f"{path} is a folder, where a program of that name would be made")
    if force or not os.path.lexists(path):
        return
    try:
        with open(path, "rb") as file:
            ours = _MARK.encode() in file.read(256)
    except OSError:
        ours = False
    if not ours:
        raise CaffeError(
            f"{path} is there and was not made by this command; -force replaces it and all others"
        )


def _write(path: Path, script: str) -> None:
    """Write an executable file; a link in its place is replaced, not what it names."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        with replacing(path) as temporary:
            temporary.write_bytes(os.fsencode(script))
            with suppress(NotImplementedError):
                temporary.chmod(0o777 & ~_umask())
    except OSError as error:
        raise CaffeError(f"{path}: cannot be made: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
