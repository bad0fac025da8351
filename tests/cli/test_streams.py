"""Closed, full and readerless standard streams: no traceback, and an exit code that says it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_lite import cli

ROOT = Path(cli.__file__).parents[2]
NET = """
name: "evil\\033[2J"
layer { name: "a\\033[31m\\nb" type: "Input" top: "x\\033[7m"
  input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a shell's redirections")


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    wrong = 'layer { name: "a\\033[31m" type: "ReLU" bottom: "n\\007o" top: "y" }'
    (tmp_path / "wrong.prototxt").write_text(wrong)

    def run(redirections, *words):
        script = f'exec "$@" {redirections}'
        command = ["sh", "-c", script, "sh", sys.executable, "-m", "caffe_lite", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )

    return run


full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


@pytest.mark.parametrize(
    ("redirections", "net", "code", "says"),
    [
        (">&-", "net", 0, ""),
        ("2>&-", "net", 0, ""),
        ("<&- >&- 2>&-", "net", 0, ""),
        ("<&- >&- 2>&-", "wrong", 1, ""),
        pytest.param(">/dev/full", "net", 1, "No space left on device", marks=full),
        pytest.param("2>/dev/full", "wrong", 1, "", marks=full),
        pytest.param(">/dev/full 2>&1", "net", 1, "", marks=full),
    ],
)
def test_streams_that_are_closed_or_full(shell, redirections, net, code, says):
    done = shell(redirections, "summarize", f"{net}.prototxt")
    assert done.returncode == code
    assert says in done.stderr
    assert done.stderr.count("\n") <= 1
    assert "Traceback" not in done.stderr + done.stdout


def test_a_file_does_not_get_the_descriptor_of_a_closed_stream(shell, tmp_path):
    """What is printed to stdout must not land in the file that was opened instead."""
    done = shell(">&- 2>&-", "upgrade_net_proto_text", "net.prototxt", "new.prototxt")
    assert done.returncode == 0
    written = (tmp_path / "new.prototxt").read_text()
    assert written.startswith('name: "evil')
    assert "new.prototxt" not in written


def test_names_reach_no_terminal(shell):
    done = shell("", "summarize", "net.prototxt")
    assert r"a\x1b[31m\nb" in done.stdout
    failed = shell("", "summarize", "wrong.prototxt")
    assert failed.returncode == 1
    assert r"a\x1b[31m" in failed.stderr
    for text in (done.stdout, failed.stderr):
        assert all(line.isprintable() for line in text.splitlines())
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [
        ("500MB", 500_000_000),
        ("2 GB", 2 * 10**9),
        ("1.5GiB", 3 << 29),
        ("4096", 4096),
        ("1k", 1000),
    ],
)
def test_sizes_of_memory(size, bytes_):
    from caffe_lite.cli import flags

    assert flags.byte_size(size) == bytes_


@pytest.mark.parametrize("size", ["", "GB", "-1GB", "0", "2XB", "1e9", "9" * 400, "2ib", "٣GB"])
def test_a_size_that_is_none(capsys, size):
    assert cli.main(["summarize", f"-memory_limit={size}", "net.prototxt"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "is not a size such as 500MB" in error or "expected one argument" in error


def test_the_flag_limits_a_net_and_not_the_next(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    for command in (["summarize"], ["time", "-iterations", "1", "-model"]):
        assert cli.main([*command, "net.prototxt", "-memory_limit", "100B"]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("net.prototxt:")
        assert "but the memory limit is 1e-07 GB" in error
        assert cli.main(["summarize", "net.prototxt"]) == 0
        capsys.readouterr()
