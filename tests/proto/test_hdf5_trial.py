"""The process that reads HDF5 files first: when it is asked, how long, and what it reads."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffe_lite.proto import hdf5_policy, hdf5_trial


class Helper:
    """Stands for the helper process; answers what it is given."""

    def __init__(self, answers: bytes = b"", status: int | None = None) -> None:
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(answers)
        self.status = status
        self.did: list[str] = []

    def poll(self) -> int | None:
        return self.status

    def kill(self) -> None:
        self.did.append("kill")

    def communicate(self) -> None:
        self.did.append("communicate")


@pytest.fixture(autouse=True)
def _no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_trial, "_helper", None)
    monkeypatch.setattr(hdf5_trial, "_owner", 0)
    monkeypatch.setattr(hdf5_trial, "_survived", set())


# -- when it is asked ----------------------------------------------------------------------------


def test_a_file_is_tried_once_until_it_changes(tmp_path, monkeypatch) -> None:
    asked: list[dict[str, Any]] = []
    sizes: list[int] = []
    answers = {"good.h5": True, "bad.h5": False}

    def ask(question: dict[str, Any], size: int) -> bool:
        asked.append(question)
        sizes.append(size)
        return answers[os.path.basename(question["path"])]

    monkeypatch.setattr(hdf5_trial, "_ask", ask)
    monkeypatch.setattr(hdf5_trial, "memory_limit", lambda: 12345)
    monkeypatch.chdir(tmp_path)
    for name in ("good.h5", "bad.h5"):
        Path(name).write_bytes(b"0123456")
    assert hdf5_trial.survives("good.h5", ["x"])
    assert hdf5_trial.survives("good.h5", ["x"])
    assert asked == [{"path": str(tmp_path / "good.h5"), "names": ["x"], "limit": 12345}]
    assert sizes == [7]
    assert hdf5_trial.survives("good.h5", ["x", "y"])
    assert hdf5_trial.survives("good.h5", None)
    assert hdf5_trial.survives("good.h5", None)
    assert [question["names"] for question in asked] == [["x"], ["x", "y"], None]
    os.utime("good.h5", ns=(5, 5))
    assert hdf5_trial.survives("good.h5", None)
    Path("good.h5").write_bytes(b"01234567")
    os.utime("good.h5", ns=(5, 5))
    assert hdf5_trial.survives("good.h5", None)
    assert len(asked) == 5
    assert not hdf5_trial.survives("bad.h5", None)
    assert not hdf5_trial.survives("bad.h5", None)
    assert len(asked) == 7  # it may have been a lack of memory


@pytest.mark.parametrize(("size", "seconds"), [(0, 60), (500_000_000, 90), (2_000_000_000, 180)])
def test_how_long_an_answer_may_take(size: int, seconds: float, monkeypatch) -> None:
    helper = Helper(b"alive\n")
    timers: list[Any] = []

    class Timer:
        daemon = False

        def __init__(self, interval: float, function: object) -> None:
            self.interval, self.function = interval, function
            self.did: list[str] = []
            timers.append(self)

        def start(self) -> None:
            assert self.daemon
            self.did.append("start")

        def cancel(self) -> None:
            self.did.append("cancel")

    monkeypatch.setattr(hdf5_trial.threading, "Timer", Timer)
    monkeypatch.setattr(hdf5_trial, "_running", lambda: helper)
    assert hdf5_trial._ask({"path": "a"}, size)
    (timer,) = timers
    assert timer.interval == pytest.approx(seconds)
    assert timer.function == helper.kill
    assert timer.did == ["start", "cancel"]
    assert helper.stdin.getvalue() == b'{"path": "a"}\n'
    assert helper.did == []


def test_without_an_answer_the_helper_is_ended(monkeypatch) -> None:
    helper = Helper()
    monkeypatch.setattr(hdf5_trial, "_running", lambda: helper)
    monkeypatch.setattr(hdf5_trial, "_helper", helper)
    monkeypatch.setattr(hdf5_trial, "_owner", os.getpid())
    assert not hdf5_trial._ask({}, 0)
    assert helper.did == ["kill", "communicate"]
    assert hdf5_trial._helper is None


@pytest.mark.parametrize(("error", "is_raised"), [(OSError, False), (KeyboardInterrupt, True)])
def test_an_interrupted_question_ends_the_helper(error, is_raised: bool, monkeypatch) -> None:
    helper = Helper(b"alive\n")

    def fail() -> bytes:
        raise error

    helper.stdout = type("Pipe", (), {"readline": staticmethod(fail)})()  # type: ignore[assignment]
    monkeypatch.setattr(hdf5_trial, "_running", lambda: helper)
    monkeypatch.setattr(hdf5_trial, "_helper", helper)
    monkeypatch.setattr(hdf5_trial, "_owner", os.getpid())
    if is_raised:
        with pytest.raises(error):
            hdf5_trial._ask({}, 0)
    else:
        assert not hdf5_trial._ask({}, 0)
    assert helper.did == ["kill", "communicate"]


def test_where_no_process_can_be_started_files_are_read_at_once(monkeypatch) -> None:
    monkeypatch.setattr(hdf5_trial, "_running", lambda: None)
    assert hdf5_trial._ask({}, 0)


# -- the process ---------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What was started instead of a process."""
    found: list[tuple[list[str], dict[str, Any]]] = []

    def start(words: list[str], **settings: Any) -> Helper:
        found.append((words, settings))
        return Helper()

    monkeypatch.setattr(hdf5_trial.subprocess, "Popen", start)
    return found


