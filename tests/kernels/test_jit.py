from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A sum and a fused update, the two kinds of loop whose bits once depended on the cache.
SCRIPT = """
import numpy as np
from caffe_lite.kernels.conv import bias_backward
from caffe_lite.kernels.neuron import sigmoid_forward

draws = np.random.default_rng(0)
for size in (24, 13):
    dy = draws.standard_normal((5, 3, size, size)).astype(np.float32)
    db = np.zeros(3, np.float32)
    bias_backward(dy, db)
    y = np.empty_like(dy)
    sigmoid_forward(dy, y)
    print(db.tobytes().hex(), y.tobytes().hex())
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="compiles nothing")
def test_compiled_now_or_before_the_bits_are_the_same(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
