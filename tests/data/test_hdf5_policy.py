"""HDF5 files of somebody else's: what is refused, for rows, weights and states alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffe_lite.data.hdf5 import is_marked, read_datasets, write_datasets
from caffe_lite.errors import CaffeError, DataError, WeightsError
from caffe_lite.proto import caffe_pb2, files, hdf5_policy, hdf5_trial
from caffe_lite.proto.hdf5_policy import MOST_GROUPS
from caffe_lite.proto.hdf5_writing import new_hdf5

Build = Callable[[h5py.Group, Path], object]


def external(group: h5py.Group, other: Path) -> None:
    other.with_suffix(".raw").write_bytes(bytes(16))
    group.create_dataset("0", (4,), "f4", external=[(str(other.with_suffix(".raw")), 0, 16)])


def virtual(group: h5py.Group, other: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "0", (4,))
    group.create_virtual_dataset("0", layout)


def soft(group: h5py.Group, other: Path) -> None:
    group.file["real"] = np.ones(4, "f4")
    group["0"] = h5py.SoftLink("/real")


def outside(group: h5py.Group, other: Path) -> None:
    group["0"] = h5py.ExternalLink(str(other), "0")


def enormous(group: h5py.Group, other: Path) -> None:
    group.create_dataset("0", (1 << 28,), "f4", chunks=(1 << 20,), compression="gzip")


def enormous_chunk(group: h5py.Group, other: Path) -> None:
    group.create_dataset("0", (4,), "f4", maxshape=(None,), chunks=(1 << 28,), compression="gzip")


def unknown_filter(group: h5py.Group, other: Path) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4,))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())  # one that HDF5 would look for and load
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, settings)


def named_type(group: h5py.Group, other: Path) -> None:
    group["0"] = np.dtype("f4")


REFUSED: list[tuple[Build, str]] = [
    (soft, "is a link; links are not followed"),
    (outside, "is a link; links are not followed"),
    (external, "stores its values in another file"),
    (virtual, "stores its values in another file"),
    (enormous, "would take 1.07 GB, but the file has 0 bytes of it"),
    (enormous_chunk, "would take 1.07 GB, but the file has 0 bytes of it"),
    (unknown_filter, "packed by filter 32015, not one of HDF5's own"),
    (named_type, "is not a dataset"),
    (lambda group, _: group.create_dataset("0", data=h5py.Empty("f4")), "has no values"),
    (lambda group, _: group.create_dataset("0", data=["a", "b"]), "is not numeric"),
    (lambda group, _: group.create_dataset("0", data=np.zeros(2, "f4,i4")), "is not numeric"),
    (lambda group, _: group.create_dataset("0", data=np.zeros(2, "c8")), "is not numeric"),
    (lambda group, _: group.create_dataset("0", (2,), h5py.ref_dtype), "is not numeric"),
    (lambda group, _: group.create_dataset("0", (2,), h5py.vlen_dtype("f4")), "is not numeric"),
    (lambda group, _: group.create_dataset("0", (2,), "(3,)f4").dtype, None),
]  # fmt: skip


@pytest.mark.parametrize(("build", "says"), [each for each in REFUSED if each[1]])
def test_refused_as_rows_and_as_weights(tmp_path: Path, build: Build, says: str) -> None:
    other = tmp_path / "other.h5"
    write_datasets(str(other), {"0": np.ones(4, np.float32)})
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        build(file.create_group("data/conv"), other)
    with pytest.raises(WeightsError, match=says) as error:
        files.read_weights(path)
    assert str(error.value).startswith(f"{path}: ")
    with pytest.raises(DataError, match=says) as refused:
        read_datasets(path, ["data/conv/0"], np.float32)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_link_on_the_way(tmp_path: Path) -> None:
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file["a/b"] = np.ones((2, 3))
        file["c"] = h5py.SoftLink("/a")
    assert read_datasets(path, ["a/b"], np.float32)[0].shape == (2, 3)
    with pytest.raises(DataError, match="/c is a link"):
        read_datasets(path, ["c/b"], np.float32)


def test_filters_of_hdf5s_own(tmp_path: Path) -> None:
    path = str(tmp_path / "a.h5")
    values = np.arange(600.0).reshape(20, 30)
    with h5py.File(path, "w") as file:
        options = {"chunks": (7, 4), "shuffle": True, "fletcher32": True}
        file.create_dataset("gzip", data=values, compression="gzip", **options)
        file.create_dataset("lzf", data=values, compression="lzf", **options)
        file.create_dataset(
            "zeros", shape=(20, 30), dtype="f4", chunks=(7, 4)
        )  # filled, and not stored
    for array in read_datasets(path, ["gzip", "lzf"], np.float64):
        np.testing.assert_array_equal(array, values)
    assert not read_datasets(path, ["zeros"], np.float32)[0].any()


def test_a_group_in_itself(tmp_path: Path) -> None:
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        group = file.create_group("data/conv")
        group["again"] = group
        group["twice"] = group
    with pytest.raises(WeightsError, match="has a group in itself"):
        files.read_weights(path)
    assert MOST_GROUPS > 10_000


@pytest.mark.parametrize(
    "error", [OSError, KeyError, RuntimeError, AttributeError, UnicodeError, SystemError]
)
def test_whatever_h5py_raises(
    tmp_path: Path, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a.h5")
    write_datasets(path, {"x": np.ones(4)})

    def fail(*arguments: object) -> None:
        raise error("one\ntwo")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", fail)
    with pytest.raises(DataError, match=r"a\.h5: unreadable or damaged HDF5 file: one$"):
        read_datasets(path, ["x"], np.float32)


def test_a_file_on_which_the_library_ends_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a.h5")
    write_datasets(path, {"x": np.ones(4)})
    assert hdf5_trial.survives(path, None)
    helper = hdf5_trial._running()
    assert helper is not None
    asked = hdf5_trial._ask

    def kill(question: dict[str, object], size: int) -> bool:
        helper.kill()
        helper.wait()
        monkeypatch.setattr(hdf5_trial, "_running", lambda: helper)
        return asked(question, size)

    monkeypatch.setattr(hdf5_trial, "_ask", kill)
    monkeypatch.setattr(hdf5_trial, "_survived", set())
    with pytest.raises(DataError, match="damaged: HDF5's library cannot read it"):
        read_datasets(path, ["x"], np.float32)
    monkeypatch.undo()
    assert read_datasets(path, ["x"], np.float32)[0].all()


@pytest.mark.parametrize(("names", "read"), [(["x", "none", "z"], "xz"), (None, "xyz")])
def test_the_other_process_reads_what_this_one_will(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str] | None, read: str
) -> None:
    path = str(tmp_path / "a.h5")
    write_datasets(path, {name: np.ones(4) for name in "xyz"})
    found = []
    asked = hdf5_policy.array_in

    def noted(group: h5py.Group, name: str, text: bool = False) -> np.ndarray:
        values: np.ndarray = asked(group, name, text)
        found.append(name)
        return values

    monkeypatch.setattr(hdf5_policy, "array_in", noted)
    hdf5_trial._read(path, names)
    assert "".join(found) == read


@pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="this system limits no process's work")
def test_a_process_that_works_on_a_file_for_too_long_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"no end")
    endless = (
        "from caffe_lite.proto import hdf5_trial\n"
        "hdf5_trial._WORK = 1\n"
        "def read(path, names):\n"
        "    while True: pass\n"
        "hdf5_trial._read = read\n"
        "hdf5_trial.serve()\n"
    )
    question = {"path": str(path), "names": None, "limit": None}
    done = subprocess.run(
        [sys.executable, "-c", endless],
        input=json.dumps(question).encode() + b"\n",
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGXCPU
    assert done.stdout == b""


@pytest.mark.skipif(sys.platform == "win32", reason="this system limits no process's work")
def test_a_larger_file_may_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    path = tmp_path / "a.h5"
    with open(path, "wb") as file:
        file.truncate(300_000_000)  # of which the disk stores nothing
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limit: limits.append(limit))
    used = resource.getrusage(resource.RUSAGE_SELF)
    hdf5_trial._limit_work(str(path))
    ((soft, _),) = limits
    assert 0 <= soft - (used.ru_utime + used.ru_stime) - hdf5_trial._WORK * 7 < 3


def test_a_process_that_never_answers_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a.h5")
    write_datasets(path, {"x": np.ones(4)})
    silent = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    monkeypatch.setattr(hdf5_trial, "_PATIENCE", 0.2)
    monkeypatch.setattr(hdf5_trial, "_running", lambda: silent)
    assert not hdf5_trial.survives(path, None)
    assert silent.wait(30) != 0
    silent.communicate()


def test_the_other_process_finds_a_package_that_is_not_on_the_path(tmp_path: Path) -> None:
    """An editable install has a finder of its own for it."""
    write_datasets(tmp_path / "a.h5", {"x": np.ones(4)})
    root = Path(hdf5_trial.__file__).parents[2]
    program = f"""
