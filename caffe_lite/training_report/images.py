"""Arrays as pictures within a page: filters, and images of a data blob."""

from __future__ import annotations

import base64
import io
import math
from typing import NamedTuple

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.markup import Markup, element
from caffe_lite.net.net import Net

MOST_FILTERS = 256
MOST_CHANNELS = 16
"""Of filters that are no pictures, so many channels of so many filters are shown."""
WIDEST = 360
"""Pixels of a grid of filters, as the page shows it, unless each is wider."""


class Filters(NamedTuple):
    """Those of a layer, as pixels (height, width, 4) of uint8; or only why there are none."""

    layer: str
    pixels: Array | None
    words: str


def filters(net: Net) -> Filters:
    """The filters of the first layer with weights.

    One or three channels are a picture each, in grey or as blue, green and red; so are the weights
    of an InnerProduct for such an image.  All have one scale, from their smallest to their largest
    value.  Between them the pixels are transparent.
    """
    layer = next((layer for layer in net.layers if layer.blobs), None)
    if layer is None:
        return Filters("", None, "No layer of the net has weights.")
    name, weights = layer.name, layer.blobs[0].data
    where = f'"{name}" ({layer.param.type})'
    if layer.param.type == "InnerProduct":
        shape = net.blobs[net.bottom_names[name][0]].shape
        if len(shape) == 4 and shape[1] in (1, 3) and weights.shape[1:] == (math.prod(shape[1:]),):
            weights = weights.reshape(-1, *shape[1:])
    if weights.ndim != 4 or min(weights.shape[2:]) < 2:
        return Filters(
            name, None, f"The first layer with weights, {where}, has none that are pictures."
        )
    if not np.isfinite(weights).all():
        return Filters(name, None, f"The weights of {where} are not all finite.")
    count, channels = weights.shape[:2]
    if channels in (1, 3):
        shown = weights[:MOST_FILTERS]
        columns = math.ceil(math.sqrt(1.6 * len(shown)))
        words = f"{len(shown)} of {count} filters of {where}."
    else:
        few = weights[:MOST_CHANNELS, :MOST_CHANNELS]
        shown, columns = few.reshape(-1, 1, *few.shape[2:]), few.shape[1]
        words = f"{len(few)} of {count} filters of {where}, a row each: {columns} of {channels} "
        words += "channels."
    return Filters(name, _grid(shown, columns), words)


def _grid(arrays: Array, columns: int) -> Array:
    """Arrays (count, 1 or 3, height, width) side by side, with gaps of one pixel."""
    height, width = arrays.shape[2:]
    rows = math.ceil(len(arrays) / columns)
    pixels = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for index, array in enumerate(stretched(arrays)):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        pixels[top : top + height, left : left + width, :3] = array
        pixels[top : top + height, left : left + width, 3] = 255
    return pixels


def filters_figure(found: Filters) -> Markup:
    """The picture, if there is one, and the words, as a part of the page."""
    picture = None
    if found.pixels is not None:
        height, width = found.pixels.shape[:2]
        factor = max(1, WIDEST // width)
        picture = element(
            "img",
            src=data_uri(found.pixels),
            alt=found.words,
            width=factor * width,
            height=factor * height,
            class_="pixels",
        )
    return element("div", picture, element("p", found.words, class_="soft"), class_="card")


def stretched(arrays: Array) -> Array:
    """Arrays (…, 1 or 3, height, width) as pixels (…, height, width, 1 or 3) of uint8, RGB.

    The smallest value of all becomes 0, the largest 255; three channels are BGR, as in Caffe.
    """
    values = arrays.astype(np.float64)
    low, high = values.min(), values.max()
    scaled: Array = (values - low) * (255 / (high - low) if high > low else 0.0)
    pixels: Array = np.rint(scaled).astype(np.uint8)
    return np.moveaxis(pixels, -3, -1)[..., ::-1]


def data_uri(pixels: Array) -> str:
    """Pixels (height, width, 1, 3 or 4) of uint8 as the address of a PNG that holds itself."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    content = io.BytesIO()
    image.save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
