"""Only files are replaced."""

from __future__ import annotations

import os
import stat
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
