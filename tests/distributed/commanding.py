"""A program for several ranks: commands one after another, and what each prints on each rank.

Its arguments are a file of commands, a list of words for each, as JSON; and a file to write to.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

from caffe_lite import cli, distributed
from caffe_lite.kernels import compiling


def printed(words: list[str]) -> list[str]:
    """The stdout and stderr of a command, which must succeed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(words)
    assert code == 0, err.getvalue()
    return [out.getvalue(), err.getvalue()]


if __name__ == "__main__":
    compiling.INTERVAL = 1e9  # nobody is told of kernels that compile
    commands = json.loads(Path(sys.argv[1]).read_text())
    every = distributed.world().all_gather([printed(words) for words in commands])
    if distributed.world().is_root:
        Path(sys.argv[2]).write_text(json.dumps(every))
