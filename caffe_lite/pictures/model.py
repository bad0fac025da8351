"""Model: a net that takes pictures, from a file to an answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments
from caffe_lite.errors import CaffeError
from caffe_lite.net import weights
from caffe_lite.net.net import Net, Source
from caffe_lite.pictures import answers, sources
from caffe_lite.pictures.answers import ClassScore, Detection, Labels
from caffe_lite.pictures.preprocessing import Frame, Mean, Preprocessing, Scale
from caffe_lite.pictures.sources import Picture, Pictures
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]

BATCH = 8
"""Pictures that a net takes at a time, unless it is told otherwise."""

DETECTION_LAYERS = ("DetectionOutput", "YoloDetectionOutput", "Yolov3DetectionOutput")
"""Types whose top has a row for each detection of the whole batch: item, label, score, box."""

ALONE = ("YoloDetectionOutput", "Yolov3DetectionOutput", "Proposal")
"""Types that mix the items of a batch, or take one only."""


@dataclass(frozen=True)
class Result:
    """What a net computes of one picture."""

    picture: Picture
    frame: Frame
    outputs: dict[str, Array]
    """The outputs by name, without the batch's axis; of a detection layer the rows (M, 7)."""


def load(
    prototxt: Source,
    caffemodel: str | os.PathLike[str] | caffe_pb2.NetParameter,
    *,
    mean: Mean = None,
    scale: Scale = 1,
    resize: int | Sequence[int] | None = None,
    input_size: Sequence[int] | str | None = None,
    order: str = "BGR",
    array_order: str = "RGB",
    batch: int = BATCH,
    python_layers: bool = False,
    strict: bool = False,
    allow_unknown_fields: bool = False,
) -> Model:
    """A deploy net with its weights, as a `Model` that takes pictures.

    What it does to each picture:

    1. **resize**: to the net's input; with ``resize=(height, width)`` to that size, and with
       ``resize=n`` so that the shorter side has n pixels: then the centre is cropped to the input.
    2. **order**: the net's order of colours: ``"BGR"``, Caffe's, or ``"RGB"``.
    3. **mean**: subtracted from values from 0 to 255: a number for each channel, in the net's
       order; one for all; an array, or a file (.binaryproto, .npy).
    4. **scale**: a factor after the mean: one for all channels, or one for each.

    `input_size` is the height and width of the input, if not those of the prototxt; ``"any"``
    takes pictures in the size that they have after `resize`, for nets that are fully
    convolutional.  `array_order` is the order of colours in arrays that the model is given:
    ``"RGB"`` as from Pillow and ``caffe_lite.io.load_image``, ``"BGR"`` as from OpenCV.  `batch`
    is the number of pictures that the net takes at a time.  `strict` and `allow_unknown_fields`
    are those of Net.

    Raises CaffeError for files that cannot be read, settings that do not fit the net, and weights
    of another net, which have none for any layer.
    """
    if caffemodel is None:
        raise arguments.ArgumentError("caffemodel must be a path, not None: a net needs weights")
    net = Net(
        prototxt,
        caffe_pb2.TEST,
        python_layers=python_layers,
        allow_unknown_fields=allow_unknown_fields,
    )
    try:
        weights.copy_from(net.receiver, [caffemodel], strict, related=True)
        net.freeze()
        net.share_memory(backward=False)
        return Model(
            net,
            mean=mean,
            scale=scale,
            resize=resize,
            input_size=input_size,
            order=order,
            array_order=array_order,
            batch=batch,
        )
    except BaseException:
        net.close()
        raise


