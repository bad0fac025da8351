"""Detector: a net that takes windows of images, as R-CNN has it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import io
from caffe_lite.blob import Array
from caffe_lite.errors import CaffeError
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2

_Path = str | os.PathLike[str]


class Detector(Net):
    """A net in TEST phase and the `transformer` that makes its input of windows of images.

    With `context_pad` each window is taken with so much of the image around it that, in the
    net's input, a border of `context_pad` pixels surrounds it; what lies outside the image is the
    mean.  `mean`, `input_scale`, `raw_scale` and `channel_swap` are those of
    `caffe_lite.io.Transformer`, `strict` and `allow_unknown_fields` those of `Net`.
    """

    def __init__(
        self,
        model_file: _Path,
        pretrained_file: _Path,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
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
        self.configure_crop(context_pad)

    def detect_windows(
        self, images_windows: Iterable[tuple[_Path, Sequence[npt.ArrayLike]]]
    ) -> list[dict[str, Any]]:
        """The net's first output for each window of each image.

        images_windows: image files and their windows (ymin, xmin, ymax, xmax).  Gives, for each
        window, a dict of ``window``, ``prediction`` and ``filename``.
        """
        name = self.inputs[0]
        found, items = [], []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                found.append({"window": window, "filename": filename})
                items.append(self.transformer.preprocess(name, self.crop(image, window)))
        if not items:
            return []
        predictions = self.forward_all(None, **{name: np.stack(items)})[self.outputs[0]]
        for one, prediction in zip(found, predictions, strict=True):
            one["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[_Path]) -> list[dict[str, Any]]:
        """`detect_windows` on the windows that selective search proposes.

        Needs the module ``selective_search_ijcv_with_python``, and MATLAB, which that runs.
        """
        try:
            search = importlib.import_module("selective_search_ijcv_with_python")
        except ImportError:
            raise CaffeError(
                "selective search needs the Python module selective_search_ijcv_with_python and "
                "MATLAB; give windows of any other origin to detect_windows"
            ) from None
        files = [os.path.abspath(name) for name in image_fnames]
        windows = search.get_windows(files, cmd="selective_search_rcnn")
        return self.detect_windows(zip(files, windows, strict=True))

    def configure_crop(self, context_pad: int | None) -> None:
        """Set `context_pad`, and the mean, as an image, that fills what is outside images."""
        name = self.inputs[0]
        settings = self.transformer
        back = np.argsort(settings.transpose[name])
        self.crop_dims = np.array(self.blobs[name].shape[1:])[back]
        size = self.blobs[name].shape[2:]
        if context_pad and (size[0] != size[1] or 2 * context_pad >= size[0]):
            raise CaffeError(
                f"context_pad {context_pad} needs an input that is square and larger than twice "
                f"that, not {size[0]}x{size[1]}"
            )
        self.context_pad = context_pad
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        if name in settings.mean:
            mean = settings.mean[name]
            if name in settings.channel_swap and len(mean) > 1:
                mean = mean[np.argsort(settings.channel_swap[name])]
            self.crop_mean[...] = mean.transpose(back) / settings.raw_scale.get(name, 1)

    def crop(self, im: Array, window: npt.ArrayLike) -> Array:
        """A window (ymin, xmin, ymax, xmax) of an image, with its context if there is to be any.

        im: (height, width, channels).  The window's last row and column are left out, as in
        Python; with context they count, and the result has the size of the net's input.
        """
        if not self.context_pad:
            ymin, xmin, ymax, xmax = np.asarray(window).astype(int)
            part = im[ymin:ymax, xmin:xmax]
            if not part.size:
                raise _outside(im, window)
            return part
        size = int(self.blobs[self.inputs[0]].shape[3])  # a square, as R-CNN's nets have
        box = _with_context(np.asarray(window), size, self.context_pad)
        scale = size / (box[2:] - box[:2] + 1)
        before = np.round(np.maximum(0, -box[:2]) * scale).astype(int)
        inside = np.clip(box, 0, np.tile(im.shape[:2], 2)).astype(int)
        wanted = np.round((inside[2:] - inside[:2] + 1) * scale).astype(int)
        height, width = np.minimum(wanted, size - before)
        part = im[inside[0] : inside[2], inside[1] : inside[3]]
        if not part.size or height < 1 or width < 1:
            raise _outside(im, window)
        crop: Array = self.crop_mean.copy()
        y, x = before
        crop[y : y + height, x : x + width] = io.resize_image(part, (height, width))
        return crop


def _outside(im: Array, window: npt.ArrayLike) -> CaffeError:
    return CaffeError(
        f"the window {np.asarray(window).tolist()} is not inside the image {im.shape[:2]}"
    )


def _with_context(box: Array, size: int, pad: int) -> Array:
    """The box, grown about its centre by size / (size - 2 pad), in whole pixels."""
    half = (box[2:] - box[:2] + 1) / 2
    centre = box[:2] + half
    grown = half * (size / (size - 2 * pad))
    rounded: Array = np.round(np.concatenate([centre - grown, centre + grown]))
    return rounded
