"""The supported versions of Python that this machine has, one a line: "3.10 /usr/bin/python3.10".

Supported are the versions that setup.cfg names in its classifiers.  They are looked for as
python3.X on the path, and among those that pyenv has installed.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLASSIFIER = re.compile(r"^Programming Language :: Python :: (3\.\d+)$", re.MULTILINE)


def settings() -> configparser.ConfigParser:
    """The sections of setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def supported() -> list[str]:
    """The versions of Python that setup.cfg names, the oldest first."""
    found = CLASSIFIER.findall(settings()["metadata"]["classifiers"])
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def _candidates(version: str) -> Iterator[str]:
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        yield sys.executable
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))


def find(version: str) -> str | None:
    """A Python of this version; None if the machine has none."""
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
    for program in _candidates(version):
        done = subprocess.run([program, "-c", show], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:  # pyenv's python3.X on the path may lead nowhere
            return program
    return None


def main() -> int:
    """Print them."""
    for version in supported():
        program = find(version)
        if program:
            print(version, program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
