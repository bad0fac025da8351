"""Build the sdist and the wheel, look at what is in them, install and try both.

    python tools/check_package.py

Everything happens in temporary folders: a new clone is built by `python -m build`, and each result
is installed into a virtual environment of its own.  No net is trained.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "Scripts" if sys.platform == "win32" else "bin"
LINK = re.compile(r"\]\(([^)#\s]+)")
FILES = "https://github.com/caffe-lite/caffe_lite/blob/main/"
SLICE = ["tests/proto", "tests/test_architecture.py"]

TRY = """
import importlib.metadata, sys
import caffe_lite
version = importlib.metadata.version("caffe_lite")
assert version == caffe_lite.__version__, version
assert sys.prefix in caffe_lite.__file__, caffe_lite.__file__
for name in caffe_lite.__all__:
    getattr(caffe_lite, name)
assert len(caffe_lite.layer_type_list()) > 50
assert caffe_lite.proto.caffe_pb2.LayerParameter(name="a").name == "a"
print("caffe_lite", version)
"""


def run(words: list[str], folder: Path, **variables: str) -> str:
    """The output of a program; SystemExit with all that it printed when it fails."""
    print("+", *(word for word in words if "\n" not in word), flush=True)
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nfailed: {' '.join(words)}")
    return done.stdout


def environment(folder: Path, *packages: str) -> Path:
    """A new virtual environment with `packages`; returns the folder of its programs."""
    run([sys.executable, "-m", "venv", str(folder)], folder.parent)
    programs = folder / FOLDER
    run([str(programs / "python"), "-m", "pip", "install", "-q", *packages], folder)
    return programs


def compare(what: str, found: set[str], wanted: set[str]) -> None:
    """SystemExit unless both are the same set of files."""
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    if missing or extra:
        raise SystemExit(f"{what}: missing {missing}, not expected {extra}")
    print(f"{what}: {len(found)} files")


def check_sdist(path: Path, tracked: set[str]) -> None:
    """It holds every file that git tracks, but for those whose path begins with a dot."""
    with tarfile.open(path) as archive:
        names = {member.name for member in archive.getmembers() if member.isfile()}
    found = {name.partition("/")[2] for name in names}
    generated = {name for name in found if name == "PKG-INFO" or ".egg-info/" in name}
    compare(path.name, found - generated, {name for name in tracked if not name.startswith(".")})


def check_wheel(path: Path, tracked: set[str]) -> None:
    """It holds the package, its licence, and a description whose links work on PyPI."""
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    described = {name for name in names if ".dist-info/" in name}
    compare(path.name, names - described, {n for n in tracked if n.startswith("caffe_lite/")})
    if not any(name.endswith("LICENSE") for name in described):
        raise SystemExit(f"{path.name}: has no LICENSE")
    links = LINK.findall(text)
    own = [link.removeprefix(FILES) for link in links if link.startswith(FILES)]
    lost = [link for link in links if "://" not in link] + sorted(set(own) - tracked)
    if lost or not own:
        raise SystemExit(f"{path.name}: links of the README that lead nowhere on PyPI: {lost}")
    if "Project-URL: Source" not in text:
        raise SystemExit(f"{path.name}: has no project URLs")


def try_it(programs: Path, folder: Path) -> None:
    """Import what is installed and run its program, outside of the project."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    run([str(programs / "python"), "-m", "pip", "check"], empty)
    print(run([str(programs / "python"), "-c", TRY], empty), end="")
    shown = run([str(programs / "caffe-lite"), "--help"], empty)
    if "convert_imageset" not in shown:
        raise SystemExit(f"caffe-lite --help shows no commands:\n{shown}")


def main() -> int:
    """Build, look, install, try."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tree = folder / "tree"
        run(["bash", str(ROOT / ".ci" / "fresh_tree"), str(tree)], ROOT)
        tracked = set(run(["git", "ls-files"], tree).splitlines())
        build = environment(folder / "build", "build")
        run([str(build / "python"), "-m", "build", "--outdir", str(folder / "dist")], tree)
        (sdist,) = (folder / "dist").glob("*.tar.gz")
        (wheel,) = (folder / "dist").glob("*.whl")
        check_sdist(sdist, tracked)
        check_wheel(wheel, tracked)
        try_it(environment(folder / "from_wheel", str(wheel)), folder)
        programs = environment(folder / "from_sdist", str(sdist), "pytest")
        try_it(programs, folder)
        with tarfile.open(sdist) as archive:
            archive.extractall(folder / "sdist")
        (unpacked,) = (folder / "sdist").iterdir()
        words = [str(programs / "python"), "-m", "pytest", "-q", *SLICE]
        print(run(words, unpacked, NUMBA_DISABLE_JIT="1").splitlines()[-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
