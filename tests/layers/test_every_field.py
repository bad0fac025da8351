"""Every field of a parameter message is read by its layer, or is listed here with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from caffe_lite.layers.base import Layer
from caffe_lite.layers.registry import layer_class, layer_types
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.schema import is_core
from caffe_lite.testing import Rig
from tests.layers.test_every_layer import CASES

IGNORED = {
    "engine": "chooses between Caffe's own kernels and cuDNN's; there is one kind here",
    "force_nd_im2col": "chooses between two ways to the same numbers",
    "data_param.prefetch": "read from the LayerParameter: it is of all sources that prefetch",
    "data_param.scale": "moved to transform_param by the upgrade of old files",
    "data_param.mean_file": "moved to transform_param by the upgrade of old files",
    "data_param.crop_size": "moved to transform_param by the upgrade of old files",
    "data_param.mirror": "moved to transform_param by the upgrade of old files",
    "data_param.rand_skip": "has no effect in Caffe 1.0 either",
    "data_param.force_encoded_color": "has no effect in Caffe either",
    "image_data_param.scale": "moved to transform_param by the upgrade of old files",
    "image_data_param.mean_file": "moved to transform_param by the upgrade of old files",
    "image_data_param.crop_size": "moved to transform_param by the upgrade of old files",
    "image_data_param.mirror": "moved to transform_param by the upgrade of old files",
    "window_data_param.mean_file": "moved to transform_param by the upgrade of old files",
    "window_data_param.crop_size": "moved to transform_param by the upgrade of old files",
    "window_data_param.mirror": "moved to transform_param by the upgrade of old files",
    "recurrent_param.debug_info": "printed Caffe's unrolled net, which does not exist here",
    "python_param.share_in_parallel": "shares a layer between GPUs' solvers; there is one solver",
}


class Recorder:
    """A message that remembers which of its fields were read."""

    def __init__(self, message: Any, seen: set[str]) -> None:
        self._message = message
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add(name)
        return getattr(self._message, name)

    def HasField(self, name: str) -> bool:
        self._seen.add(name)
        return bool(self._message.HasField(name))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The fields read while every case is built and run, by parameter message."""
    read: dict[str, set[str]] = {}
    plain = Layer.__init__

    def recording(self: Layer, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        if self.config_field:
            self.config = Recorder(self.config, read.setdefault(self.config_field, set()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layer, "__init__", recording)
        for case in CASES:
            rig = Rig(case, folder=Path(tmp_path_factory.mktemp("files")))
            rig.forward()
            rig.layer.close()
    return read


def of_bvlc(name: str) -> bool:
    """Whether a type's parameter message is BVLC's; Python reads its own before it is made."""
    field = layer_class(name).config_field
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    return field is not None and is_core(fields[field]) and name != "Python"


@pytest.mark.parametrize("name", list(filter(of_bvlc, layer_types())))
def test_every_field_is_read(name: str, seen: dict[str, set[str]]) -> None:
    config_field = layer_class(name).config_field
    assert config_field
    message = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[config_field].message_type
    own = [field.name for field in message.fields if is_core(field)]
    unread = [
        field
        for field in own
        if field not in seen.get(config_field, ())
        and field not in IGNORED
        and f"{config_field}.{field}" not in IGNORED
    ]
    assert unread == []


def test_the_list_names_only_fields_that_exist() -> None:
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    for entry in IGNORED:
        message, _, field = entry.rpartition(".")
        if message:
            assert field in fields[message].message_type.fields_by_name
        else:
            assert any(
                entry in other.message_type.fields_by_name
                for other in fields.values()
                if other.message_type
            )
