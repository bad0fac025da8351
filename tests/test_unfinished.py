from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
import os, threading
from pathlib import Path
from caffe_lite import unfinished
from caffe_lite.data.db import create_db
from caffe_lite.proto.atomic import write_atomically

def write(temporary):
    temporary.write_text("half")
    unfinished.remove_all()
    threading.Thread(target=lambda: (unfinished.remember("late"), Path("late").touch())).start()
    os._exit(3)

writer = create_db("db", "lmdb")
write_atomically("whole", lambda temporary: temporary.write_text("whole"))
write_atomically("file", write)
"""


def test_an_end_at_once_leaves_what_is_finished(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment())
    assert run.returncode == 3
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
