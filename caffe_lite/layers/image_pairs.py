"""Layers of forks that read images with labels of more than one number, from lists."""

from __future__ import annotations

from typing import ClassVar

from caffe_lite.blob import Shape
from caffe_lite.data.image_pairs import (
    DenseReader,
    EdgeReader,
    ManyLabelsReader,
    SegmentationReader,
)
from caffe_lite.data.transformer import DataTransformer, crop_of
from caffe_lite.errors import DataError
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.prefetching import Prefetching
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

_CROP = frozenset({"transform_param.crop_h", "transform_param.crop_w"})


class _Pairs(Prefetching):
    """Images with a label for each pixel.

    top[0]: (batch_size, channels, height, width); top[1]: (batch_size, 1, height, width).
    """

    config_field = "image_data_param"

    @classmethod
    def _label_shapes(cls, param: caffe_pb2.LayerParameter, image: Shape) -> list[Shape] | None:
        """A label for each pixel; the size of each image in its file."""
        count, _, height, width = image
        return [(count, 1, height, width), (count, 1, 1, 2)]

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int:
        return 3 if getattr(param, cls.config_field).is_color else 1

    @classmethod
    def _declared_size(cls, param: caffe_pb2.LayerParameter) -> Shape:
        config = getattr(param, cls.config_field)
        return (config.new_height, config.new_width)


@register("DenseImageData")
class DenseImageData(_Pairs):
    """Images and label images (SegNet: Badrinarayanan et al. 2015, arXiv:1511.00561).

    The list has a line "image labels" for each pair; paths are `root_folder` followed by the
    list's.  top[0]: (batch_size, channels, height, width), transformed as transform_param says.
    top[1]: (batch_size, 1, height, width), the grey values of the label images, cropped and
    mirrored like the images; SegNet's own layer refuses transform_param's crop and mirror.  The
    other `mirror` is the same as that one; crop_height and crop_width cut at random, in both
    phases.  With new_height and new_width images are resized bilinearly, labels to the nearest
    pixel's.  ENet's label_divide_factor f makes the labels (batch_size, 1, height / f, width / f).
    """

    config_field = "dense_image_data_param"
    heeds = _CROP | {"dense_image_data_param", "label_divide_factor"}

    @classmethod
    def _label_shapes(cls, param: caffe_pb2.LayerParameter, image: Shape) -> list[Shape] | None:
        """Labels may be smaller than their images."""
        labels = super()._label_shapes(param, image)
        factor = param.dense_image_data_param.label_divide_factor
        if labels is None or not factor:
            return labels
        return [(*shape[:2], *(side // factor for side in shape[2:])) for shape in labels]

    @classmethod
    def _declared_size(cls, param: caffe_pb2.LayerParameter) -> Shape:
        config = param.dense_image_data_param
        crop = (config.crop_height, config.crop_width)
        return crop if all(crop) else super()._declared_size(param)

    def _open(self) -> DenseReader:
        self.require_new_size()
        config = self.config
        crop = (config.crop_height, config.crop_width)
        self.require(
            all(crop) or not any(crop),
            "crop_width" if crop[0] else "crop_height",
            f"crop_height {crop[0]} and crop_width {crop[1]} must both be given, or neither",
        )
        factor = config.label_divide_factor
        self.require(factor > 0, "label_divide_factor", "must be 1 or more, not 0")
        self.require(
            factor == 1 or not any((*crop, *crop_of(self.param.transform_param))),
            "label_divide_factor",
            f"labels of 1/{factor} of the size cannot be cropped like their images",
        )
        self.require(
            factor <= min(config.new_height, config.new_width) or not config.new_height,
            "label_divide_factor",
            f"{factor} leaves no labels of new_height {config.new_height} and new_width "
            f"{config.new_width}",
        )
        return DenseReader(config, self._transformer(config.mirror), self.dtype)


@register("ImageLabelmapData")
class ImageLabelmapData(_Pairs):
    """Images and grey maps of their edges (HED: Xie and Tu 2015, arXiv:1504.06375).

    The list has a line "image map" for each pair.  top[0]: (batch_size, channels, height, width),
    transformed as transform_param says, but cropped at random in both phases, as in HED.  top[1]:
    (batch_size, 1, height, width): 1 where the map is at least 128, else 0; cropped and mirrored
    like the images.  With new_height and new_width both are resized bilinearly.
    """

    heeds = _CROP

    def _open(self) -> EdgeReader:
        self.require_new_size()
        try:
            transformer = DataTransformer(self.param.transform_param, caffe_pb2.TRAIN, self.rng)
        except DataError as error:
            error.field = ".transform_param.mean_file"
            raise
        return EdgeReader(self.config, transformer, self.dtype)


@register("ImageSegData")
class ImageSegData(_Pairs):
    """Images with labels for segmentation (DeepLab: Chen et al. 2015, arXiv:1412.7062).

    A line of the list is "image labels" with label_type PIXEL, "image label" with IMAGE, and
    "image" with NONE.  top[0]: (batch_size, channels, height, width), scaled by one of
    transform_param's scale_factors in TRAIN, padded with the mean below and to the right where it
    is smaller than the crop, cropped and mirrored.  top[1]: (batch_size, 1, height, width), the
    labels, treated alike; the padding, and all with NONE, is ignore_label.  top[2], if there is
    one: (batch_size, 1, 1, 2), the height and width of each image, at most those of the crop.
    """

    tops: ClassVar[Count] = (2, 3)
    heeds = _CROP | {
        "image_data_param.label_type",
        "image_data_param.ignore_label",
        "transform_param.scale_factors",
    }

    def _open(self) -> SegmentationReader:
        self.require_new_size()
        transform = self.param.transform_param
        self.require(
            not transform.HasField("mean_file"),
            ".transform_param.mean_file",
            "takes no mean_file, because images are padded; give mean_value",
        )
        for index, factor in enumerate(transform.scale_factors):
            self.require(
                0 < factor <= 100,
                f".transform_param.scale_factors[{index}]",
                f"a scale factor must be above 0 and at most 100, not {factor:g}",
            )
        return SegmentationReader(self.config, transform, self.phase, self.dtype, self.rng)


@register("MultiLabelImageData")
class MultiLabelImageData(_Pairs):
    """Images with several numbers each (happynear).

    A line of the list is "image number number …", with as many numbers on all lines.  top[0]:
    (batch_size, channels, height, width), as of ImageData.  top[1]: (batch_size, numbers).
    """

    heeds = _CROP

    @classmethod
    def _label_shapes(cls, param: caffe_pb2.LayerParameter, image: Shape) -> list[Shape] | None:
        """How many labels there are, only the list says."""
        return None

    def _open(self) -> ManyLabelsReader:
        self.require_new_size()
        return ManyLabelsReader(self.config, self._transformer(), self.dtype)
