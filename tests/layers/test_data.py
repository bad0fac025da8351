"""Layers that take data from memory, from fillers and to files: what the battery cannot see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import caffe_lite.layers.data  # noqa: F401  (registers the types)
from caffe_lite.blob import Blob
from caffe_lite.data.datum import array_to_datum
from caffe_lite.errors import LayerError
from caffe_lite.layers import registry
from caffe_lite.proto import caffe_pb2, text

MEMORY = 'type: "MemoryData" memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } '
DATA = np.random.default_rng(1).standard_normal((4, 1, 2, 3)).astype(np.float32)
LABELS = np.arange(4, dtype=np.float32)


def make(config: str, tops: list[Blob], bottoms: list[Blob] | None = None) -> Any:
    param = caffe_pb2.LayerParameter()
    text.parse(config, param, "layer")
    layer = registry.create(param, np.float32, np.random.default_rng(2))
    layer.build(bottoms or [], tops)
    return layer


def forward(layer: Any, tops: list[Blob], bottoms: list[Blob] | None = None) -> list[np.ndarray]:
    layer.prepare(bottoms or [], tops)
    layer.forward(bottoms or [], tops)
    return [top.data.copy() for top in tops]


@pytest.mark.parametrize("labels", [LABELS, LABELS.reshape(4, 1, 1, 1)])
def test_memory_goes_round(labels: np.ndarray) -> None:
    tops = [Blob(), Blob()]
    layer = make(MEMORY, tops)
    assert [top.shape for top in tops] == [(2, 1, 2, 3), (2,)]
    data = DATA.copy()
    layer.set_input_arrays(data, labels)
    for start in (0, 2, 0):
        found, numbers = forward(layer, tops)
        np.testing.assert_array_equal(found, DATA[start : start + 2])
        np.testing.assert_array_equal(numbers, LABELS[start : start + 2])
    data[2:] = 7  # the arrays are not copied
    assert (forward(layer, tops)[0] == 7).all()


def test_memory_of_datums() -> None:
    tops = [Blob(), Blob()]
    layer = make(MEMORY + "transform_param { mean_value: 1 scale: 2 }", tops)
    images = np.random.default_rng(3).integers(0, 256, DATA.shape, np.uint8)
    layer.add_datums([array_to_datum(image, i) for i, image in enumerate(images)])
    found, numbers = forward(layer, tops)
    np.testing.assert_array_equal(found, (images[:2].astype(np.float32) - 1) * 2)
    np.testing.assert_array_equal(numbers, [0, 1])
    with pytest.raises(LayerError, match=r"a Datum gives \(1, 2, 2\), but .* takes \(1, 2, 3\)"):
        layer.add_datums([array_to_datum(image[:, :, :2]) for image in images])


def test_memory_refusals() -> None:
    tops = [Blob(), Blob()]
    layer = make(MEMORY, tops)
    with pytest.raises(LayerError, match=r"has no data yet; call net\.set_input_arrays"):
        forward(layer, tops)
    with pytest.raises(LayerError, match="3 images are not a multiple of batch_size 2"):
        layer.set_input_arrays(DATA[:3], LABELS[:3])
    with pytest.raises(LayerError, match=r"shape \(N, 1, 2, 3\), not \(4, 1, 3, 2\)"):
        layer.set_input_arrays(DATA.swapaxes(2, 3), LABELS)
    with pytest.raises(LayerError, match=r"4 images need as many labels, not \(3,\)"):
        layer.set_input_arrays(DATA, LABELS[:3])
    with pytest.raises(LayerError, match="0 images are not"):
        layer.add_datums([])


def test_dummy_constants_are_filled_in_once() -> None:
    tops = [Blob(), Blob()]
    layer = make(
        'type: "DummyData" dummy_data_param { shape { dim: 3 } data_filler { value: 5 } '
        'data_filler { type: "uniform" min: 1 max: 2 } }',
        tops,
    )
    assert (tops[0].data == 5).all()
    assert (tops[1].data == 0).all()
    tops[0].data[...] = 9
    first, second = forward(layer, tops)[1], forward(layer, tops)[1]
    assert (tops[0].data == 9).all()
    assert (first != second).all()


def test_input_keeps_the_shape_that_the_caller_gave_it() -> None:
    tops = [Blob(), Blob()]
    layer = make('type: "Input" input_param { shape { dim: 2 dim: 3 } }', tops)
    assert [top.shape for top in tops] == [(2, 3), (2, 3)]
    tops[0].reshape(5, 4)
    tops[0].data[...] = 7
    assert (forward(layer, tops)[0] == np.full((5, 4), 7)).all()


def test_input_without_a_shape() -> None:
    tops = [Blob((4,))]
    make('type: "Input"', tops)
    assert tops[0].shape == (4,)


def test_hdf5_output_has_four_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out.h5"
    bottoms = [Blob((2, 3)), Blob((2,))]
    bottoms[0].data[...] = [[1, 2, 3], [4, 5, 6]]
    bottoms[1].data[...] = [7, 8]
    layer = make(f'type: "HDF5Output" hdf5_output_param {{ file_name: "{path}" }}', [], bottoms)
    assert not path.exists()
    forward(layer, [], bottoms)
    with h5py.File(path) as file:
        assert sorted(file) == ["data", "label"]
        assert file["data"].dtype == np.float32
        np.testing.assert_array_equal(file["data"], bottoms[0].data.reshape(2, 3, 1, 1))
        np.testing.assert_array_equal(file["label"], bottoms[1].data.reshape(2, 1, 1, 1))
    with pytest.raises(LayerError, match="is written already"):
        forward(layer, [], bottoms)
