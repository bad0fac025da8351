"""Images and arrays on their way into a net and out of it, as pycaffe's ``caffe.io``.

An image here is what `load_image` gives: an array (height, width, channels) of float32 from 0 to
1, its colours in the order red, green, blue.  `Transformer` makes of it what a net takes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from caffe_lite import arguments
from caffe_lite.data import datum as datums
from caffe_lite.data import images
from caffe_lite.errors import CaffeError, DataError, OutOfMemory
from caffe_lite.limits import check_memory
from caffe_lite.proto import blobs, caffe_pb2

__all__ = [
    "ArrayError",
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "image_transformer",
    "load_image",
    "oversample",
    "resize_image",
]

Array = npt.NDArray[Any]

# the brightness of red, green and blue light (ITU-R BT.709), as scikit-image weighs them
_LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32)


class ArrayError(CaffeError, ValueError):
    """An array of a shape, or a setting, that does not fit; pycaffe raises ValueError."""


# -- messages ------------------------------------------------------------------------------------


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> Array:
    """The values of a BlobProto, or its gradients: an array of the shape that it says it has.

    Raises ArrayError, a ValueError, if it has another number of values.
    """
    arguments.instance(blob, caffe_pb2.BlobProto, "blob")
    try:
        values = blobs.blob_to_array(blob, return_diff)
    except CaffeError as error:
        raise ArrayError(error.message) from None
    if blobs.blob_shape(blob) is None and values.size != 1:
        raise ArrayError(f"a blob of {values.size} values says nothing of its shape")
    return values.reshape(()) if blobs.blob_shape(blob) is None else values


def array_to_blobproto(
    arr: npt.ArrayLike, diff: npt.ArrayLike | None = None
) -> caffe_pb2.BlobProto:
    """A BlobProto of an array of any shape, and of its gradients; as float32, like pycaffe's."""
    gradients = None if diff is None else arguments.numbers(diff, "diff").astype(np.float32)
    values = arguments.numbers(arr, "arr").astype(np.float32)
    return blobs.array_to_blob(values, gradients)


