"""AnnotatedData: the layer of SSD and MobileNet-YOLO that reads images with boxes."""

from __future__ import annotations

from typing import ClassVar

from caffe_lite.blob import Shape
from caffe_lite.data import annotated, transformer
from caffe_lite.data.annotated import AnnotatedReader, Augmentation, Labels
from caffe_lite.data.batch_sampler import BatchSamplers, Jitter
from caffe_lite.data.distortion import Distortion, Expansion
from caffe_lite.data.resizing import ResizePolicies
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.prefetching import Prefetching
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

_AUGMENTATION = ("distort_param", "expand_param", "emit_constraint")
_YOLO = ("yolo_data_type", "yolo_data_jitter", "train_diffcult")


@register("AnnotatedData")
class AnnotatedData(Prefetching):
    """The AnnotatedDatums of a database with their boxes, round and round (SSD).

    `source` is a database, or a text file that lists databases, as in Data; so is `shuffle`.
    top[0]: (batch_size, channels, height, width), transformed as transform_param says.
    top[1], if there is one: (1, 1, M, 8), a row for each box in the batch: the item, the label,
    the instance, xmin, ymin, xmax, ymax as fractions of the item's image, and 1 for a difficult
    object; one row of -1 if there is no box.  For records without an annotation type, where
    anno_type does not give one either: their labels (batch_size,).

    Each image is changed at random by transform_param's distort_param and expand_param, and
    cropped by one of annotated_data_param's batch_sampler, in both phases, as in SSD.  Records
    that are image files are stored as JPEG after each of these steps, as there.

    MobileNet-YOLO's fields: `yolo_data_type` 1 makes top[1] (batch_size, 1, 300, 5), the item's
    boxes as RegionLoss and Yolov3 take them: the label less 1, x and y of the middle, width and
    height; then rows of 0.  Without `train_diffcult` difficult boxes are not among them.
    `yolo_data_jitter`, 0.3 unless given, crops at random where there is no batch_sampler; without
    `yolo_data_type` only if it is given, as SSD has no such field.  Of several resize_param one is
    drawn by its `prob` for ten batches at a time.
    """

    config_field = "data_param"
    tops: ClassVar[Count] = (1, 2)
    heeds = transformer.OF_FORKS - {"transform_param.random_resize_param"} | {
        "annotated_data_param",
        "data_param.shuffle",
        *(f"annotated_data_param.{name}" for name in _YOLO),
        *(f"transform_param.{name}" for name in _AUGMENTATION),
    }

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.data_param.batch_size)

    @classmethod
    def _label_shapes(cls, param: caffe_pb2.LayerParameter, image: Shape) -> list[Shape] | None:
        """One box, or YOLO's."""
        labels: Shape = (1, 1, 1, annotated.ROW)
        if param.annotated_data_param.yolo_data_type == 1:
            labels = (image[0], 1, annotated.YOLO_ROWS, annotated.YOLO_ROW)
        return [labels]

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int:
        """Colours, where nothing else is said."""
        return super()._declared_channels(param) or 3

    def _transform_param(self) -> caffe_pb2.TransformationParameter:
        """With one resize_param: the largest, for which memory is asked before the first batch."""
        transform, given = super()._transform_param(), self.param.transform_param.resize_param
        if len(given) > 1:
            del transform.resize_param[:]
            largest = max(given, key=lambda each: each.height * each.width)
            transform.resize_param.add().CopyFrom(largest)
        return transform

    def _open(self) -> AnnotatedReader:
        transform = self.param.transform_param
        if any(each.resize_mode == each.FIT_SMALL_SIZE for each in transform.resize_param):
            self.require(
                self.config.batch_size == 1,
                "batch_size",
                f"FIT_SMALL_SIZE takes batch_size 1, not {self.config.batch_size}",
            )
        steps, labels = self._augmentation(), self._labels()
        return AnnotatedReader(self.config, self._transformer(), steps, self.dtype, labels)

    def _augmentation(self) -> Augmentation:
        transform, param = self.param.transform_param, self.param.annotated_data_param
        distort, expand, constraint = (
            getattr(transform, name) if transform.HasField(name) else None
            for name in _AUGMENTATION
        )
        samplers, resizes = param.batch_sampler, transform.resize_param
        jitters = self._is_yolo or param.HasField("yolo_data_jitter")
        jitter = param.yolo_data_jitter if jitters and not samplers else 0
        return Augmentation(
            None if distort is None else Distortion(distort),
            None if expand is None else Expansion(expand),
            BatchSamplers(samplers) if samplers else None,
            Jitter(jitter) if jitter else None,
            constraint,
            ResizePolicies(resizes, transformer.FIELD) if len(resizes) > 1 else None,
        )

    @property
    def _is_yolo(self) -> bool:
        return bool(self.param.annotated_data_param.yolo_data_type == 1)

    def _labels(self) -> Labels:
        param = self.param.annotated_data_param
        return Labels(param.HasField("anno_type"), self._is_yolo, param.train_diffcult)
