"""Try the oldest and the newest versions of the dependencies that setup.cfg allows.

    python tools/check_versions.py            both
    python tools/check_versions.py oldest     each at its lower bound, on the oldest Python
    python tools/check_versions.py newest     each as new as pip finds it, on the newest Python

Each gets a new virtual environment and a copy of the project, in which .ci/slice runs: the
README's first command and a slice of the tests.  It takes some minutes, most of them to compile,
and needs a package index, so it is not part of CI.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import pythons

ROOT = pythons.ROOT
EXTRAS = ["draw", "leveldb", "plot"]
"""The extras whose bounds are tried too."""
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


def check(which: str, folder: Path) -> None:
    """Make an environment with the oldest or the newest versions and run the slice in it."""
    version = pythons.supported()[0 if which == "oldest" else -1]
    python = pythons.find(version)
    if python is None:
        raise SystemExit(f"this machine has no Python {version}")
    start = time.monotonic()
    environment = folder / which
    run([python, "-m", "venv", str(environment)], folder)
    programs = environment / FOLDER
    own = str(programs / "python")
    tree = folder / f"{which}-tree"
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
    run(["bash", ".ci/slice"], tree, **settings)
    print(f"{which} versions on Python {version}: {time.monotonic() - start:.0f} s", flush=True)


def main() -> int:
    """Check what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("which", nargs="?", choices=["oldest", "newest"])
    which = parser.parse_args().which
    with tempfile.TemporaryDirectory() as folder:
        for each in [which] if which else ["oldest", "newest"]:
            check(each, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
