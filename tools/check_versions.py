"""Try the oldest and the newest versions of the dependencies that setup.cfg allows.

    python tools/check_versions.py                  all that follows
    python tools/check_versions.py oldest           each at its lower bound, on the oldest Python
    python tools/check_versions.py newest           each as new as pip finds it, on every Python
    python tools/check_versions.py -pythons 3.12    on these Pythons only
    python tools/check_versions.py -quick           a few tests as plain Python, in a minute or two

Each gets a new virtual environment and a copy of the project, in which .ci/slice runs: the
README's first command and a slice of the tests.  A table at the end says what passed.  It takes
some minutes for each, most of them to compile, and needs a package index, so it is not part of CI.
Pythons are those that tools/pythons.py finds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import pythons

ROOT = pythons.ROOT
EXTRAS = ["draw", "leveldb", "onnx", "plot"]
"""The extras whose bounds are tried too."""
QUICK = [
    "tests/proto",
    "tests/net/test_fuse.py",
    "tests/solver/test_solver.py",
    "tests/data/test_db.py",
    "tests/data/test_hdf5.py",
    "tests/data/test_images.py",
]
"""Tests of all that a dependency gives us."""
BOUND = re.compile(r"^([\w.-]+)\s*>=\s*([\d.]+)")
FOLDER = "Scripts" if sys.platform == "win32" else "bin"


def lower_bounds() -> list[str]:
    """``name==bound`` for each dependency, and for those of `EXTRAS`, of setup.cfg."""
    settings = pythons.settings()
    lines = settings["options"]["install_requires"].splitlines()
    for extra in EXTRAS:
        lines += settings["options.extras_require"][extra].splitlines()
    found = [match for line in lines if (match := BOUND.match(line.strip()))]
    if len(found) != sum(bool(line.strip()) for line in lines):
        raise SystemExit(
            "setup.cfg: every dependency must have a lower bound, as in numpy >= 1.24"
        )
    return [f"{match[1]}=={match[2]}" for match in found]


def run(words: list[str], folder: Path, **variables: str) -> None:
    """Run a program and show it; SystemExit when it fails."""
    print("+", " ".join(words), flush=True)
    if subprocess.run(words, cwd=folder, env=os.environ | variables, check=False).returncode:
        raise SystemExit(f"failed: {' '.join(words)}")


def check(which: str, version: str, folder: Path, quick: bool) -> None:
    """Make an environment with the oldest or the newest versions and run the slice in it."""
    python = pythons.find(version)
    if python is None:
        raise SystemExit(f"this machine has no Python {version}")
    environment = folder / f"{which}-{version}"
    run([python, "-m", "venv", str(environment)], folder)
    programs = environment / FOLDER
    own = str(programs / "python")
    tree = folder / f"{which}-{version}-tree"
    run(["bash", str(ROOT / ".ci" / "fresh_tree"), str(tree)], ROOT)
    wanted = lower_bounds() if which == "oldest" else []
    constraints = folder / f"{which}.txt"
    constraints.write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
    project = f".[{','.join(EXTRAS)}]"
    run([own, "-m", "pip", "install", "-q", "-c", str(constraints), project, *wanted], tree)
    run([own, "-m", "pip", "list"], tree)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    # old packages use what new ones have deprecated; with the newest a warning is an error
    quiet = "-W ignore::DeprecationWarning" if which == "oldest" else ""
    settings = {"PATH": path, "VIRTUAL_ENV": str(environment), "PYTEST_ADDOPTS": quiet}
    if quick:
        run([own, "-m", "pip", "install", "-q", "pytest>=8.2"], tree)
        run([own, "-m", "pytest", "-q", *QUICK], tree, NUMBA_DISABLE_JIT="1", **settings)
    else:
        run(["bash", ".ci/slice"], tree, **settings)


def chosen(which: str | None, versions: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of oldest or newest and a Python: the oldest versions are for the oldest Python."""
    at_hand = [version for version in pythons.supported() if pythons.find(version)]
    wanted = list(versions) or at_hand
    pairs = [("oldest", version) for version in (versions or pythons.supported()[:1])]
    pairs += [("newest", version) for version in wanted]
    return [pair for pair in pairs if which in (None, pair[0])]


def main() -> int:
    """Check what the command line names; returns 1 if something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("which", nargs="?", choices=["oldest", "newest"])
    parser.add_argument("-pythons", nargs="+", default=[], choices=pythons.supported())
    parser.add_argument("-quick", action="store_true", help="a few tests, as plain Python")
    args = parser.parse_args()
    table = []
    for which, version in chosen(args.which, args.pythons):
        start, result = time.monotonic(), "passed"
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(which, version, Path(folder), args.quick)
            except SystemExit as error:
                result = str(error)
        seconds = time.monotonic() - start
        table.append(f"{which:7s} Python {version:5s} {seconds:6.0f} s  {result}")
    print("\n".join(table), flush=True)
    return int(not all(line.endswith("passed") for line in table))


if __name__ == "__main__":
    sys.exit(main())