def test_one_process_is_started_and_stays(started, monkeypatch) -> None:
    first = hdf5_trial._running()
    assert first is not None
    assert hdf5_trial._running() is first
    ((words, settings),) = started
    assert words[:3] == [sys.executable, "-S", "-c"]
    assert words[3].endswith(f"from {hdf5_trial.__name__} import serve; serve()")
    pipe = subprocess.PIPE
    assert settings == {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL,
                        "start_new_session": True}  # fmt: skip
    first.status = 0  # type: ignore[attr-defined]
    second = hdf5_trial._running()
    assert second is not first
    monkeypatch.setattr(hdf5_trial, "_owner", os.getpid() + 1)
    assert hdf5_trial._running() is not second  # it is that of the process that forked
    assert len(started) == 3


@pytest.mark.parametrize(
    ("executable", "count"),
    [("/usr/bin/python3", 1), ("C:/Python.exe", 1), ("/opt/python/editor", 0), ("", 0), (None, 0)],
)
def test_only_python_can_be_started(executable, count: int, started, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert (hdf5_trial._running() is not None) == bool(count)
    assert len(started) == count


def test_a_process_that_the_system_does_not_start(monkeypatch) -> None:
    def fail(*words: object, **settings: object) -> None:
        raise OSError

    monkeypatch.setattr(hdf5_trial.subprocess, "Popen", fail)
    assert hdf5_trial._running() is None


def test_only_one_s_own_process_is_ended(monkeypatch) -> None:
    helper = Helper()
    monkeypatch.setattr(hdf5_trial, "_helper", helper)
    monkeypatch.setattr(hdf5_trial, "_owner", os.getpid() + 1)
    hdf5_trial._stop()
    assert helper.did == []
    assert hdf5_trial._helper is helper
    monkeypatch.setattr(hdf5_trial, "_owner", os.getpid())
    hdf5_trial._stop()
    hdf5_trial._stop()
    assert helper.did == ["kill", "communicate"]


def test_each_question_is_answered_after_the_file_was_read(monkeypatch) -> None:
    did: list[object] = []
    questions = (("a", None), ("b", ["x"]))
    lines = [json.dumps({"path": path, "names": names, "limit": 7}) for path, names in questions]
    answers = io.BytesIO()
    monkeypatch.setattr(hdf5_trial.signal, "signal", lambda *words: did.append(words))
    monkeypatch.setattr(hdf5_trial, "set_memory_limit", lambda limit: did.append(limit))
    monkeypatch.setattr(hdf5_trial, "_limit_work", lambda path: did.append(path))

    def read(path: str, names: list[str] | None) -> None:
        did.append((path, names, answers.getvalue()))

    monkeypatch.setattr(hdf5_trial, "_read", read)
    given = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": given}))
    monkeypatch.setattr(sys, "stdout", type("Out", (), {"buffer": answers}))
    hdf5_trial.serve()
    assert did == [
        (signal.SIGINT, signal.SIG_IGN),
        *(7, "a", ("a", None, b"")),
        *(7, "b", ("b", ["x"], b"alive\n")),
    ]
    assert answers.getvalue() == b"alive\nalive\n"


@pytest.mark.skipif(sys.platform == "win32", reason="this system limits no process's work")
@pytest.mark.parametrize(("hard", "wanted"), [(-1, 13), (1000, 13), (13, 13), (12, 12)])
def test_the_limit_of_work_is_not_above_the_system_s(tmp_path, hard, wanted, monkeypatch) -> None:
    """After 1.5 and 1.25 seconds 10 more, for a file of 50 MB; the next whole second."""
    import resource

    with open(tmp_path / "a", "wb") as file:
        file.truncate(50_000_000)
    used = type("Usage", (), {"ru_utime": 1.5, "ru_stime": 1.25})
    limits: list[object] = []
    monkeypatch.setattr(resource, "getrusage", lambda who: used)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (3, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda *words: limits.append(words))
    hdf5_trial._limit_work(str(tmp_path / "a"))
    assert limits == [(resource.RLIMIT_CPU, (wanted, hard))]
    hdf5_trial._limit_work(str(tmp_path / "gone"))
    assert len(limits) == 1


# -- what it reads -------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The datasets that were read, with their groups."""
    found: list[str] = []
    asked = hdf5_policy.array_in

    def noted(group: h5py.Group, name: str, text: bool = False) -> np.ndarray:
        values: np.ndarray = asked(group, name, text)
        found.append(f"{group.name}/{name}".replace("//", "/"))
        return values

    monkeypatch.setattr(hdf5_policy, "array_in", noted)
    return found


def test_all_datasets_in_all_groups_are_read(tmp_path, read: list[str]) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a/b/c"] = np.ones(3)
        file["a/text"] = np.bytes_(b"words")
        file["a/refused"] = h5py.Empty("f4")
        file["a/soft"] = h5py.SoftLink("/d")
        file["d"] = np.ones(2)
        file["z"] = np.ones(2)
    hdf5_trial._read(str(path), None)
    assert read == ["/a/b/c", "/a/text", "/d", "/z"]
    read.clear()
    hdf5_trial._read(str(path), ["z", "gone", "a/refused", "d"])
    assert read == ["/z", "/d"]
    read.clear()
    hdf5_trial._read(str(path), [])
    assert read == []
    path.write_bytes(b"no such file")
    hdf5_trial._read(str(path), None)
    hdf5_trial._read(str(tmp_path / "gone"), None)
    assert read == []


def test_no_more_groups_are_read_than_may_be_in_a_file(tmp_path, read, monkeypatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in "abcdef":
            file[f"{name}/x"] = np.ones(3)
    monkeypatch.setattr(hdf5_policy, "MOST_GROUPS", 4)
    hdf5_trial._read(str(path), None)
    assert read == ["/a/x", "/b/x"]  # with the file's own they are three
    read.clear()
    monkeypatch.setattr(hdf5_policy, "MOST_GROUPS", 8)
    hdf5_trial._read(str(path), None)
    assert len(read) == 6


def test_groups_that_are_too_deep_end_it(tmp_path, read: list[str], monkeypatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a/b/c/x"] = np.ones(3)
        file["d/x"] = np.ones(3)
    monkeypatch.setattr(hdf5_policy, "DEEPEST", 3)
    hdf5_trial._read(str(path), None)
    assert read == ["/a/b/c/x", "/d/x"]
    read.clear()
    monkeypatch.setattr(hdf5_policy, "DEEPEST", 2)
    hdf5_trial._read(str(path), None)
    assert read == []
