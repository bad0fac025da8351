"""Whatever has happened to the cache's files, kernels compute the same, and later load again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="compiles nothing"
)
posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")

# Kernels and a callback.  `jit` imports none of the project's vector code, so that it is quick.
SCRIPT = """
import ctypes, sys
from numba.core import event

compiled = event.RecordingListener()
event.register("numba:compile", compiled)
from caffe_lite.kernels import compiling, jit
compiling.INTERVAL = 1e9  # it may take longer than a second, and that would be told

def multiplied(factor):
    @jit.jit
    def kernel(x):
        return factor * x
    return kernel

def halved(x):
    return x / 2

call = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(jit.callback("f8(f8)", halved).address)
found = [multiplied(factor)(7) for factor in range(8)] + [call(5.0)]
assert found == [0, 7, 14, 21, 28, 35, 42, 49, 2.5], found
print(len(compiled.buffer) // 2)
"""

COMPILED = 8
"""Kernels that the script compiles, as Numba counts them: it does not count callbacks."""


def start(folder: Path, **variables: str) -> subprocess.Popen[str]:
    script = folder.parent / "script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, **variables: str) -> tuple[int, str]:
    """How many kernels a process compiled, and what it said."""
    process = start(folder, **variables)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return int(out), err


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that is whole."""
    folder = tmp_path_factory.mktemp("filled") / "cache"
    assert run(folder) == (COMPILED, "")
    return folder


@pytest.fixture
def cache(filled: Path, tmp_path: Path) -> Path:
    # the script has the name and the text, so the function is the same
    return Path(shutil.copytree(filled, tmp_path / "cache", symlinks=True))


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def leaf(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


# -- damaged files -------------------------------------------------------------------------------


def flipped(at: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[round(at * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return damage


def cut(length: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(length * len(content))])

    return damage


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def replaced_by_another(path: Path) -> None:
    shutil.copy(next(other for other in files(path.parent) if other != path), path)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def dangling_link(path: Path) -> None:
    path.rename(path.with_name("gone"))
    path.symlink_to("nowhere")


def link_to_a_copy(path: Path) -> None:
    path.rename(path.parents[1] / f"outside {path.name}")
    path.symlink_to(path.parents[1] / f"outside {path.name}")


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    os.truncate(path, 1 << 40)  # sparse: it takes no space


def others_may_write(path: Path) -> None:
    path.chmod(0o666)


def unreadable(path: Path) -> None:
    path.chmod(0)


ANYWHERE = [
    flipped(0.0),
    flipped(0.01),
    flipped(0.5),
    flipped(1.0),
    cut(0.0),
    cut(0.5),
    cut(0.999),
    longer,
    replaced_by_another,
]
POSIX = [
    folder_instead,
    dangling_link,
    link_to_a_copy,
    pipe_instead,
    others_may_write,
    endless,
    unreadable,
    cut(0.001),
    flipped(0.9),
]


@pytest.mark.parametrize("damages", [ANYWHERE, pytest.param(POSIX, marks=posix)])
def test_bad_files_are_compiled_again_and_replaced(
    cache: Path, damages: list[Callable[[Path], None]]
) -> None:
    for path, damage in zip(files(cache), damages, strict=True):
        damage(path)
    compiled, said = run(cache)
    assert compiled >= len(damages) - (os.name == "posix" and os.geteuid() == 0) - 1
    assert said.count("\n") == 1
    assert "it is compiled again" in said
    assert run(cache) == (0, "")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this process alone."""
    from caffe_lite.kernels.cache import files as module

    monkeypatch.setattr(module, "usable_folder", lambda: tmp_path)
    return tmp_path


def test_no_byte_may_change_and_none_may_be_missing(store: Path) -> None:
    from caffe_lite.kernels.cache import read, write

    content = bytes(range(40))
    write("kernel.nbc", "purpose", content)
    (path,) = store.iterdir()
    whole = path.read_bytes()
    wrong = [whole[:length] for length in range(len(whole))]
    for at in range(len(whole)):
        for bit in range(8):
            wrong.append(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
    for each in wrong:
        path.write_bytes(each)
        assert read("kernel.nbc", "purpose") is None
        assert not path.exists()
    path.write_bytes(whole)
    assert read("kernel.nbc", "another purpose") is None
    path.write_bytes(whole)
    assert read("kernel.nbc", "purpose") == content
    path.rename(store / "other.nbc")
    assert read("other.nbc", "purpose") is None


# -- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["file", pytest.param("link", marks=posix), pytest.param("dangling", marks=posix)]
)
def test_what_is_no_folder_is_replaced_by_one(cache: Path, kind: str) -> None:
    folder = leaf(cache)
    folder.rename(cache.parent / "elsewhere")
    if kind == "file":
        folder.write_text("no folder")
    else:
        folder.symlink_to(cache.parent / ("elsewhere" if kind == "link" else "nowhere"))
    compiled, said = run(cache)
    assert (compiled, said.count("\n")) == (COMPILED, 1)
    assert not folder.is_symlink()
    assert len(files(cache)) == COMPILED + 1


@posix
@pytest.mark.parametrize("kind", ["folder", "root", "owner"])
def test_a_folder_of_others_is_not_used(cache: Path, kind: str) -> None:
    if kind == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(leaf(cache), 4321, -1)
    else:
        (cache if kind == "root" else leaf(cache)).chmod(0o777)
    before = {path: path.stat().st_mtime_ns for path in files(cache)}
    compiled, said = run(cache)
    assert (compiled, said.count("\n")) == (COMPILED, 1)
    assert "for this run only" in said
    assert {path: path.stat().st_mtime_ns for path in files(cache)} == before


@posix
def test_the_world_may_write_where_names_are_safe(cache: Path) -> None:
    cache.chmod(0o1777)  # as /tmp
    assert run(cache) == (0, "")


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("no folder")
    compiled, said = run(cache)
    assert (compiled, said.count("\n")) == (COMPILED, 1)
    assert "set NUMBA_CACHE_DIR" in said
    assert cache.read_text() == "no folder"


@posix
def test_a_full_disk(cache: Path) -> None:
    import resource

    files(cache)[0].unlink()
    limit = (0, resource.RLIM_INFINITY)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    script = cache.parent / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("\n") == 1
    assert "not kept" in process.stderr
    assert len(files(cache)) == COMPILED, "half a file was left"


# -- several processes ---------------------------------------------------------------------------


def test_two_processes_may_start_at_once(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    both = [start(cache) for _ in range(2)]
    for process in both:
        assert process.communicate(timeout=300)[1] == ""
        assert process.returncode == 0
    assert run(cache) == (0, "")


def test_killed_while_writing_leaves_nothing_that_is_loaded(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from caffe_lite.kernels.cache import files
files.usable_folder = lambda: Path(sys.argv[1])
while True:
    for size in 20, 100_000:
        files.write("kernel.nbc", "purpose", bytes(size))
        print(flush=True)
"""
    from caffe_lite.kernels.cache import files as module

    for delay in (0.01, 0.03):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        process.communicate()
        whole = (tmp_path / "kernel.nbc").read_bytes()
        content = whole[module._SIZE :]
        assert whole[: module._SIZE] == module._digest("kernel.nbc", "purpose", content)


# -- what nobody uses ----------------------------------------------------------------------------


def test_folders_of_other_versions_are_removed_when_unused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caffe_lite.kernels.cache import folder

    now, long_ago = time.time(), time.time() - 91 * folder.DAY
    for name, used in {
        "kernels-0123456789abcdef": long_ago,
        "kernels-0123456789abcde0": now,
        "kernels-mine": long_ago,
        "others": long_ago,
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        os.utime(tmp_path / name, (used, used))
    monkeypatch.setattr(folder, "cache_folder", lambda: tmp_path / "kernels-1111111111111111")
    assert folder.usable_folder.__wrapped__() == tmp_path / "kernels-1111111111111111"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "kernels-0123456789abcde0",
        "kernels-1111111111111111",
        "kernels-mine",
        "others",
    ]


def test_a_folder_in_use_is_not_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe_lite.kernels.cache import folder

    os.utime(tmp_path, (0, 0))
    monkeypatch.setattr(folder, "cache_folder", lambda: tmp_path)
    assert folder.usable_folder.__wrapped__() == tmp_path
    assert time.time() - tmp_path.stat().st_mtime < folder.DAY


def test_leftovers_are_removed_after_an_hour(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe_lite.kernels.cache import files as module

    monkeypatch.setattr(module, "cache_folder", lambda: store)
    for name, age in (("old.tmp", 3700), ("new.tmp", 3500), ("old.nbc", 3700)):
        (store / name).touch()
        os.utime(store / name, (time.time() - age,) * 2)
    module._remove_leftovers.__wrapped__()
    assert sorted(path.name for path in store.iterdir()) == ["new.tmp", "old.nbc"]


# -- what is not to be mixed up ------------------------------------------------------------------


def test_types_that_are_written_alike_share_no_code(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    from caffe_lite.kernels.jit import jit

    def function(pair):  # type: ignore[no-untyped-def]
        return pair.width

    found = [
        jit(function)(namedtuple("Pair", fields)(1, 2))
        for fields in (["width", "height"], ["height", "width"])
    ]
    assert found == [1, 2]
