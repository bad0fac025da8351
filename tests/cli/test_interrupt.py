"""Signals are answered while the main thread is where Python runs no handler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from caffe_lite import cli
from caffe_lite.cli import interrupt
from caffe_lite.cli import test as test_command

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# As LLVM compiles: a call of C that lets other threads run, but no handler in the main thread.
BUSY = """
import contextlib, hashlib, sys, time
from pathlib import Path
from caffe_lite import cli
from caffe_lite.cli import interrupt, {command}
from caffe_lite.proto.atomic import write_atomically
from caffe_lite.solver.signals import SignalHandler

def busy():
    print("busy", flush=True)
    {busy}

def write(temporary):
    temporary.write_text("half")
    busy()

def run(args):
    {body}

{command}.run = run
from caffe_lite.__main__ import main
sys.argv[1:] = {words}
main()
"""

PLAIN = {
    "command": "test",
    "busy": "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "body": "write_atomically('file', write)",
    "words": "['test', '-model', 'm', '-weights', 'w']",
}
TRAIN = {
    "command": "train",
    "busy": "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "body": "\n    ".join(
        [
            "from caffe_lite.cli import flags",
            "flags.start_log(args)",
            "signals = SignalHandler()",
            "with signals, interrupt.current().answering(signals.answer):",
            "    write_atomically('file', write)",
        ]
    ),
    "words": "['train', '-solver', 's']",
}


LOST = """
    for _ in range(60):
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(60)
"""


def start(folder: Path, **parts: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY.format(**parts)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # where tests run in the background, the shell has them ignore SIGINT: a child would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_busy_command_ends_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    process = start(tmp_path, **PLAIN)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)  # the call would take minutes
    assert process.returncode == 128 + number
    assert err == ("interrupted\n" if number == signal.SIGINT else "")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_that_gets_lost_ends_the_command_too(tmp_path: Path) -> None:
    process = start(tmp_path, **{**PLAIN, "busy": LOST})
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")


def test_train_says_what_it_waits_for_and_quits_at_the_second(tmp_path: Path) -> None:
    process = start(tmp_path, **TRAIN)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    said = next(line for line in lines if "Ctrl-C" in line)
    assert "stopping after this iteration, with a snapshot; once more to quit at once" in said
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_that_a_library_turns_into_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt:
            raise RuntimeError("of a library") from None
        return 0

    monkeypatch.setattr(test_command, "run", run)
    with default_sigint():
        assert cli.main(["test", "-model", "m", "-weights", "w"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_what_was_before_comes_back() -> None:
    with default_sigint():
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        threads = set(threading.enumerate())  # of earlier tests: they may end meanwhile
        with interrupt.Watch():
            assert signal.getsignal(signal.SIGINT) != before[0]
            (watching,) = set(threading.enumerate()) - threads
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        assert signal.set_wakeup_fd(-1) == -1
        watching.join(30)
        assert not watching.is_alive()


def test_background_jobs_go_on_ignoring_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.Watch():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


class default_sigint:  # noqa: N801
    """A block in which SIGINT raises KeyboardInterrupt, also where tests run in the background."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._before)