import sys
sys.path.insert(0, {str(root)!r})
from caffe_lite.proto import hdf5_trial
sys.path[:] = [place for place in sys.path if place not in ("", {str(root)!r})]
assert hdf5_trial.survives("a.h5", None)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


@pytest.mark.skipif(os.name != "posix", reason="there is no such limit")
@pytest.mark.parametrize("size", [0, 1000, 20_000])
def test_a_full_disk(tmp_path: Path, size: int) -> None:
    import resource

    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="conv")
    for _ in range(5):
        layer.blobs.append(files.array_to_blob(np.ones((20, 30))))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(CaffeError, match=r"a\.h5: cannot be written: File too large$"):
            files.write_weights_hdf5(path, net)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]
    assert path.read_bytes() == b"old"


def test_a_block_that_fails_writes_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with new_hdf5(tmp_path / "a.h5") as file:
            file["x"] = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_mark(tmp_path: Path) -> None:
    ours, theirs = str(tmp_path / "a.h5"), str(tmp_path / "b.h5")
    write_datasets(ours, {"x": np.ones(4)})
    with h5py.File(theirs, "w") as file:
        file["x"] = np.ones(4)
    (tmp_path / "c.h5").write_bytes(b"text")
    assert is_marked(ours)
    assert not any(is_marked(str(tmp_path / name)) for name in ("b.h5", "c.h5", "d.h5"))
