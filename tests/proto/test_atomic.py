"""Only files are replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_lite.errors import CaffeError
from caffe_lite.proto.files import write_text


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(CaffeError, match="cannot be written: it is a device or a pipe"):
            write_text(path, "text")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [link, pipe]


@pytest.mark.parametrize("name", ["net.prototxt", "n" * 240])
def test_what_a_killed_process_has_left_is_removed(tmp_path: Path, name: str) -> None:
    target, other = tmp_path / name, tmp_path / "other.prototxt"
    program = (
        "import os, sys\n"
        "from caffe_lite.proto.atomic import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os._exit(9)\n"
    )
    for path in (target, other):
        subprocess.run([sys.executable, "-c", program, path], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    write_text(target, "text")
    left = sorted(path.name for path in tmp_path.iterdir() if path != target)
    assert len(left) == 1
    assert left[0].startswith(".other.prototxt.")