def arraylist_to_blobprotovector_str(arraylist: Iterable[npt.ArrayLike]) -> bytes:
    """A serialized BlobProtoVector of arrays."""
    arguments.instance(arraylist, Iterable, "arraylist")
    vector = caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(array) for array in arraylist])
    return vector.SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:  # noqa: A002  (pycaffe's name)
    """The arrays of a serialized BlobProtoVector."""
    arguments.instance(str, bytes, "a serialized BlobProtoVector")
    try:
        vector = caffe_pb2.BlobProtoVector.FromString(str)
    except DecodeError:
        raise ArrayError(f"the {len(str)} bytes are not a BlobProtoVector") from None
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of an array (channels, height, width): uint8 as bytes, others as float32.

    Raises ArrayError, a ValueError, for another number of axes.
    """
    array = arguments.numbers(arr, "arr")
    if array.ndim != 3:
        raise ArrayError(f"a Datum holds (channels, height, width), not {array.shape}")
    if label is not None:
        label = arguments.integer(label, "label", -(2**31), 2**31 - 1)
    return datums.array_to_datum(array, label)


def datum_to_array(datum: caffe_pb2.Datum) -> Array:
    """The values of a Datum: (channels, height, width), uint8 or float64.

    An encoded image is decoded, its colours in the order blue, green, red.
    """
    arguments.instance(datum, caffe_pb2.Datum, "datum")
    array = datums.datum_to_array(datum)
    return array if array.dtype == np.uint8 else array.astype(np.float64)


# -- images --------------------------------------------------------------------------------------


def load_image(filename: str | os.PathLike[str] | BinaryIO, color: bool = True) -> Array:
    """An image file as an array (height, width, 3) of float32 from 0 to 1, in RGB.

    `filename` may also be a file that is open for reading, such as an ``io.BytesIO``.  With
    `color` false the array is (height, width, 1), its brightness 0.2125 R + 0.7154 G + 0.0721 B.
    A grey file is repeated three times for `color`; transparency is dropped; 16 bits keep their
    depth.  Raises DataError for a file that is missing or no image, OutOfMemory for
    one beyond the memory limit.
    """
    if hasattr(filename, "read"):
        name, encoded = str(getattr(filename, "name", "in memory")), images.read_open(filename)
    else:
        name = arguments.path(filename, "the image")
        encoded = images.read_bytes(name)
    try:
        with images.opened(encoded) as image:
            pixels = _pixels(image)
    except (DataError, OutOfMemory) as error:
        raise type(error)(f'cannot read the image "{name}": {error.message}') from None
    if color and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if not color and pixels.shape[2] == 3:
        pixels = brightness(pixels)
    return pixels


def brightness(pixels: Array) -> Array:
    """RGB pixels (height, width, 3) float32 in grey, (height, width, 1), as scikit-image does."""
    grey: Array = (pixels @ _LUMA)[:, :, np.newaxis]
    return grey


def _pixels(image: Any) -> Array:
    """The pixels of an opened PIL image: (height, width, 1 or 3) from 0 to 1."""
    deep = image.mode.startswith(("I", "F"))
    grey = deep or image.mode in ("1", "L", "LA", "La")
    pixels: Array = np.asarray(image if deep else image.convert("L" if grey else "RGB"))
    if image.mode != "F":
        pixels = (pixels / (65535 if deep else 255)).astype(np.float32)
    return pixels[:, :, np.newaxis] if grey else pixels


def resize_image(im: Array, new_dims: Sequence[int] | Array, interp_order: int = 1) -> Array:
    """An image (height, width, channels) in the size `new_dims` = (height, width), float32.

    `interp_order` 1 is bilinear, 0 takes the nearest pixel.  Pixel centres correspond: pixel d of
    n lies at (d + 0.5) * size / n - 0.5 of `im`; beyond its edge are the pixels of the edge, and
    nothing is smoothed when it shrinks.  When an image shrinks these are the numbers that pycaffe
    had of scikit-image before 0.15; when it grows, that version darkened the outermost pixels,
    and images of other than 1 or 3 channels had corners, not pixel centres, correspond.
    Raises ArrayError for other orders, which need splines, and for an `im` of other than 3 axes.
    """
    if interp_order not in (0, 1):
        raise ArrayError(f"interp_order {interp_order} is neither 0, nearest, nor 1, bilinear")
    image = arguments.numbers(im, "im")
    dims = arguments.sizes(new_dims, "new_dims", least=0)
    check_memory(math.prod(dims) * 8 * image.shape[-1] if image.ndim else 0, f"an image of {dims}")
    if image.ndim != 3 or len(dims) != 2 or min(*image.shape, *dims) < 1:
        raise ArrayError(
            f"cannot resize an image {image.shape} to {dims}: they must be (height, width, "
            "channels) and (height, width), none of them 0"
        )
    if image.dtype != np.float64:
        image = image.astype(np.float32)
    for axis, size in enumerate(dims):
        image = _resized(image, axis, size, interp_order)
    resized: Array = image.astype(np.float32)
    return resized


def _resized(image: Array, axis: int, size: int, order: int) -> Array:
    """The image with another size along one of its first two axes."""
    old = image.shape[axis]
    if old == size:
        return image
    last = old - 1
    centre = (np.arange(size) + 0.5) * (old / size) - 0.5
    if order == 0:
        nearest: Array = image.take(np.floor(centre + 0.5).astype(int).clip(0, last), axis)
        return nearest
    before = np.floor(centre)
    weight = (centre - before).astype(image.dtype)
    weight = weight.reshape(-1, *(1,) * (image.ndim - 1 - axis))
    low = image.take(before.astype(int).clip(0, last), axis)
    high = image.take((before + 1).astype(int).clip(0, last), axis)
    mixed: Array = low * (1 - weight) + high * weight
    return mixed


def oversample(images: Sequence[Array] | Array, crop_dims: Sequence[int] | Array) -> Array:
    """Ten crops of each image: the corners and the centre, then the same five mirrored.

    images: N of one shape (height, width, channels).  Gives (10 N, *crop_dims, channels) float32,
    the corners in the order upper left, upper right, lower left, lower right.
    """
    shapes = {arguments.numbers(image, "an image").shape for image in _images(images)}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ArrayError(f"images must have one shape (height, width, channels), not {shapes}")
    height, width, channels = shapes.pop()
    h, w = arguments.sizes(crop_dims, "crop_dims", 2)
    if h > height or w > width:
        raise ArrayError(f"cannot cut {h}x{w} out of images of {height}x{width}")
    corners = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w)]
    corners.append(((height - h) // 2, (width - w) // 2))
    crops = np.empty((len(images), 10, h, w, channels), np.float32)
    for image, ten in zip(images, crops, strict=True):
        for crop, (top, left) in zip(ten, corners, strict=False):
            crop[...] = image[top : top + h, left : left + w]
        ten[5:] = ten[:5, :, ::-1]
    return crops.reshape(-1, h, w, channels)


def _images(images: Any) -> Sequence[Array]:
    if (
        not isinstance(images, (Sequence, np.ndarray))
        or isinstance(images, str)
        or not len(images)
    ):
        raise ArrayError(f"images must be a list of arrays, not {arguments.described(images)}")
    return list(images)


# -- from images to a net's input ----------------------------------------------------------------


class Transformer:
    """Makes a net's input of an image, and an image of a net's input.

    `inputs` has the shape of each input, (batch, channels, height, width), by its name.  Nothing
    is done to one but what was set for it, in this order: resize, transpose, swap channels, times
    raw_scale, less the mean, times input_scale.  What is set is in the dicts `transpose`,
    `channel_swap`, `raw_scale`, `mean` and `input_scale`.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        arguments.instance(inputs, Mapping, "inputs")
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if not isinstance(in_, str) or in_ not in self.inputs:
            raise ArrayError(f'"{in_}" is not one of the inputs {list(self.inputs)}')
        return tuple(self.inputs[in_])

    def preprocess(self, in_: str, data: Array) -> Array:
        """An image as the input `in_` takes it, float32; it is resized to the input's size.

        data: (height, width, channels), (channels, height, width) of the result with a transpose.
        """
        size = self._shape(in_)[2:]
        made = arguments.numbers(data, "data").astype(np.float32)
        if len(size) == 2 and made.shape[:2] != size:
            made = resize_image(made, size)
        if in_ in self.transpose:
            made = made.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            made = made[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            made *= np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            made = _combined(np.subtract, made, self.mean[in_])
        if in_ in self.input_scale:
            made *= np.float32(self.input_scale[in_])
        return made

    def deprocess(self, in_: str, data: Array) -> Array:
        """The image of an input: `preprocess` backwards, but for the size.

        data: (channels, height, width), also with a batch of one before it.
        """
        self._shape(in_)
        image = arguments.numbers(data, "data").astype(np.float32).squeeze()
        if in_ in self.input_scale:
            image /= np.float32(self.input_scale[in_])
        if in_ in self.mean:
            image = _combined(np.add, image, self.mean[in_])
        if in_ in self.raw_scale:
            image /= np.float32(self.raw_scale[in_])
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of an image's axes: (2, 0, 1) puts the channels first."""
        item = self._shape(in_)[1:]
        if sorted(_order(order)) != list(range(len(item))):
            raise ArrayError(
                f"a transpose of {len(order)} axes {order} does not fit an item of {item}"
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the channels, after the transpose: (2, 1, 0) makes BGR of RGB."""
        channels = self._shape(in_)[1]
        if len(_order(order)) != channels or max(order) >= channels:
            raise ArrayError(f"{len(order)} channels to swap, but {channels} there are: {order}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean: 255 for a mean and a net of values from 0 to 255."""
        self._shape(in_)
        self.raw_scale[in_] = arguments.number(scale, "a scale")

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set what is subtracted: (channels,), or an image (channels, height, width).

        An image of another size is resized.  Raises ArrayError, a ValueError, for another shape.
        """
        item = self._shape(in_)[1:]
        mean = arguments.numbers(mean, "a mean")
        if mean.ndim == 1:
            if len(mean) != item[0]:
                raise ArrayError(f"a mean of {len(mean)} channels for an input of {item[0]}")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            shape = (1, *mean.shape) if mean.ndim == 2 else mean.shape
            if len(shape) != 3 or len(item) != 3 or shape[0] not in (1, item[0]):
                raise ArrayError(f"a mean of {mean.shape} does not fit an input of {item}")
            mean = mean.reshape(shape)
            if shape[1:] != item[1:]:
                mean = resize_image(mean.transpose(1, 2, 0), item[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean."""
        self._shape(in_)
        self.input_scale[in_] = arguments.number(scale, "a scale")


def _order(order: Any) -> tuple[int, ...]:
    return arguments.sizes(order, "an order", least=0)


def image_transformer(
    inputs: Mapping[str, Sequence[int]],
    mean: Array | None = None,
    input_scale: float | None = None,
    raw_scale: float | None = None,
    channel_swap: Sequence[int] | None = None,
) -> Transformer:
    """A Transformer of images for a net's first input, with the channels put first.

    `inputs` has the shape of each input, as for `Transformer`.  Raises ArrayError if there is
    none, or the first is no (batch, channels, height, width).
    """
    in_, shape = next(iter(inputs.items()), ("", ()))
    if len(shape) != 4:
        wrong = f'the input "{in_}" has shape {tuple(shape)}' if in_ else "the net has no input"
        raise ArrayError(
            f"{wrong}, where images need (batch, channels, height, width); a net that is trained "
            "reads its own data: give its deploy prototxt"
        )
    transformer = Transformer(inputs)
    transformer.set_transpose(in_, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(in_, mean)
    if input_scale is not None:
        transformer.set_input_scale(in_, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(in_, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(in_, channel_swap)
    return transformer


def _combined(function: Any, image: Array, mean: Array) -> Array:
    """An image less or plus a mean; ArrayError if one does not fit the other."""
    try:
        result: Array = function(image, mean, dtype=np.float32, casting="same_kind")
    except ValueError:
        raise ArrayError(f"a mean of {mean.shape} does not fit an image {image.shape}") from None
    return result
