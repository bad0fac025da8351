"""The shapes of what a data layer will bring, from the prototxt alone as far as that goes."""

from __future__ import annotations

import os
from typing import Any

from caffe_lite.blob import Shape
from caffe_lite.data.transformer import read_mean
from caffe_lite.proto import caffe_pb2


def declared_shapes(param: caffe_pb2.LayerParameter) -> list[Shape] | None:
    """The shapes of a data layer's tops, where its fields and its mean file say enough.

    None for a layer that must see its source, and for those that are no Data, ImageData or
    WindowData.  Raises DataError for a mean file that is there but cannot be used.
    """
    if param.type == "Data":
        batch, size = param.data_param.batch_size, None
    elif param.type == "ImageData":
        config = param.image_data_param
        batch, size = config.batch_size, (config.new_height, config.new_width)
    elif param.type == "WindowData":
        batch, size = param.window_data_param.batch_size, None
    else:
        return None
    image = _image_shape(param, size)
    if not batch or image is None:
        return None
    return [(batch, *image), *[(batch,)] * (len(param.top) - 1)]


def _image_shape(param: caffe_pb2.LayerParameter, size: tuple[int, int] | None) -> Shape | None:
    """Channels, height and width of one image after transform_param."""
    transform = param.transform_param
    mean: Shape | None = None
    if transform.mean_file and os.path.exists(transform.mean_file):
        mean = read_mean(transform.mean_file).shape
    channels = mean[0] if mean else _channels(param, transform)
    if transform.crop_size:
        size = (transform.crop_size, transform.crop_size)
    elif mean:
        size = (mean[1], mean[2])
    if not channels or size is None or not all(size):
        return None
    return (channels, *size)


def _channels(param: caffe_pb2.LayerParameter, transform: Any) -> int | None:
    if param.type == "ImageData":
        return 3 if param.image_data_param.is_color else 1
    if param.type == "WindowData" or transform.force_color:
        return 3
    if transform.force_gray:
        return 1
    return len(transform.mean_value) if len(transform.mean_value) > 1 else None
