"""Windows of every kind: ONNX Runtime gives what the definition of Caffe's pooling gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_lite
from caffe_lite.errors import LayerError
from caffe_lite.export import export_onnx
from caffe_lite.proto import caffe_pb2
from tests.oracles import pooling as oracle

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

POOLS = {"MAX": oracle.maximum, "AVE": oracle.average}


def random_windows(count: int) -> list[tuple[tuple[int, int], ...]]:
    """Planes, kernels, strides and pads that all differ between the axes."""
    draws = np.random.default_rng(11)
    found = []
    while len(found) < count:
        plane, kernel, stride, pad = (
            tuple(int(each) for each in draws.integers(low, high, 2))
            for low, high in ((3, 12), (1, 6), (1, 5), (0, 4))
        )
        if kernel[0] != kernel[1] and plane[0] != plane[1]:
            found.append((plane, kernel, stride, pad))
    return found


@pytest.mark.parametrize("pool", POOLS)
def test_pads_for_exactly_caffes_windows(pool: str, tmp_path: Path) -> None:
    compared = 0
    for index, (plane, kernel, stride, pad) in enumerate(random_windows(40)):
        floor = index % 3 == 0
        message = caffe_pb2.NetParameter(name="pool")
        message.layer.add(name="in", type="Input", top=["x"]).input_param.shape.add(
            dim=(2, 3, *plane)
        )
        layer = message.layer.add(name="pool", type="Pooling", bottom=["x"], top=["y"])
        config = layer.pooling_param
        config.pool = caffe_pb2.PoolingParameter.PoolMethod.Value(pool)
        config.kernel_h, config.kernel_w = kernel
        config.stride_h, config.stride_w = stride
        config.pad_h, config.pad_w = pad
        if floor:
            config.round_mode = caffe_pb2.PoolingParameter.FLOOR
        try:
            net = caffe_lite.Net(message, caffe_lite.TEST)
        except LayerError:  # a window that holds nothing
            continue
        export_onnx(net, tmp_path / "pool.onnx")
        x = np.random.default_rng(index).standard_normal((3, 3, *plane), np.float32) + 1
        session = ort.InferenceSession(str(tmp_path / "pool.onnx"))
        (got,) = session.run(["y"], {"x": x})
        want = POOLS[pool](kernel, pad, stride, floor)(x.astype(np.float64))
        assert got.shape == want.shape, (plane, kernel, stride, pad)
        np.testing.assert_allclose(
            got, want, atol=1e-5, err_msg=f"{plane} {kernel} {stride} {pad}"
        )
        compared += 1
    assert compared > 15
