"""The property itself: `tools.fuzz.check` finds each kind of misbehaviour, and nothing else."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.fuzz.check import LONGEST_MESSAGE, SHORT, Finding, Meter, check, shrink
from tools.fuzz.targets import Target


class RawError(Exception):
    """A refusal that shows its message as it is; a CaffeError would make it safe."""


def refuse(message: str) -> Callable[[], None]:
    def run() -> None:
        raise RawError(message)

    return run


def planted(run: Callable[[], None], **settings: object) -> Target:
    return Target(
        "planted", lambda: [{"a": b"1", "b/c": b"2"}], run, refusals=(RawError,), **settings
    )  # type: ignore[arg-type]


def outcome(target: Target, tmp_path: Path) -> object:
    return check(target, target.seeds()[0], tmp_path / "case")


def divide() -> None:
    assert 1 // (len(Path("a").read_bytes()) - 1)


def warn() -> None:
    warnings.warn("careful", UserWarning, stacklevel=1)


class Used(Meter):
    """A meter that has measured already."""

    def __init__(self, memory: int, seconds: float) -> None:
        self._used = memory, seconds

    def lap(self) -> tuple[int, float]:
        return self._used


@pytest.mark.parametrize(
    ("run", "kind", "key"),
    [
        (divide, "exception", "ZeroDivisionError in test_check.py:divide"),
        (warn, "warning", "UserWarning in test_check.py:warn"),
        (refuse("two\nlines"), "message", "several lines"),
        (refuse("a\x1b[31mred"), "message", "control character"),
        (refuse("a\u202eb"), "message", "invisible character"),
        (refuse("a\udcffb"), "message", "byte that is not UTF-8"),
        (refuse(" "), "message", "empty message"),
        (refuse("a" * (LONGEST_MESSAGE + 1)), "message", "long message"),
        (lambda: Path("a").write_bytes(b"x"), "files", "changed a"),
        (lambda: Path("b/c").unlink(), "files", "changed b"),
        (lambda: Path("new").touch(), "files", "wrote new"),
        (lambda: Path("b/new").touch(), "files", "wrote b"),
    ],
)
def test_misbehaviour_is_found(
    run: Callable[[], None], kind: str, key: str, tmp_path: Path
) -> None:
    found = outcome(planted(run), tmp_path)
    assert isinstance(found, Finding)
    where = " from test_check.py:run" if kind == "message" else ""
    assert (found.kind, found.key) == (kind, key + where)


def test_what_behaves_is_no_finding(tmp_path: Path) -> None:
    assert outcome(planted(lambda: None), tmp_path) == "result"
    message = 'a.h5: "näme" is 7, but must be at least 8'
    assert outcome(planted(refuse(message)), tmp_path) == f"refused: {message}"


def test_what_a_library_always_writes_is_no_finding(tmp_path: Path) -> None:
    target = planted(lambda: Path("lock").touch(), left_by_library=("lock",))
    assert outcome(target, tmp_path) == "result"


@pytest.mark.parametrize(
    ("memory", "seconds", "kind"), [(9, 0, "memory"), (0, 6, "time"), (8, 5, None)]
)
def test_bounds_of_memory_and_time(
    memory: int, seconds: float, kind: str | None, tmp_path: Path
) -> None:
    target = planted(lambda: time.sleep(2 * SHORT), megabytes=8, seconds=5)
    used = Used(memory << 20, seconds)
    found = check(target, target.seeds()[0], tmp_path / "case", used)
    assert getattr(found, "kind", None) == kind


def test_a_meter_counts_on() -> None:
    pytest.importorskip("resource")
    meter = Meter()
    sum(range(10**6))
    _, seconds = meter.lap()
    assert 0 < seconds < 60
    _, after = meter.lap()
    assert after < seconds


def test_shrinking_leaves_what_matters() -> None:
    def still(content: bytes) -> bool:
        return b"x" in content and content.endswith(b"y")

    assert shrink(b"abcx" * 40 + b"some more" * 9 + b"y", still) == b"xy"
