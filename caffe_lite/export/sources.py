"""The shapes of what a data layer will bring, from the prototxt alone as far as that goes."""

from __future__ import annotations

import os
from typing import Any

from caffe_lite.blob import Shape
from caffe_lite.data.transformer import read_mean
from caffe_lite.proto import caffe_pb2

_CONFIGS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
}


def declared_shapes(
    param: caffe_pb2.LayerParameter, channels: int | None = None
) -> list[Shape] | None:
    """The shapes of the tops of a layer that brings images: (N, C, H, W), and (N,) for labels.

    From its fields and its mean file; `channels` is what to assume where these do not tell.  None
    for a layer that must see its source, and for those that bring no images.  Raises DataError
    for a mean file that is there but cannot be used.
    """
    if param.type not in _CONFIGS:
        return None
    config = getattr(param, _CONFIGS[param.type])
    image = _image_shape(param, config, channels)
    if not config.batch_size or image is None:
        return None
    return [(config.batch_size, *image), *[(config.batch_size,)] * (len(param.top) - 1)]


def _image_shape(
    param: caffe_pb2.LayerParameter, config: Any, assumed: int | None
) -> Shape | None:
    """Channels, height and width of one image after transform_param."""
    if param.type == "MemoryData":
        return (config.channels, config.height, config.width)
    transform = param.transform_param
    mean: Shape | None = None
    if transform.mean_file and os.path.exists(transform.mean_file):
        mean = read_mean(transform.mean_file).shape
    channels = mean[0] if mean else _channels(param, transform) or assumed
    size: Shape = (0, 0)
    if transform.crop_size:
        size = (transform.crop_size, transform.crop_size)
    elif mean:
        size = mean[1:]
    elif param.type == "ImageData":
        size = (config.new_height, config.new_width)
    return (channels, *size) if channels and all(size) else None


def _channels(param: caffe_pb2.LayerParameter, transform: Any) -> int | None:
    if param.type == "ImageData":
        return 3 if param.image_data_param.is_color else 1
    if param.type == "WindowData" or transform.force_color:
        return 3
    if transform.force_gray:
        return 1
    return len(transform.mean_value) if len(transform.mean_value) > 1 else None
