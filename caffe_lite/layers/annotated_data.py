"""AnnotatedData: the layer of SSD that reads images with boxes from a database."""

from __future__ import annotations

from typing import ClassVar

from caffe_lite.blob import Shape
from caffe_lite.data.annotated import ROW, AnnotatedReader, Augmentation
from caffe_lite.data.batch_sampler import BatchSamplers
from caffe_lite.data.distortion import Distortion, Expansion
from caffe_lite.data.transformer import RESIZE_AND_CROP
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.prefetching import Prefetching
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

_AUGMENTATION = ("distort_param", "expand_param", "emit_constraint")


@register("AnnotatedData")
class AnnotatedData(Prefetching):
    """The AnnotatedDatums of a database with their boxes, round and round (SSD).

    top[0]: (batch_size, channels, height, width), transformed as transform_param says.
    top[1], if there is one: (1, 1, M, 8), a row for each box in the batch: the item, the label,
    the instance, xmin, ymin, xmax, ymax as fractions of the item's image, and 1 for a difficult
    object; one row of -1 if there is no box.  For records without an annotation type, where
    anno_type does not give one either: their labels (batch_size,).

    Each image is changed at random by transform_param's distort_param and expand_param, and
    cropped by one of annotated_data_param's batch_sampler, in both phases, as in SSD.  Records
    that are image files are stored as JPEG after each of these steps, as there.
    """

    config_field = "data_param"
    tops: ClassVar[Count] = (1, 2)
    heeds = RESIZE_AND_CROP - {"transform_param.random_resize_param"} | {
        "annotated_data_param",
        *(f"transform_param.{name}" for name in _AUGMENTATION),
    }

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.data_param.batch_size)

    @classmethod
    def _label_shapes(cls, param: caffe_pb2.LayerParameter, image: Shape) -> list[Shape] | None:
        """One box."""
        return [(1, 1, 1, ROW)]

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int:
        """Colours, where nothing else is said."""
        return super()._declared_channels(param) or 3

    def _open(self) -> AnnotatedReader:
        transform = self.param.transform_param
        if any(each.resize_mode == each.FIT_SMALL_SIZE for each in transform.resize_param):
            self.require(
                self.config.batch_size == 1,
                "batch_size",
                f"FIT_SMALL_SIZE takes batch_size 1, not {self.config.batch_size}",
            )
        annotated = self.param.annotated_data_param
        distort, expand, constraint = (
            getattr(transform, name) if transform.HasField(name) else None
            for name in _AUGMENTATION
        )
        samplers = annotated.batch_sampler
        steps = Augmentation(
            None if distort is None else Distortion(distort),
            None if expand is None else Expansion(expand),
            BatchSamplers(samplers) if samplers else None,
            constraint,
        )
        typed = annotated.HasField("anno_type")
        return AnnotatedReader(self.config, self._transformer(), steps, self.dtype, typed)
