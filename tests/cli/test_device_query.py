from __future__ import annotations

import os
import platform

import numba
import pytest

from caffe_lite import cli
from caffe_lite.kernels.parallel import get_num_threads


@pytest.mark.parametrize("words", [[], ["-gpu", "0"]])
def test_it_says_what_computes(capsys, words):
    assert cli.main(["device_query", *words]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["Device"].strip() == ("CPU (there is no GPU mode)" if words else "CPU")
    assert lines["Cores"].strip().startswith(f"{os.cpu_count()}, of which")
    assert lines["Threads"].strip().startswith(f"{get_num_threads()} ")
    assert " bits, " in lines["Vector width"]
    assert f"Python {platform.python_version()}, numba {numba.__version__}" in lines["Versions"]
    assert {"Processor", "Architecture", "Memory", "Compiled kernels"} <= set(lines)
