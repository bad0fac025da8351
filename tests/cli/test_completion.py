from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_lite import cli

pytest.importorskip("argcomplete")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_names_the_program(capsys, shell):
    assert cli.main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "caffe-lite" in out
    assert "_ARGCOMPLETE" in out


def test_an_unknown_shell(capsys):
    assert cli.main(["completion", "cmd"]) == 2
    assert "invalid choice: 'cmd'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("caffe-lite conv", {name for name in cli.COMMANDS if name.startswith("conv")}),
        ("caffe-lite train -sol", {"-solver "}),
        ("caffe-lite convert_imageset --resize", {"--resize_width", "--resize_height"}),
        ("caffe-lite convert_imageset -backend ", {"lmdb", "leveldb"}),
        ("caffe-lite completion z", {"zsh "}),
    ],
)
def test_what_a_shell_is_offered(tmp_path, line, offered):
    answer = tmp_path / "answer"
    subprocess.run(
        [sys.executable, "-m", "caffe_lite"],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(cli.__file__).parents[2]),
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "_ARGCOMPLETE_SUPPRESS_SPACE": "0",
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        },
        check=True,
    )
    assert set(answer.read_text().split("\n")) == offered
