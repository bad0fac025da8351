"""Classifier: a net that takes images and gives the probabilities of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from caffe_lite import arguments, io
from caffe_lite.blob import Array
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2

_Path = str | os.PathLike[str]


class Classifier(Net):
    """A net in TEST phase and the `transformer` that makes its input of images.

    `image_dims` is the size, (height, width), to which images are resized before they are
    cropped to the net's input; without it they are resized to the input.  `mean`, `input_scale`,
    `raw_scale` and `channel_swap` are those of `caffe_lite.io.Transformer`,
    `strict` and `allow_unknown_fields` those of `Net`.
    """

    def __init__(
        self,
        model_file: _Path,
        pretrained_file: _Path,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        strict: bool = False,
        *,
        allow_unknown_fields: bool = False,
    ) -> None:
        super().__init__(
            model_file,
            caffe_pb2.TEST,
            weights=pretrained_file,
            strict=strict,
            allow_unknown_fields=allow_unknown_fields,
        )
        shapes = {name: self.blobs[name].shape for name in self.inputs}
        self.transformer = io.image_transformer(shapes, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims
        if image_dims is not None:
            self.image_dims = np.array(arguments.sizes(image_dims, "image_dims", 2))

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """The net's first output for each image, (images, …).

        inputs: images (height, width, channels) as `caffe_lite.io.load_image` gives them.  With
        `oversample` it is the mean over ten crops, (images, classes); without it the centre's.
        """
        images = np.stack([io.resize_image(image, self.image_dims) for image in inputs])
        if oversample:
            images = io.oversample(images, self.crop_dims)
        else:
            top, left = (self.image_dims - self.crop_dims) // 2
            height, width = self.crop_dims
            images = images[:, top : top + height, left : left + width]
        name = self.inputs[0]
        items = np.stack([self.transformer.preprocess(name, image) for image in images])
        predictions = self.forward_all(None, **{name: items})[self.outputs[0]]
        if oversample:
            predictions = predictions.reshape(len(inputs), 10, -1).mean(1)
        return predictions