class Model:
    """A net in TEST phase that takes pictures; `load` makes one of files.

    Wherever it takes pictures, these are a file's name, a folder or a pattern (``"*.jpg"``); an
    array (height, width, 3), uint8 or floats from 0 to 1; a PIL image; or a list of these.  One
    picture has one answer, a list has a list, a folder or a pattern a dictionary by file.

    `net` is the net itself; that of `load` is frozen, and its blobs share memory.  See `load` for
    the other arguments.
    """

    def __init__(
        self,
        net: Net,
        *,
        mean: Mean = None,
        scale: Scale = 1,
        resize: int | Sequence[int] | None = None,
        input_size: Sequence[int] | str | None = None,
        order: str = "BGR",
        array_order: str = "RGB",
        batch: int = BATCH,
    ) -> None:
        arguments.instance(net, Net, "net")
        if len(net.inputs) != 1:
            raise CaffeError(
                f"a model of pictures takes one input, but the net's are {net.inputs}; "
                "a net that is trained reads its own data: give its deploy prototxt"
            )
        self.net = net
        shape = net.blobs[net.inputs[0]].shape
        self.preprocessing = Preprocessing(
            shape, mean, scale, resize, input_size, order, array_order
        )
        self.batch = arguments.integer(batch, "batch", 1)
        if any(layer.type in ALONE for layer in net.layers):
            self.batch = 1
        self._detectors = {
            net.top_names[layer.name][0]: layer
            for layer in net.layers
            if layer.type in DETECTION_LAYERS
        }

    def __repr__(self) -> str:
        return f"<Model of {self.net!r}>"

    # -- answers ---------------------------------------------------------------------------

    def __call__(self, pictures: Pictures) -> Any:
        """The net's outputs for each picture: arrays by name, without the batch's axis.

        Of a detection layer these are the rows of the picture, (M, 7).
        """
        return self._answers(pictures, lambda result: result.outputs)

    def classify(
        self,
        pictures: Pictures,
        labels: Labels = None,
        top: int = 5,
        *,
        output: str | None = None,
    ) -> Any:
        """The `top` classes of each picture, from the best down: a list of `ClassScore`.

        `labels` has the names of all classes: a file with one on each line, or a list.  `output`
        is the output that has the scores, for a net of several.
        """
        return self._answers(pictures, self.classifier(labels, top, output))

    def classifier(
        self, labels: Labels = None, top: int = 5, output: str | None = None
    ) -> Callable[[Result], list[ClassScore]]:
        """The function of `classify` for one result of `run`; reads `labels` once."""
        name = self._output(output)
        names = answers.read_labels(labels)
        top = arguments.integer(top, "top", 1)
        return lambda result: answers.best_classes(result.outputs[name], names, top)

    def detect(
        self, pictures: Pictures, labels: Labels = None, threshold: float = 0.5, **settings: Any
    ) -> Any:
        """The things in each picture, from the surest down: a list of `Detection`.

        For nets that end in a DetectionOutput, or in one of YOLO's.  `labels` has the names of all
        classes, with or without one for the background; or is SSD's label map.  Scores below
        `threshold` are left out.  For other nets: `settings` are the keywords of `detector`.
        """
        return self._answers(pictures, self.detector(labels, threshold, **settings))

    def detector(
        self,
        labels: Labels = None,
        threshold: float = 0.5,
        *,
        boxes: str | None = None,
        scores: str | None = None,
        nms: float = 0.45,
        background: int | None = 0,
        pixels: bool = False,
    ) -> Callable[[Result], list[Detection]]:
        """The function of `detect` for one result of `run`; reads `labels` once.

        For nets without a detection layer: `boxes` is the output with boxes (xmin, ymin, xmax,
        ymax) in fractions of the input, or in its `pixels`; `scores` is the output with a score,
        or one for each class, of each box.  Boxes of one class that overlap by more than `nms` are
        suppressed; those of the class `background` are left out.
        """
        threshold = arguments.number(threshold, "threshold")
        names = answers.read_labels(labels)
        if boxes is None and scores is None:
            output, classes = self._detection_layer()
            names = classes.named(names)
            return lambda result: answers.detections(
                result.outputs[output][:, 1:], result.frame, names, threshold
            )
        at, sure = self._output(boxes, "boxes"), self._output(scores, "scores")
        nms = arguments.number(nms, "nms")

        def find(result: Result) -> list[Detection]:
            places, scored = result.outputs[at], result.outputs[sure]
            if pixels:
                height, width = result.frame.input
                places = places / np.array([width, height, width, height], np.float32)
            rows = answers.rows_of(places, scored, threshold, nms, background)
            count = scored.size // max(1, places.size // 4)
            classes = answers.Classes(count, background if count > 1 else None)
            return answers.detections(rows, result.frame, classes.named(names), threshold)

        return find

    def segment(self, pictures: Pictures, *, output: str | None = None) -> Any:
        """The class of each pixel of each picture: an array (height, width).

        The class is the one with the highest score in the output (classes, h, w); of an output
        with one channel, that number.  255 stands where a crop hides the picture from the net.
        """
        return self._answers(pictures, self.segmenter(output))

    def segmenter(self, output: str | None = None) -> Callable[[Result], Array]:
        """The function of `segment` for one result of `run`."""
        name = self._output(output)
        return lambda result: answers.label_map(result.outputs[name], result.frame)

    def _answers(self, pictures: Pictures, answer: Callable[[Result], Any]) -> Any:
        found, one = sources.expand(pictures)
        given = [answer(result) for result in self._run(found)]
        if one:
            return given[0]
        if isinstance(pictures, (str, os.PathLike)):
            return {picture.name: each for picture, each in zip(found, given, strict=True)}
        return given

    def _output(self, name: str | None, what: str = "output") -> str:
        """The output of that name, or the only one."""
        outputs = self.net.outputs
        if name is None and len(outputs) == 1 and what == "output":
            return outputs[0]
        if name is None:
            raise CaffeError(f"say which output has the answer: {what}= one of {outputs}")
        if name not in outputs:
            raise CaffeError(f'the net has no output "{name}", but {outputs}')
        return name

    def _detection_layer(self) -> tuple[str, answers.Classes]:
        """The output of the net's detection layer, and its classes."""
        names = [name for name in self.net.outputs if name in self._detectors]
        if len(names) != 1:
            raise CaffeError(
                f"none of the net's outputs {self.net.outputs} is that of a "
                f"{', '.join(DETECTION_LAYERS)}; name those with boxes and scores"
            )
        layer = self._detectors[names[0]]
        config = layer.config
        if layer.type != "DetectionOutput":  # YOLO's count from 1, and have no background
            return names[0], answers.Classes(config.num_classes + 1, 0)
        background = config.background_label_id
        known = 0 <= background < config.num_classes
        return names[0], answers.Classes(config.num_classes, background if known else None)

    # -- running ---------------------------------------------------------------------------

    def run(self, pictures: Pictures) -> Iterator[Result]:
        """The results of pictures one after another, a batch of them in memory at a time."""
        return self._run(sources.expand(pictures)[0])

    def _run(self, pictures: Sequence[Picture]) -> Iterator[Result]:
        items: list[tuple[Picture, Array, Frame]] = []
        for index, picture in enumerate(pictures):
            x, frame = self.preprocessing.prepare(picture)
            # also where sizes differ a batch ends at each multiple, where ranks divide pictures
            if items and (index % self.batch == 0 or items[0][1].shape != x.shape):
                yield from self._run_batch(items)
                items = []
            items.append((picture, x, frame))
        if items:
            yield from self._run_batch(items)

    def _run_batch(self, items: Sequence[tuple[Picture, Array, Frame]]) -> Iterator[Result]:
        outputs = self.net(np.stack([x for _, x, _ in items]))
        for index, (picture, _, frame) in enumerate(items):
            yield Result(
                picture,
                frame,
                {
                    name: self._item(name, array, index, len(items))
                    for name, array in outputs.items()
                },
            )

    def _item(self, name: str, array: Array, index: int, count: int) -> Array:
        """The part of an output that belongs to one item of the batch."""
        if name in self._detectors:
            rows = array.reshape(-1, 7)
            own: Array = rows[(rows[:, 0] == index) & (rows[:, 1] >= 0)]
            return own
        if array.shape[:1] == (count,):
            part: Array = array[index]
            return part
        if count == 1:
            return array
        raise CaffeError(
            f'the output "{name}" has shape {array.shape} for {count} pictures; load with batch=1'
        )

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Close the net."""
        self.net.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
