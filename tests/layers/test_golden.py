"""Every layer against what Caffe and its forks recorded of it.

The records are in tests/golden/layers and tests/golden/forks/layers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from tests.project import golden

CASES = [path for path in golden("layers") if path.suffix == ".prototxt"]
FORKS = [path for path in golden("forks/layers") if path.suffix == ".prototxt"]


def name(path: Path) -> str:
    """The type and the case, as in a test's name."""
    return f"{path.parent.name}-{path.stem}"


def compare(got: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Within 1e-4 of the greatest magnitude."""
    assert got.shape == wanted.shape, what
    error = np.abs(got - wanted.astype(np.float64)).max(initial=0.0)
    assert error <= 1e-4 * max(np.abs(wanted).max(initial=0.0), 1e-3), f"{what}: {error:.2e}"


@pytest.mark.parametrize("case", [*CASES, *FORKS], ids=name)
def test_layer_is_caffes(case: Path) -> None:
    with np.load(case.with_suffix(".npz")) as file:
        recorded = {name: file[name] for name in file.files}

    def arrays(prefix: str) -> dict[str, np.ndarray]:
        return {n.removeprefix(prefix): a for n, a in recorded.items() if n.startswith(prefix)}

    with caffe.Net(case, getattr(caffe, str(recorded["phase"]))) as net:
        for index, array in arrays("param/").items():
            net.params["L"][int(index)].data[...] = array
        for name, array in arrays("in/").items():
            blob = net.params[name][0] if name in net.params else net.blobs[name]
            blob.data[...] = array
        net.forward()
        for name, array in arrays("out/").items():
            compare(net.blobs[name].data, array, f"top {name}")
        for index, array in arrays("param_after/").items():
            compare(net.params["L"][int(index)].data, array, f"parameter {index} after")
        if not arrays("indiff/") and not arrays("paramdiff/"):
            return
        net.clear_param_diffs()
        for name, array in arrays("topdiff/").items():
            net.blobs[name].diff[...] = array
        net.backward(start="L")
        for name, array in arrays("indiff/").items():
            compare(net.blobs[name].diff, array, f"diff of {name}")
        if case.parent.name != "BatchNorm":  # Caffe leaves its statistics' diffs undefined
            for index, array in arrays("paramdiff/").items():
                compare(net.params["L"][int(index)].diff, array, f"diff of parameter {index}")


def test_the_cases_are_there() -> None:
    assert len(CASES) == 124
    assert len(FORKS) == 138
